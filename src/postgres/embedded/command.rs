//! The commands that run the server's programs: in the right folder, with a known environment.

use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Command, Stdio};

use nix::errno::Errno;
use nix::unistd::{getppid, setsid};

use super::account::Account;
use super::error::EmbeddedError;

/// What a program may need of pgbraid's environment: where libraries and locales are. It gets nothing else, because
/// PostgreSQL takes defaults from `PGPORT`, `PGDATA`, `PGTZ` and others.
const INHERITED: [&str; 5] = [
    "PATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "LOCPATH",
    "LOCALE_ARCHIVE",
];

/// A command for one of the server's programs, with `folder` as its working and home folder. It runs as the account that
/// the thread that spawns it acts as.
///
/// The program gets a session of its own, so that the terminal's Ctrl-C does not reach it, and on Linux it is sent
/// SIGQUIT when the *thread* that spawned it ends.
pub(super) fn server_command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env_clear()
        .envs(
            INHERITED
                .into_iter()
                .filter_map(|name| Some((name, env::var_os(name)?))),
        )
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    let parent = process::id();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. `end_with_parent` makes three plain
    // system calls (setsid, prctl, getppid) and allocates nothing.
    unsafe {
        command.pre_exec(move || end_with_parent(parent));
    }
    command
}

fn end_with_parent(parent: u32) -> io::Result<()> {
    setsid()?;
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGQUIT)?;
    // the parent may have ended before the signal was requested
    if getppid().as_raw().cast_unsigned() != parent {
        return Err(Errno::ESRCH.into());
    }
    Ok(())
}

/// The command line, for messages.
pub(super) fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Why `command` could not be spawned.
pub(super) fn spawn_error(command: &Command, account: Option<&Account>, source: io::Error) -> EmbeddedError {
    match (account, source.raw_os_error().map(Errno::from_raw)) {
        (Some(account), Some(Errno::EACCES)) => EmbeddedError::UnreachableBinaries {
            program: command.get_program().into(),
            account: account.name.clone(),
        },
        _ => EmbeddedError::Run {
            command: command_line(command),
            source,
        },
    }
}
