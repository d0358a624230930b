//! Where a server may be.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::config::{Config, Host};

use super::WireError;
use super::stream::Stream;

const DEFAULT_PORT: u16 = 5432;

/// How long a server may take until it accepts queries, if the connection string has no `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// One of the hosts that a connection string names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Unix(PathBuf),
    Tcp(String, u16),
}

impl Target {
    /// All hosts of a connection string, in its order.
    pub fn all(config: &Config) -> impl Iterator<Item = Target> + '_ {
        config.get_hosts().iter().enumerate().map(|(index, host)| {
            let port = match config.get_ports() {
                [] => DEFAULT_PORT,
                [port] => *port,
                ports => ports.get(index).copied().unwrap_or(DEFAULT_PORT),
            };
            match host {
                Host::Unix(folder) => Target::Unix(folder.join(format!(".s.PGSQL.{port}"))),
                Host::Tcp(name) => Target::Tcp(name.clone(), port),
            }
        })
    }

    pub async fn connect(&self) -> Result<Stream, WireError> {
        let attempt: io::Result<Stream> = match self {
            Target::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            Target::Tcp(name, port) => TcpStream::connect((name.as_str(), *port)).await.and_then(|stream| {
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }),
        };
        attempt.map_err(|source| WireError::Connect {
            target: self.to_string(),
            source,
        })
    }

    /// Limits the time until the server at this place has answered.
    pub async fn in_time<T, E: From<WireError>>(
        &self,
        config: &Config,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let limit = config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
        match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(E::from(WireError::NoAnswer {
                target: self.to_string(),
                limit,
            })),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Unix(path) => write!(f, "{}", path.display()),
            Target::Tcp(name, port) => write!(f, "{name}:{port}"),
        }
    }
}
