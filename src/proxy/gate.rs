//! Where a program connects: a port on the loopback interface and a Unix socket, both of which ask for a password.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rand::distr::{Alphanumeric, SampleString};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::{put_text, queue_message, take_text};
use super::{Client, LOGIN_TIMEOUT, ProxyError};
use crate::postgres::wire::Stream;

const SSL_REQUEST: i32 = 80_877_103;
const GSSENC_REQUEST: i32 = 80_877_104;
const CANCEL_REQUEST: i32 = 80_877_102;
/// Version 3.0 of the protocol; the lower half is the minor version.
const VERSION_3: i32 = 3 << 16;

const CLEARTEXT_PASSWORD: i32 = 3;

/// The name that programs are given for the database.
const DATABASE: &str = "app";

/// Somebody at the gate.
#[derive(Debug)]
pub enum Arrival {
    /// A program has logged in. It awaits the end of its login, and the settings that it asked for.
    Client(Client, Login),
    /// A program asks for a query to be cancelled, and knows that it was when its client is hung up on.
    Cancel {
        backend_pid: i32,
        secret_key: i32,
        client: Client,
    },
}

/// What a program says of itself as it connects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// Its settings, user and database among them, in its order.
    pub parameters: Vec<(String, String)>,
}

/// Listens for the connections of one program.
#[derive(Debug)]
pub struct Gate {
    port: u16,
    folder: TempDir,
    user: String,
    password: String,
    arrivals: UnboundedReceiver<Arrival>,
    _tasks: JoinSet<()>,
}

impl Gate {
    /// Opens a gate for a program that is to connect as `user`.
    ///
    /// # Errors
    /// When nothing can be listened at.
    pub async fn open(user: &str) -> Result<Gate, ProxyError> {
        Gate::listen(user).await.map_err(ProxyError::Listen)
    }

    async fn listen(user: &str) -> io::Result<Gate> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = tcp.local_addr()?.port();
        // only the account itself may look into it
        let folder = tempfile::Builder::new().prefix("pgbraid-gate-").tempdir()?;
        let unix = UnixListener::bind(folder.path().join(format!(".s.PGSQL.{port}")))?;
        let password = Alphanumeric.sample_string(&mut rand::rng(), 32);
        let (sender, arrivals) = unbounded_channel();
        let mut tasks = JoinSet::new();
        let entry = Entry {
            password: password.clone(),
            sender,
        };
        tasks.spawn(entry.clone().accept_tcp(tcp));
        tasks.spawn(entry.accept_unix(unix));
        Ok(Gate {
            port,
            folder,
            user: user.to_owned(),
            password,
            arrivals,
            _tasks: tasks,
        })
    }

    /// Who has come, once somebody has.
    pub fn poll_arrival(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Arrival>> {
        self.arrivals.poll_recv(cx)
    }

    /// The next who comes.
    pub async fn arrival(&mut self) -> Option<Arrival> {
        self.arrivals.recv().await
    }

    /// Its port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its Unix socket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A text of those variables that no other process has.
    pub fn marker(&self) -> String {
        self.password.clone()
    }

    /// The address as a URL, with the user and the password.
    pub fn url(&self) -> String {
        let Gate {
            port, user, password, ..
        } = self;
        let host = Ipv4Addr::LOCALHOST;
        format!("postgresql://{}:{password}@{host}:{port}/{DATABASE}", encoded(user))
    }

    /// The environment variables that send a program here.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let Gate {
            port, user, password, ..
        } = self;
        let host = Ipv4Addr::LOCALHOST;
        vec![
            ("DATABASE_URL", self.url()),
            ("PGHOST", host.to_string()),
            ("PGPORT", port.to_string()),
            ("PGUSER", user.clone()),
            ("PGPASSWORD", password.clone()),
            ("PGDATABASE", DATABASE.to_owned()),
            ("PGSSLMODE", "disable".to_owned()),
            (
                "PGBRAID_SOCKET_FOLDER",
                PathBuf::from(self.folder()).display().to_string(),
            ),
        ]
    }
}

/// A name as a URL has it.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let part = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    name.bytes().map(part).collect()
}

#[derive(Debug, Clone)]
struct Entry {
    password: String,
    sender: UnboundedSender<Arrival>,
}

impl Entry {
    async fn accept_tcp(self, listener: TcpListener) {
        let mut logins = JoinSet::new();
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                logins.spawn(self.clone().log_in(Stream::Tcp(stream)));
            }
            while logins.try_join_next().is_some() {}
        }
    }

    async fn accept_unix(self, listener: UnixListener) {
        let mut logins = JoinSet::new();
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                logins.spawn(self.clone().log_in(Stream::Unix(stream)));
            }
            while logins.try_join_next().is_some() {}
        }
    }

    /// One who gives up, or is no client of Postgres, has not come.
    async fn log_in(self, stream: Stream) {
        if let Ok(Ok(Some(arrival))) = timeout(LOGIN_TIMEOUT, self.greet(Client::new(stream))).await {
            let _ = self.sender.send(arrival);
        }
    }

    async fn greet(&self, mut client: Client) -> io::Result<Option<Arrival>> {
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        loop {
            let mut packet = client.read_startup().await?;
            match packet.get_i32() {
                SSL_REQUEST | GSSENC_REQUEST => client.write(b"N").await?,
                CANCEL_REQUEST if packet.remaining() != 8 => return Err(malformed()),
                CANCEL_REQUEST => {
                    return Ok(Some(Arrival::Cancel {
                        backend_pid: packet.get_i32(),
                        secret_key: packet.get_i32(),
                        client,
                    }));
                }
                version if version >> 16 == VERSION_3 >> 16 => {
                    let (login, unknown) = login(&mut packet).map_err(|_| malformed())?;
                    if version != VERSION_3 || !unknown.is_empty() {
                        client.write(&negotiation(&unknown)).await?;
                    }
                    return self.ask_for_password(client, login).await;
                }
                version => {
                    let (major, minor) = (version >> 16, version & 0xffff);
                    let message = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.0");
                    client.refuse("0A000", &message).await;
                    return Ok(None);
                }
            }
        }
    }

    async fn ask_for_password(&self, mut client: Client, login: Login) -> io::Result<Option<Arrival>> {
        let mut question = BytesMut::new();
        queue_message(&mut question, b'R', |body| body.put_i32(CLEARTEXT_PASSWORD));
        client.write(&question).await?;
        let (kind, answer) = client.read_login().await?;
        if kind == b'p' && answer.strip_suffix(&[0]) == Some(self.password.as_bytes()) {
            return Ok(Some(Arrival::Client(client, login)));
        }
        let message = "pgbraid gave this program another password, in PGPASSWORD and DATABASE_URL";
        client.refuse("28P01", message).await;
        Ok(None)
    }
}

/// A startup packet's settings, and the options of the protocol among them, none of which is known.
fn login(packet: &mut Bytes) -> Result<(Login, Vec<String>), ProxyError> {
    // the server applies what is in `options` first
    let mut first = Vec::new();
    let mut parameters = Vec::new();
    let mut unknown = Vec::new();
    loop {
        let name = take_text(packet)?;
        if name.is_empty() {
            first.append(&mut parameters);
            return Ok((Login { parameters: first }, unknown));
        }
        let value = take_text(packet)?;
        let settings = (name == "options").then(|| settings_in(&value)).flatten();
        match settings {
            Some(settings) => first.extend(settings),
            None if name.starts_with("_pq_.") => unknown.push(name),
            None => parameters.push((name, value)),
        }
    }
}

/// The settings that `options` has, if it has nothing else: `-c name=value` and `--name=value`, with spaces between that are
/// not behind a backslash.
fn settings_in(options: &str) -> Option<Vec<(String, String)>> {
    let mut words = vec![String::new()];
    let mut letters = options.chars();
    while let Some(letter) = letters.next() {
        if letter.is_ascii_whitespace() {
            words.push(String::new());
        } else if let Some(word) = words.last_mut() {
            word.extend(if letter == '\\' { letters.next() } else { Some(letter) });
        }
    }
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--").or(word.strip_prefix("-c"))? {
            "" if word == "-c" => words.next()?,
            text => text.to_owned(),
        };
        let (name, value) = setting.split_once('=')?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Some(settings)
}

/// NegotiateProtocolVersion: the version, which servers write as a client does, and the options that are not known.
fn negotiation(unknown: &[String]) -> BytesMut {
    let mut message = BytesMut::new();
    queue_message(&mut message, b'v', |body| {
        body.put_i32(VERSION_3);
        body.put_i32(i32::try_from(unknown.len()).unwrap_or(i32::MAX));
        for name in unknown {
            put_text(body, name);
        }
    });
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: &str) -> Option<Vec<(String, String)>> {
        let mut packet = BytesMut::new();
        for text in ["application_name", "mine", "options", options, "user", "ann", ""] {
            put_text(&mut packet, text);
        }
        let (login, unknown) = login(&mut packet.freeze()).unwrap();
        assert!(unknown.is_empty());
        let mut parameters = login.parameters;
        if parameters.iter().any(|(name, _)| name == "options") {
            return None;
        }
        let rest = parameters.split_off(parameters.len() - 2);
        assert_eq!(rest[0].0, "application_name");
        Some(parameters)
    }

    #[test]
    fn options_are_settings() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let (path, zone) = (pair("search_path", "a, b"), pair("timezone", "UTC"));
        assert_eq!(
            settings(r"-c search_path=a,\ b  --timezone=UTC"),
            Some(vec![path, zone.clone()])
        );
        assert_eq!(settings("-ctimezone=UTC"), Some(vec![zone]));
        assert_eq!(settings("--lc-time=C"), Some(vec![pair("lc_time", "C")]));
        for other in ["-d 1", "-c", "-c timezone", "--timezone"] {
            assert_eq!(settings(other), None, "{other}");
        }
    }
}
