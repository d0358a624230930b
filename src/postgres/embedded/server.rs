//! The embedded server as the rest of pgbraid sees it.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use super::account::Account;
use super::binaries::{Binaries, ServerVersion};
use super::command::{command_line, server_command, spawn_error};
use super::error::EmbeddedError;
use super::initdb::{USER, initdb};
use super::leftovers::sweep_leftovers;
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
        let account = Account::for_server()?;
        if let Some(account) = &account {
            check_access(binaries, account)?;
        }
        sweep_leftovers();
        let folder = RunFolder::create(account.as_ref())?;
        let socket_dir = folder.path().to_owned();
        let (keeper, pid) = Keeper::start(binaries.clone(), account, folder)?;
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
        // Whoever wants to know calls `stop`.
        let _ = self.stop();
    }
}

/// The thread that starts the server and stops it. Linux ends the server along with the thread that spawned it, so that
/// thread lives as long as the server does.
#[derive(Debug)]
struct Keeper {
    thread: JoinHandle<Result<(), EmbeddedError>>,
    /// Nothing is ever sent: the thread stops the server when this is dropped.
    alive: Sender<Infallible>,
}

impl Keeper {
    /// Starts the server, and gives its process id.
    fn start(binaries: Binaries, account: Option<Account>, folder: RunFolder) -> Result<(Keeper, u32), EmbeddedError> {
        let (alive, owner) = channel();
        let (ready, pid) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("embedded-server".to_owned())
            .spawn(move || keep(&binaries, account.as_ref(), folder, ready, owner))
            .map_err(EmbeddedError::Keeper)?;
        let keeper = Keeper { thread, alive };
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

    /// Has the thread stop the server, and waits for it.
    fn stop(self) -> Result<(), EmbeddedError> {
        drop(self.alive);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(EmbeddedError::Keeper(io::Error::other("it panicked"))))
    }
}

/// Starts a server in `folder`, tells its process id, and stops it when `owner` is gone.
fn keep(
    binaries: &Binaries,
    account: Option<&Account>,
    folder: RunFolder,
    ready: SyncSender<u32>,
    owner: Receiver<Infallible>,
) -> Result<(), EmbeddedError> {
    initdb(binaries, account, &folder)?;
    let mut postmaster = Postmaster::start(binaries, account, &folder)?;
    let _ = ready.send(postmaster.pid());
    let Err(_gone) = owner.recv();
    postmaster.stop()?;
    folder.remove()
}

/// Checks that `account` can execute the server's programs, which may lie in a folder that only root can enter.
fn check_access(binaries: &Binaries, account: &Account) -> Result<(), EmbeddedError> {
    let mut command = server_command(&binaries.postgres(), Some(account), Path::new("/"));
    command.arg("--version");
    let output = command
        .output()
        .map_err(|source| spawn_error(&command, Some(account), source))?;
    if output.status.success() {
        return Ok(());
    }
    Err(EmbeddedError::UnknownVersion {
        command: command_line(&command),
        answer: format!("{} ({})", String::from_utf8_lossy(&output.stderr).trim(), output.status),
    })
}
