//! The server of one command: embedded or given, tidied up however the command ends.

use std::sync::Arc;

use pgbraid::postgres::Server;
use pgbraid::postgres::embedded::{Binaries, EmbeddedServer, sweep_leftovers};
use pgbraid::postgres::wire::Connection;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::config::Config;
use tokio_util::sync::CancellationToken;

use super::exit::Failure;

/// A server for as long as this lives. Dropping it stops the server, or drops the scratch databases on one that was
/// given.
pub struct Host {
    pub server: Arc<Server>,
    /// Cancelled by Ctrl-C or SIGTERM.
    pub interrupt: CancellationToken,
    pub runtime: Runtime,
    embedded: Option<EmbeddedServer>,
    /// Shows other runs on the same server that this one's databases are in use.
    _lease: Connection,
}

impl Host {
    /// Connects to the server that `url` names, or starts one.
    pub fn obtain(url: Option<&str>) -> Result<Host, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(Failure::Runtime)?;
        let interrupt = listen_for_signals(&runtime).map_err(Failure::Runtime)?;
        let (config, embedded) = match url {
            Some(url) => {
                let config = url
                    .parse::<Config>()
                    .map_err(|error| Failure::Server(pgbraid::postgres::PostgresError::ConnectionString(error)))?;
                (config, None)
            }
            None => {
                sweep_leftovers();
                let embedded = EmbeddedServer::start(&Binaries::find()?)?;
                let mut config = Config::new();
                config
                    .host_path(embedded.socket_dir())
                    .port(embedded.port())
                    .user(embedded.user())
                    .dbname("postgres");
                (config, Some(embedded))
            }
        };
        if interrupt.is_cancelled() {
            return Err(Failure::Interrupted);
        }
        let signals = embedded.is_some();
        let (server, lease) = runtime
            .block_on(async {
                let server = Server::connect(config, signals).await?;
                let lease = server.maintenance().await?;
                if !signals {
                    server.sweep_scratch().await?;
                }
                Ok((server, lease))
            })
            .map_err(Failure::Server)?;
        Ok(Host {
            server: Arc::new(server),
            interrupt,
            runtime,
            embedded,
            _lease: lease,
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let stopped = match &mut self.embedded {
            Some(embedded) => embedded.stop().map_err(|error| error.to_string()),
            None => self
                .runtime
                .block_on(self.server.drop_all_scratch())
                .map_err(|error| error.to_string()),
        };
        if let Err(error) = stopped {
            eprintln!("warning: tidying up failed: {error}");
        }
    }
}

fn listen_for_signals(runtime: &Runtime) -> std::io::Result<CancellationToken> {
    let interrupt = CancellationToken::new();
    let _guard = runtime.enter();
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let token = interrupt.clone();
    runtime.spawn(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        token.cancel();
    });
    Ok(interrupt)
}
