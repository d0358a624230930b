//! The server for one piece of work: one that the user named, or an embedded one; tidied up afterwards.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_postgres::config::Config;
use tokio_util::sync::CancellationToken;

use super::embedded::{Binaries, EmbeddedError, EmbeddedServer};
use super::wire::Connection;
use super::{PostgresError, Server};

/// Names the server to run on, as a URL or a connection string, instead of an embedded one.
pub const URL_VARIABLE: &str = "PGBRAID_DATABASE_URL";

/// The database that a URL or connection string names.
///
/// # Errors
/// When it is none.
pub fn database_named_by(url: &str) -> Result<Option<String>, HostError> {
    let config = url.parse::<Config>().map_err(PostgresError::ConnectionString)?;
    Ok(config.get_dbname().map(str::to_owned))
}

/// Why there is no server to run on.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum HostError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Embedded(#[from] EmbeddedError),
    #[error(transparent)]
    Server(#[from] PostgresError),
    #[error("interrupted")]
    Interrupted,
}

/// How long dropping the databases of a run may take.
const LONGEST_TIDYING: Duration = Duration::from_secs(60);

/// A server for as long as this value lives. Dropping it stops the server that it started, or drops the scratch
/// databases that were created on another.
pub struct Host {
    server: Arc<Server>,
    runtime: Runtime,
    embedded: Option<EmbeddedServer>,
    /// Shows other runs on the same server that this one's databases are in use.
    lease: Option<Connection>,
    warnings: Vec<String>,
}

impl Host {
    /// Connects to the server that `url` names, or starts one, until `interrupt` is cancelled. `runtime` is for its own
    /// connections.
    ///
    /// # Errors
    /// When no server can be started, or the named one cannot be reached or is too old.
    pub fn obtain(runtime: Runtime, url: Option<&str>, interrupt: &CancellationToken) -> Result<Host, HostError> {
        match url {
            Some(url) => Host::given(runtime, url, interrupt),
            None => {
                let embedded = EmbeddedServer::start_unless(&Binaries::find()?, interrupt)?;
                let config = config(&embedded);
                let connected = connect(&runtime, Server::connect(config, true), interrupt)?;
                Ok(Host::new(runtime, connected, Some(embedded), Vec::new()))
            }
        }
    }

    /// Connects to the server that [`URL_VARIABLE`] names, or to the embedded server that the whole process shares: the
    /// first caller starts it, and it is stopped when the process exits.
    ///
    /// # Errors
    /// As [`Host::obtain`].
    pub fn shared(runtime: Runtime) -> Result<Host, HostError> {
        let interrupt = CancellationToken::new();
        match std::env::var(URL_VARIABLE) {
            Ok(url) => Host::given(runtime, &url, &interrupt),
            Err(_) => {
                let connected = connect(&runtime, Server::connect(shared_server()?, true), &interrupt)?;
                Ok(Host::new(runtime, connected, None, Vec::new()))
            }
        }
    }

    fn given(runtime: Runtime, url: &str, interrupt: &CancellationToken) -> Result<Host, HostError> {
        let config = url.parse::<Config>().map_err(PostgresError::ConnectionString)?;
        let mut left = Vec::new();
        let connecting = async {
            let server = Server::connect(config, false).await?;
            left = server.sweep_scratch().await?;
            Ok(server)
        };
        match connect(&runtime, connecting, interrupt) {
            Ok(connected) => {
                let warnings = warnings(&left);
                Ok(Host::new(runtime, connected, None, warnings))
            }
            Err(error) => {
                // looking up a host's name cannot be cancelled, and is not waited for
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    fn new(
        runtime: Runtime,
        (server, lease): (Server, Connection),
        embedded: Option<EmbeddedServer>,
        warnings: Vec<String>,
    ) -> Host {
        Host {
            server: Arc::new(server),
            runtime,
            embedded,
            lease: Some(lease),
            warnings,
        }
    }

    /// Warnings about the server, in words.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Stops the server, or drops the databases. Dropping the value does the same but ignores errors. A second call
    /// does nothing.
    ///
    /// # Errors
    /// When the server cannot be stopped, or a database cannot be dropped.
    pub fn close(&mut self) -> Result<(), HostError> {
        if self.lease.take().is_none() {
            return Ok(());
        }
        match &mut self.embedded {
            Some(embedded) => Ok(embedded.stop()?),
            None => {
                let dropping = async { timeout(LONGEST_TIDYING, self.server.drop_all_scratch()).await };
                match self.runtime.block_on(dropping) {
                    Ok(dropped) => Ok(dropped?),
                    Err(_) => Err(PostgresError::TidyingTooLong(LONGEST_TIDYING).into()),
                }
            }
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // `close` says what goes wrong
        let _ = self.close();
    }
}

/// Takes the server, and the connection that shows that its run is alive.
fn connect(
    runtime: &Runtime,
    server: impl Future<Output = Result<Server, PostgresError>>,
    interrupt: &CancellationToken,
) -> Result<(Server, Connection), HostError> {
    let connecting = async {
        let server = server.await?;
        let lease = server.maintenance().await?;
        Ok((server, lease))
    };
    runtime.block_on(async {
        tokio::select! {
            biased;
            () = interrupt.cancelled() => Err(HostError::Interrupted),
            connected = connecting => connected,
        }
    })
}

fn warnings(left: &[(String, PostgresError)]) -> Vec<String> {
    if left.is_empty() {
        return Vec::new();
    }
    let each = left.iter().map(|(name, error)| format!("{name}: {error}"));
    vec![format!(
        "databases that earlier runs left cannot be dropped; {}",
        each.collect::<Vec<_>>().join("; ")
    )]
}

static SHARED: Mutex<Option<EmbeddedServer>> = Mutex::new(None);

/// How to connect to the embedded server that the whole process shares.
///
/// # Errors
/// When it cannot be started.
pub fn shared_server() -> Result<Config, EmbeddedError> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = &*shared {
        return Ok(config(server));
    }
    let server = EmbeddedServer::start(&Binaries::find()?)?;
    let config = config(&server);
    // statics are not dropped
    #[allow(unsafe_code, reason = "atexit has no safe interface")]
    //
    // SAFETY: `stop_shared` is a plain function that does not unwind into its caller. If it cannot be registered, the
    // server is stopped like that of a killed process.
    unsafe {
        libc::atexit(stop_shared)
    };
    *shared = Some(server);
    Ok(config)
}

extern "C" fn stop_shared() {
    drop(SHARED.lock().unwrap_or_else(PoisonError::into_inner).take());
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
