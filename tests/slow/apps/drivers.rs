//! What drivers can ask of a server, with pgbraid between the two and without. docs/programs.md has the table.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};

use super::folder::apps;
use crate::common::lab::Lab;
use crate::common::server::{OwnServer, busy_runtime, connect};

const SETUP: &str = "CREATE TABLE items (
  id serial PRIMARY KEY,
  name text NOT NULL,
  price numeric(8, 2),
  active boolean,
  data bytea,
  at timestamptz
);
INSERT INTO items (name, price, active) VALUES ('a', 1.25, true), ('b', NULL, false), ('c', 3, NULL);";

/// A program that shows one thing a run: which is its argument.
struct Driver {
    folder: &'static str,
    command: &'static [&'static str],
}

impl Driver {
    fn command(&self, feature: &str) -> Vec<String> {
        self.command
            .iter()
            .copied()
            .chain([feature])
            .map(str::to_owned)
            .collect()
    }

    fn folder(&self) -> PathBuf {
        apps().join(self.folder)
    }

    /// What it prints where it speaks with a server itself.
    fn directly(&self, feature: &str) -> String {
        let runtime = busy_runtime();
        // a database that comes or goes is seen by scenarios on the same server
        let server = OwnServer::start();
        let config = server.config();
        let client = runtime.block_on(connect(&config));
        let database = format!("driver_{feature}");
        runtime
            .block_on(client.batch_execute(&format!("CREATE DATABASE {database}")))
            .unwrap();
        let mut own = config.clone();
        own.dbname(&database);
        runtime.block_on(async { connect(&own).await.batch_execute(SETUP).await.unwrap() });
        // not every driver knows Unix sockets, at which alone the server listens
        let port = runtime.block_on(tcp_port_of(server.socket()));
        let words = self.command(feature);
        let output = Command::new(&words[0])
            .args(&words[1..])
            .current_dir(self.folder())
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", port.to_string())
            .env("PGUSER", config.get_user().unwrap())
            .env("PGPASSWORD", "any")
            .env("PGDATABASE", &database)
            .env("PGSSLMODE", "disable")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), output.stderr);
        assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&stderr));
        stdout
    }

    /// What it prints where it is a session.
    fn scheduled(&self, feature: &str) -> String {
        let toml = format!(
            "setup = '''{SETUP}'''\n[[session]]\nname = 'client'\ncommand = {:?}\ncwd = {:?}\n\
             [[invariant]]\nname = 'it ended well'\nsql = 'SELECT bool_and(committed) FROM pgbraid.sessions'",
            self.command(feature),
            self.folder(),
        );
        let lab = Lab::new();
        let run = lab.bench(&toml).run("client");
        let (_, output) = run.outputs[0].clone();
        assert_eq!(run.violated(), Vec::<String>::new(), "{output:?}");
        assert!(!run.history.moves.is_empty());
        output.stdout
    }
}

/// Hands what comes to a TCP port on to a socket.
pub async fn tcp_port_of(socket: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut far = UnixStream::connect(socket).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    port
}

/// A test for each thing that each driver can do.
macro_rules! drivers {
    ($($name:ident: $folder:literal, $command:expr, [$($feature:ident),*];)*) => {
        $(mod $name {
            $(#[test]
            fn $feature() {
                let driver = super::Driver { folder: $folder, command: $command };
                let alone = driver.directly(stringify!($feature));
                assert_ne!(alone, "");
                assert_eq!(driver.scheduled(stringify!($feature)), alone);
            })*
        })*
    };
}

drivers! {
    psycopg: "python/drivers", &["../venv/bin/python", "with_psycopg3.py"],
        [plain, parameters, prepared, portals, pipeline, copy, failed_copy, error, error_in_transaction, cancel, notices];
    psycopg_in_pipeline_mode: "python/drivers", &["../venv/bin/python", "with_psycopg3_pipeline.py"],
        [plain, parameters, prepared, pipeline, error, error_in_transaction, cancel];
    psycopg2: "python/drivers", &["../venv/bin/python", "with_psycopg2.py"],
        [plain, parameters, prepared, copy, error, error_in_transaction, cancel];
    asyncpg: "python/drivers", &["../venv/bin/python", "with_asyncpg.py"],
        [plain, parameters, prepared, portals, pipeline, copy, error, error_in_transaction, cancel];
    sqlalchemy: "python/drivers", &["../venv/bin/python", "with_sqlalchemy.py"],
        [plain, parameters, prepared, pipeline, copy, error, error_in_transaction, cancel];
    django: "python/drivers", &["../venv/bin/python", "with_django.py"],
        [plain, parameters, prepared, portals, pipeline, copy, error, error_in_transaction, cancel];
    node_postgres: "node/drivers", &["node", "with_pg.js"],
        [plain, parameters, prepared, error, error_in_transaction, cancel];
    postgres_js: "node/drivers", &["node", "with_postgres.js"],
        [plain, parameters, prepared, portals, pipeline, copy, error, error_in_transaction, cancel];
    pdo: "php/drivers", &["php", "pdo.php"],
        [plain, parameters, prepared, copy, error, error_in_transaction];
    ruby_pg: "ruby/drivers", &["ruby", "with_pg.rb"],
        [plain, parameters, prepared, pipeline, copy, error, error_in_transaction, cancel];
    pgjdbc: "java/drivers", &["java", "-cp", "../classes:/usr/share/java/postgresql.jar", "WithPgjdbc"],
        [plain, parameters, prepared, portals, pipeline, copy, error, error_in_transaction, cancel];
    tokio_postgres: "rust/drivers", &["../target/debug/with_tokio_postgres"],
        [plain, parameters, prepared, portals, pipeline, copy, error, error_in_transaction, cancel];
}
