//! The server of one command, tidied up however the command ends.

use std::sync::Arc;

use pgbraid::postgres::Server;
use pgbraid::postgres::host;
use pgbraid::run::{RunError, Template};
use pgbraid::scenario::Scenario;
use pgbraid::terminal::visible_lines;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit::CommandError;
use super::output;

/// A server for as long as this value lives, and the signals that end the command.
pub struct Host {
    pub server: Arc<Server>,
    /// Cancelled by Ctrl-C or SIGTERM.
    pub interrupt: CancellationToken,
    host: host::Host,
}

impl Host {
    /// Connects to the server that `url` names, or starts one.
    pub fn obtain(url: Option<&str>) -> Result<Host, CommandError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(CommandError::Runtime)?;
        let interrupt = listen_for_signals(&runtime).map_err(CommandError::Runtime)?;
        let host = host::Host::obtain(runtime, url, &interrupt)?;
        for warning in host.warnings() {
            output::say(visible_lines(&format!("warning: {warning}")));
        }
        if interrupt.is_cancelled() {
            return Err(CommandError::Interrupted);
        }
        Ok(Host {
            server: host.server().clone(),
            interrupt,
            host,
        })
    }

    /// A server to run scenarios on, whose steps should keep to pgbraid's databases.
    pub fn for_scenarios(url: Option<&str>) -> Result<Host, CommandError> {
        let host = Host::obtain(url)?;
        if let (Some(_), Some(superuser)) = (url, host.server.superuser()) {
            output::say(visible_lines(&format!(
                "warning: sessions run as {superuser}, a superuser: what their steps do beyond pgbraid's databases is \
                 seen at best, and not taken back. A role of its own is safer: CREATE ROLE pgbraid LOGIN CREATEDB"
            )));
        }
        Ok(host)
    }

    /// Runs the setup of a scenario.
    pub fn prepare(&self, scenario: &Arc<Scenario>) -> Result<Arc<Template>, RunError> {
        let prepared = self.runtime().block_on(async {
            tokio::select! {
                biased;
                () = self.interrupt.cancelled() => Err(RunError::Interrupted),
                template = Template::prepare(self.server.clone(), scenario.clone()) => template,
            }
        });
        Ok(Arc::new(prepared?))
    }

    pub fn runtime(&self) -> &Runtime {
        self.host.runtime()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Err(error) = self.host.close() {
            output::say(visible_lines(&format!("warning: tidying up failed: {error}")));
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
