//! Embedded servers: one for all tests of a binary, and ones of a test's own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pgbraid::postgres::embedded::{Binaries, EmbeddedServer};
use pgbraid::postgres::host;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls};

/// How to connect to the server that all tests of this binary share. It is started by the first that asks, and stopped
/// when the process exits.
pub fn shared_server() -> Config {
    host::shared_server().unwrap()
}

/// A server for one test, stopped when this is dropped.
pub struct OwnServer(EmbeddedServer);

impl OwnServer {
    pub fn start() -> OwnServer {
        OwnServer(start())
    }

    pub fn config(&self) -> Config {
        config(&self.0)
    }

    /// The postmaster.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    pub fn socket(&self) -> PathBuf {
        self.0.socket_dir().join(format!(".s.PGSQL.{}", self.0.port()))
    }

    /// For `--database-url`.
    pub fn url(&self, user: &str) -> String {
        let folder = self.0.socket_dir().display();
        format!("host={folder} port={} user={user} dbname=postgres", self.0.port())
    }
}

fn start() -> EmbeddedServer {
    EmbeddedServer::start(&Binaries::find().unwrap()).unwrap()
}

fn config(server: &EmbeddedServer) -> Config {
    let mut config = Config::new();
    config
        .host_path(server.socket_dir())
        .port(server.port())
        .user(server.user())
        .dbname("postgres");
    config
}

/// For a test's own connections.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// The same, where connections are to be read while nobody waits for them.
pub fn busy_runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// A client that is no session of a run.
pub async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Waits until `condition` gives something; a test that waits for what does not come fails.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
