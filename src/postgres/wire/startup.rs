//! Opening a connection: sockets, the startup message, authentication.

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::{backend::Message, frontend};
use tokio_postgres::config::{Config, SslMode};

use super::connection::invalid;
use super::incoming::MOST_AT_START;
use super::stream::Stream;
use super::target::Target;
use super::{Connection, WireError, reply};

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
        let mut failure = WireError::NoHost;
        for target in Target::all(config) {
            let opening = Connection::open_at(&target, config, database, settings);
            match target.in_time(config, opening).await {
                Err(error @ (WireError::Connect { .. } | WireError::NoAnswer { .. })) => failure = error,
                opened => return opened,
            }
        }
        Err(failure)
    }

    async fn open_at(
        target: &Target,
        config: &Config,
        database: &str,
        settings: &[(&str, &str)],
    ) -> Result<Connection, WireError> {
        let mut connection = Connection::new(target.clone(), target.connect().await?);
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
                    return Err(unsupported("a SASL mechanism other than SCRAM-SHA-256"));
                }
                self.scram(password()?).await?;
            }
            Message::AuthenticationKerberosV5 | Message::AuthenticationGss => return Err(unsupported("Kerberos")),
            Message::AuthenticationSspi => return Err(unsupported("SSPI")),
            Message::AuthenticationScmCredential => return Err(unsupported("credentials of the socket")),
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
                Message::ParameterStatus(body) => {
                    let name = body.name().map_err(invalid)?.to_owned();
                    self.parameters.push((name, body.value().map_err(invalid)?.to_owned()));
                }
                Message::NoticeResponse(_) => {}
                Message::ReadyForQuery(_) if self.backend_pid == 0 => {
                    return Err(WireError::Protocol("the session's process has no number".into()));
                }
                Message::ReadyForQuery(_) => return Ok(()),
                _ => return Err(WireError::Protocol("while the session starts".into())),
            }
        }
    }

    async fn startup_message(&mut self) -> Result<Message, WireError> {
        match self.read_message().await {
            Ok(Message::ErrorResponse(body)) => Err(WireError::Refused(reply::error(&body)?)),
            Ok(message) => Ok(message),
            // another kind of server, most likely
            Err(WireError::Protocol(why)) => Err(self.not_postgres(why)),
            Err(WireError::TooLarge) => Err(self.not_postgres("a message is too long, or there are too many".into())),
            Err(other) => Err(other),
        }
    }

    fn not_postgres(&self, why: String) -> WireError {
        WireError::NotPostgres {
            target: self.target.to_string(),
            why,
        }
    }
}

fn unsupported(method: &str) -> WireError {
    WireError::UnsupportedAuthentication(method.to_owned())
}

impl Connection {
    pub(super) fn new(target: Target, stream: Stream) -> Connection {
        Connection {
            target,
            stream,
            incoming: BytesMut::with_capacity(8 * 1024),
            budget: MOST_AT_START,
            outgoing: BytesMut::with_capacity(4 * 1024),
            backend_pid: 0,
            secret_key: 0,
            parameters: Vec::new(),
            transaction: Default::default(),
            building: Default::default(),
            result: Default::default(),
            rows: None,
        }
    }
}
