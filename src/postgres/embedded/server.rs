//! The embedded server as the rest of pgbraid sees it.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::binaries::{Binaries, ServerVersion};
use super::cluster::Cluster;
use super::error::EmbeddedError;
use super::initdb::USER;
use super::leftovers::sweep;
use super::postmaster::Postmaster;
use super::run_folder::{PORT, RunFolder};

/// A running PostgreSQL server with an empty cluster, reached through a Unix socket. Stopped and removed when dropped.
///
/// Connect to [`socket_dir`](Self::socket_dir) and [`port`](Self::port) as [`user`](Self::user), a superuser, without a
/// password.
#[derive(Debug)]
pub struct EmbeddedServer {
    socket_dir: PathBuf,
    version: ServerVersion,
    pid: u32,
    keeper: Option<Keeper>,
}

impl EmbeddedServer {
    /// Makes a cluster in a temporary folder and starts a server on it; returns when it accepts connections, usually
    /// within a second.
    ///
    /// Started as root, the server runs as the account `postgres`, else `nobody`, else the first that is not root. What
    /// killed runs left behind is removed on the way.
    ///
    /// # Errors
    ///
    /// No account may run the programs, no temporary folder can hold the server, or `initdb` or the server fails; the
    /// error then shows what it said.
    pub fn start(binaries: &Binaries) -> Result<EmbeddedServer, EmbeddedError> {
        EmbeddedServer::start_unless(binaries, &CancellationToken::new())
    }

    /// As [`start`](Self::start), until `interrupt` is cancelled: then nothing is left behind.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and [`EmbeddedError::Interrupted`].
    pub fn start_unless(binaries: &Binaries, interrupt: &CancellationToken) -> Result<EmbeddedServer, EmbeddedError> {
        let account = Account::for_server()?;
        sweep(account.as_ref(), interrupt);
        if interrupt.is_cancelled() {
            return Err(EmbeddedError::Interrupted);
        }
        let folder = Arc::new(RunFolder::create(account.as_ref())?);
        let socket_dir = folder.path().to_owned();
        let (keeper, pid) = Keeper::start(binaries.clone(), folder, interrupt.clone())?;
        Ok(EmbeddedServer {
            socket_dir,
            version: binaries.version().clone(),
            pid,
            keeper: Some(keeper),
        })
    }

    /// Stops the server at once and removes its folder; returns when all of its processes are gone, usually within
    /// 50 ms. A second call does nothing.
    ///
    /// # Errors
    ///
    /// A process of the server does not end within ten seconds, or the folder cannot be removed.
    pub fn stop(&mut self) -> Result<(), EmbeddedError> {
        self.keeper.take().map_or(Ok(()), Keeper::stop)
    }

    /// The folder that the server's Unix socket lies in: the host to connect to.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The port to connect to; with a Unix socket it is part of the socket's name.
    pub fn port(&self) -> u16 {
        PORT
    }

    /// The superuser to connect as.
    pub fn user(&self) -> &str {
        USER
    }

    /// The version of the server.
    pub fn version(&self) -> &ServerVersion {
        &self.version
    }

    /// The process id of the server's first process, the postmaster.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for EmbeddedServer {
    fn drop(&mut self) {
        // callers that want to know the result call `stop`
        let _ = self.stop();
    }
}

/// The thread that starts the server and stops it. Linux ends the server along with the thread that spawned it, so that
/// thread lives as long as the server does. Where the server runs as another account, so does the thread.
#[derive(Debug)]
struct Keeper {
    thread: JoinHandle<Result<(), EmbeddedError>>,
    folder: Arc<RunFolder>,
    /// Nothing is ever sent: the thread stops the server when this is dropped.
    alive: Sender<Infallible>,
}

impl Keeper {
    /// Starts the server, and gives its process id.
    fn start(
        binaries: Binaries,
        folder: Arc<RunFolder>,
        interrupt: CancellationToken,
    ) -> Result<(Keeper, u32), EmbeddedError> {
        let (alive, owner) = channel();
        let (ready, pid) = sync_channel(1);
        let kept = folder.clone();
        let thread = thread::Builder::new()
            .name("embedded-server".to_owned())
            .spawn(move || keep(&binaries, &kept, &interrupt, ready, owner));
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => {
                folder.remove()?;
                return Err(EmbeddedError::Keeper(error));
            }
        };
        let keeper = Keeper { thread, folder, alive };
        match pid.recv() {
            Ok(pid) => Ok((keeper, pid)),
            Err(_ended) => {
                keeper.stop()?;
                Err(EmbeddedError::Keeper(io::Error::other(
                    "it ended before the server was ready",
                )))
            }
        }
    }

    /// Has the thread stop the server, waits for it, and removes the folder. While processes are in the folder, it is
    /// left to the next run's sweep, which finds them by it.
    fn stop(self) -> Result<(), EmbeddedError> {
        drop(self.alive);
        let stopped = self
            .thread
            .join()
            .unwrap_or_else(|_| Err(EmbeddedError::Keeper(io::Error::other("it panicked"))));
        match stopped {
            Err(EmbeddedError::Stop { .. }) => stopped,
            _ => {
                let removed = self.folder.remove();
                stopped.and(removed)
            }
        }
    }
}

/// Starts a server in `folder`, tells its process id, and stops it when `owner` is gone.
fn keep(
    binaries: &Binaries,
    folder: &Arc<RunFolder>,
    interrupt: &CancellationToken,
    ready: SyncSender<u32>,
    owner: Receiver<Infallible>,
) -> Result<(), EmbeddedError> {
    if let Some(account) = folder.account() {
        account.assume()?;
    }
    let log = folder.create_log()?;
    let cluster = Cluster::create(binaries, folder, &log, interrupt)?;
    let mut postmaster = match Postmaster::start(binaries, folder, &log, interrupt) {
        Ok(postmaster) => postmaster,
        Err(error) => {
            if matches!(error, EmbeddedError::EndedAtStart { .. }) {
                cluster.reject();
            }
            return Err(error);
        }
    };
    let _ = ready.send(postmaster.pid());
    cluster.accept();
    let Err(_gone) = owner.recv();
    postmaster.stop()
}
