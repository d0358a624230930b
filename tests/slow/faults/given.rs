//! The server that trials are given.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio_postgres::Client;

use crate::common::server::{OwnServer, busy_runtime};

const READY_LIMIT: Duration = Duration::from_secs(10);

pub struct Given {
    runtime: Runtime,
    server: OwnServer,
}

impl Given {
    pub fn start() -> Given {
        let runtime = busy_runtime();
        Given {
            runtime,
            server: OwnServer::start(),
        }
    }

    pub fn url(&self) -> String {
        self.server.url("postgres")
    }

    pub fn socket(&self) -> std::path::PathBuf {
        self.server.socket()
    }

    pub fn postmaster(&self) -> i32 {
        self.server.pid().cast_signed()
    }

    /// A client, when the server takes one; it may be recovering from a crash.
    fn client(&self) -> Option<Client> {
        let deadline = Instant::now() + READY_LIMIT;
        let mut config = self.server.config();
        config.connect_timeout(Duration::from_secs(2));
        loop {
            let connecting = async {
                let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
                tokio::spawn(connection);
                client.simple_query("SELECT 1").await?;
                Ok::<_, tokio_postgres::Error>(client)
            };
            match self.runtime.block_on(connecting) {
                Ok(client) => return Some(client),
                Err(_) if Instant::now() > deadline => return None,
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    pub fn is_ready(&self) -> bool {
        self.client().is_some()
    }

    /// The scratch databases of a run, by its process. Backends end a moment after their clients.
    pub fn databases(&self, run: u32) -> Vec<String> {
        let Some(client) = self.client() else {
            return Vec::new();
        };
        let sql =
            format!("SELECT datname::text FROM pg_database WHERE datname ~ '^pgbraid_scratch_[0-9a-f]+_{run:x}_'");
        let rows = self.runtime.block_on(client.query(&sql, &[]));
        rows.map(|rows| rows.iter().map(|row| row.get(0)).collect())
            .unwrap_or_default()
    }
}
