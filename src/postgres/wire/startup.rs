//! Opening a connection: sockets, the startup message, authentication.

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::{backend::Message, frontend};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::config::{Config, Host, SslMode};

use super::stream::Stream;
use super::{Connection, WireError, reply};

const DEFAULT_PORT: u16 = 5432;

impl Connection {
    /// Connects to `database` with the host, user and password of `config`, with `settings` as the session's defaults
    /// (`DISCARD ALL` comes back to them).
    ///
    /// # Errors
    /// When no host answers, when the server refuses, or when it asks for an authentication that is not supported.
    pub async fn open(config: &Config, database: &str, settings: &[(&str, &str)]) -> Result<Connection, WireError> {
        if config.get_ssl_mode() == SslMode::Require {
            return Err(WireError::TlsRequired);
        }
        let mut connection = Connection::new(open_stream(config).await?);
        let user = config.get_user().unwrap_or("postgres");
        let mut parameters = vec![("client_encoding", "UTF8"), ("user", user), ("database", database)];
        if let Some(options) = config.get_options() {
            parameters.push(("options", options));
        }
        parameters.extend_from_slice(settings);
        frontend::startup_message(parameters, &mut connection.outgoing).map_err(WireError::Lost)?;
        connection.flush().await?;
        connection.authenticate(config, user).await?;
        connection.wait_until_ready().await?;
        Ok(connection)
    }

    pub(super) async fn authenticate(&mut self, config: &Config, user: &str) -> Result<(), WireError> {
        let password = || config.get_password().ok_or(WireError::PasswordMissing);
        match self.startup_message().await? {
            Message::AuthenticationOk => return Ok(()),
            Message::AuthenticationCleartextPassword => self.send_password(password()?).await?,
            Message::AuthenticationMd5Password(body) => {
                let hash = md5_hash(user.as_bytes(), password()?, body.salt());
                self.send_password(hash.as_bytes()).await?;
            }
            Message::AuthenticationSasl(body) => {
                let offers_scram = body
                    .mechanisms()
                    .any(|mechanism| Ok(mechanism == sasl::SCRAM_SHA_256))
                    .map_err(WireError::Authentication)?;
                if !offers_scram {
                    return Err(WireError::UnsupportedAuthentication(
                        "a SASL mechanism other than SCRAM-SHA-256",
                    ));
                }
                self.scram(password()?).await?;
            }
            Message::AuthenticationKerberosV5 | Message::AuthenticationGss => {
                return Err(WireError::UnsupportedAuthentication("Kerberos"));
            }
            Message::AuthenticationSspi => return Err(WireError::UnsupportedAuthentication("SSPI")),
            _ => return Err(WireError::Protocol("in place of a request for authentication".into())),
        }
        match self.startup_message().await? {
            Message::AuthenticationOk => Ok(()),
            _ => Err(WireError::Protocol("in place of the authentication's end".into())),
        }
    }

    async fn send_password(&mut self, password: &[u8]) -> Result<(), WireError> {
        frontend::password_message(password, &mut self.outgoing).map_err(WireError::Authentication)?;
        self.flush().await
    }

    async fn scram(&mut self, password: &[u8]) -> Result<(), WireError> {
        let mut scram = sasl::ScramSha256::new(password, sasl::ChannelBinding::unsupported());
        frontend::sasl_initial_response(sasl::SCRAM_SHA_256, scram.message(), &mut self.outgoing)
            .map_err(WireError::Authentication)?;
        self.flush().await?;
        let Message::AuthenticationSaslContinue(body) = self.startup_message().await? else {
            return Err(WireError::Protocol(
                "in place of the SASL exchange's second message".into(),
            ));
        };
        scram.update(body.data()).map_err(WireError::Authentication)?;
        frontend::sasl_response(scram.message(), &mut self.outgoing).map_err(WireError::Authentication)?;
        self.flush().await?;
        let Message::AuthenticationSaslFinal(body) = self.startup_message().await? else {
            return Err(WireError::Protocol(
                "in place of the SASL exchange's last message".into(),
            ));
        };
        scram.finish(body.data()).map_err(WireError::Authentication)
    }

    /// After authentication: process number and settings, until the server is ready for a query.
    pub(super) async fn wait_until_ready(&mut self) -> Result<(), WireError> {
        loop {
            match self.startup_message().await? {
                Message::BackendKeyData(body) => {
                    self.backend_pid = body.process_id();
                    self.secret_key = body.secret_key();
                }
                Message::ParameterStatus(_) | Message::NoticeResponse(_) => {}
                Message::ReadyForQuery(_) => return Ok(()),
                _ => return Err(WireError::Protocol("while the session starts".into())),
            }
        }
    }

    async fn startup_message(&mut self) -> Result<Message, WireError> {
        match self.read_message().await? {
            Message::ErrorResponse(body) => Err(WireError::Refused(reply::server_error(body.fields())?)),
            message => Ok(message),
        }
    }
}

pub(super) async fn open_stream(config: &Config) -> Result<Stream, WireError> {
    let mut failure = None;
    for (index, host) in config.get_hosts().iter().enumerate() {
        let port = match config.get_ports() {
            [] => DEFAULT_PORT,
            [port] => *port,
            ports => ports.get(index).copied().unwrap_or(DEFAULT_PORT),
        };
        let (target, attempt) = match host {
            Host::Unix(folder) => {
                let path = folder.join(format!(".s.PGSQL.{port}"));
                let attempt = UnixStream::connect(&path).await.map(Stream::Unix);
                (path.display().to_string(), attempt)
            }
            Host::Tcp(name) => {
                let attempt = TcpStream::connect((name.as_str(), port)).await.and_then(|stream| {
                    stream.set_nodelay(true)?;
                    Ok(Stream::Tcp(stream))
                });
                (format!("{name}:{port}"), attempt)
            }
        };
        match attempt {
            Ok(stream) => return Ok(stream),
            Err(source) => failure = Some(WireError::Connect { target, source }),
        }
    }
    Err(failure.unwrap_or(WireError::NoHost))
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Connection {
        Connection {
            stream,
            incoming: BytesMut::with_capacity(8 * 1024),
            outgoing: BytesMut::with_capacity(4 * 1024),
            backend_pid: 0,
            secret_key: 0,
            transaction: Default::default(),
            building: Default::default(),
            result: Default::default(),
            rows: None,
        }
    }
}
