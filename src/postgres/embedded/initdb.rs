//! Creates the data folder of a new server.

use std::io;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::binaries::{Binaries, ServerVersion};
use super::command::{command_line, server_command, spawn_error};
use super::error::EmbeddedError;
use super::log::Log;
use super::postmaster::clear_remains;
use super::run_folder::RunFolder;

/// The server's superuser, which connects without a password.
pub(super) const USER: &str = "postgres";

/// The first major version that computes data checksums unless told not to.
const CHECKSUMS_BY_DEFAULT: u32 = 18;

/// How long `initdb` may take.
const LIMIT: Duration = Duration::from_secs(300);

/// What `initdb` is given besides the folder.
pub(super) fn arguments(version: &ServerVersion) -> Vec<&'static str> {
    let mut arguments = vec![
        "--username",
        USER,
        "--auth=trust",
        "--encoding=UTF8",
        "--no-locale",
        "--no-sync",
        "--no-instructions",
        // files of 1 MB are quicker to create than the usual 16 MB
        "--wal-segsize=1",
    ];
    if version.major >= CHECKSUMS_BY_DEFAULT {
        arguments.push("--no-data-checksums");
    }
    arguments
}

/// Runs `initdb` for the data folder of `folder`. If it fails or is interrupted, none of its processes is left.
pub(super) fn initdb(
    binaries: &Binaries,
    folder: &RunFolder,
    log: &Log,
    interrupt: &CancellationToken,
) -> Result<(), EmbeddedError> {
    let mut command = server_command(&binaries.initdb(), folder.path());
    command
        .arg("-D")
        .arg(folder.data_path())
        .args(arguments(binaries.version()));
    let run_error = |source| EmbeddedError::Run {
        command: command_line(&command),
        source,
    };
    let errors = log.writer().map_err(run_error)?;
    command.stdout(Stdio::null()).stderr(errors);
    let mut child = command
        .spawn()
        .map_err(|source| spawn_error(&command, folder.account(), source))?;
    let ended = wait(&mut child, interrupt);
    if let Ok(Some(status)) = &ended
        && status.success()
    {
        return Ok(());
    }
    let pid = child.id();
    let _ = child.kill();
    clear_remains(folder)
        .and_then(|()| child.wait())
        .map_err(|source| EmbeddedError::Stop { pid, source })?;
    let run_error = |source| EmbeddedError::Run {
        command: command_line(&command),
        source,
    };
    match ended.map_err(run_error)? {
        Some(status) => Err(EmbeddedError::Initdb {
            command: command_line(&command),
            status,
            output: log.last_lines(),
        }),
        None if interrupt.is_cancelled() => Err(EmbeddedError::Interrupted),
        None => Err(EmbeddedError::NotReady {
            command: command_line(&command),
            seconds: LIMIT.as_secs(),
            log: log.last_lines(),
        }),
    }
}

/// How it ended; `None` if it was interrupted or took too long.
fn wait(child: &mut Child, interrupt: &CancellationToken) -> io::Result<Option<ExitStatus>> {
    let mut backoff = Backoff::new(LIMIT);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if interrupt.is_cancelled() || !backoff.wait() {
            return Ok(None);
        }
    }
}
