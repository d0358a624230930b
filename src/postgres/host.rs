//! The server for one piece of work: given or embedded, and tidied up afterwards.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Runtime;
use tokio_postgres::config::Config;
use tokio_util::sync::CancellationToken;

use super::embedded::{Binaries, EmbeddedError, EmbeddedServer};
use super::wire::Connection;
use super::{PostgresError, Server};

/// Names the server to run on, as a URL or a connection string, where one is not to be started.
pub const URL_VARIABLE: &str = "PGBRAID_DATABASE_URL";

/// Why there is no server to run on.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum HostError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Embedded(#[from] EmbeddedError),
    #[error(transparent)]
    Server(#[from] PostgresError),
}

/// A server for as long as this lives. Dropping it stops the server that it started, or drops the scratch databases that
/// were made on another.
pub struct Host {
    server: Arc<Server>,
    runtime: Runtime,
    embedded: Option<EmbeddedServer>,
    /// Shows other runs on the same server that this one's databases are in use.
    lease: Option<Connection>,
}

impl Host {
    /// Connects to the server that `url` names, or starts one, until `interrupt` is cancelled. `runtime` is for the
    /// connections that are its own.
    ///
    /// # Errors
    /// When no server can be started, or the given one cannot be reached or is too old.
    pub fn obtain(runtime: Runtime, url: Option<&str>, interrupt: &CancellationToken) -> Result<Host, HostError> {
        match url {
            Some(url) => Host::given(runtime, url),
            None => {
                let embedded = EmbeddedServer::start_unless(&Binaries::find()?, interrupt)?;
                let config = config(&embedded);
                Host::connect(runtime, config, Some(embedded), true)
            }
        }
    }

    /// Connects to the server that [`URL_VARIABLE`] names, or to the embedded server that all of this process share: it
    /// is started by the first that asks, and stopped when the process exits.
    ///
    /// # Errors
    /// As [`Host::obtain`].
    pub fn shared(runtime: Runtime) -> Result<Host, HostError> {
        match std::env::var(URL_VARIABLE) {
            Ok(url) => Host::given(runtime, &url),
            Err(_) => Host::connect(runtime, shared_server()?, None, true),
        }
    }

    fn given(runtime: Runtime, url: &str) -> Result<Host, HostError> {
        let config = url.parse::<Config>().map_err(PostgresError::ConnectionString)?;
        let host = Host::connect(runtime, config, None, false)?;
        host.runtime.block_on(host.server.sweep_scratch())?;
        Ok(host)
    }

    fn connect(
        runtime: Runtime,
        config: Config,
        embedded: Option<EmbeddedServer>,
        signals: bool,
    ) -> Result<Host, HostError> {
        let connecting = async {
            let server = Server::connect(config, signals).await?;
            let lease = server.maintenance().await?;
            Ok::<_, PostgresError>((server, lease))
        };
        let (server, lease) = runtime.block_on(connecting)?;
        Ok(Host {
            server: Arc::new(server),
            runtime,
            embedded,
            lease: Some(lease),
        })
    }

    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Stops the server, or drops the databases; a drop does the same and keeps errors to itself. A second call does
    /// nothing.
    ///
    /// # Errors
    /// When the server cannot be stopped, or a database cannot be dropped.
    pub fn close(&mut self) -> Result<(), HostError> {
        if self.lease.take().is_none() {
            return Ok(());
        }
        match &mut self.embedded {
            Some(embedded) => Ok(embedded.stop()?),
            None => Ok(self.runtime.block_on(self.server.drop_all_scratch())?),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // whoever wants to know has called `close`
        let _ = self.close();
    }
}

static SHARED: Mutex<Option<EmbeddedServer>> = Mutex::new(None);

/// How to connect to the embedded server that all of this process share.
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
    // SAFETY: `stop_shared` is a plain function that does not unwind into its caller. Where it cannot be registered, the
    // server is stopped as that of a killed process is.
    unsafe { libc::atexit(stop_shared) };
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
