//! A server that pgbraid did not start.

use std::path::Path;
use std::process::Command;

use tokio::runtime::Runtime;
use tokio_postgres::Client;

use super::program::{Finished, Place, finish, fixture};
use super::server::{OwnServer, busy_runtime, connect, eventually};

/// A server, a client on it that looks at what runs leave there, and a folder for what runs on it.
pub struct Given {
    pub runtime: Runtime,
    client: Client,
    pub server: OwnServer,
    pub place: Place,
}

#[derive(Debug, PartialEq)]
pub struct Inventory {
    databases: Vec<String>,
    roles: Vec<String>,
    backends: Vec<String>,
}

impl Given {
    pub fn start() -> Given {
        let runtime = busy_runtime();
        let server = OwnServer::start();
        let client = runtime.block_on(connect(&server.config()));
        Given {
            runtime,
            client,
            server,
            place: Place::new(),
        }
    }

    /// Explores a scenario under `fixtures/`.
    pub fn explore(&self, scenario: &str, user: &str) -> Command {
        self.explore_file(&fixture(scenario), user)
    }

    pub fn explore_file(&self, scenario: &Path, user: &str) -> Command {
        let mut command = self.place.explore(scenario);
        command.arg("--database-url").arg(self.server.url(user));
        command
    }

    pub fn column(&self, sql: &str) -> Vec<String> {
        let rows = self.runtime.block_on(self.client.query(sql, &[])).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub fn execute(&self, sql: &str) {
        self.runtime.block_on(self.client.batch_execute(sql)).unwrap();
    }

    /// Explores a scenario of a test's own.
    pub fn explore_text(&self, user: &str, toml: &str) -> Finished {
        let file = self.place.write("scenario.toml", toml);
        finish(self.explore_file(&file, user))
    }

    pub fn scratch_databases(&self) -> Vec<String> {
        self.column("SELECT datname::text FROM pg_database WHERE datname LIKE 'pgbraid%'")
    }

    pub fn backends(&self) -> Vec<String> {
        self.column("SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'pgbraid%'")
    }

    pub fn inventory(&self) -> Inventory {
        // a backend ends a moment after its client has gone
        eventually("the end of pgbraid's backends", || {
            self.backends().is_empty().then_some(())
        });
        Inventory {
            databases: self.column("SELECT datname::text FROM pg_database ORDER BY 1"),
            roles: self.column("SELECT rolname::text FROM pg_roles ORDER BY 1"),
            backends: self
                .column("SELECT datname::text FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname <> ''"),
        }
    }
}
