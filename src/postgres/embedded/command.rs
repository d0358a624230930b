//! The commands that run the server's programs: in the right folder, with a known environment.

use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Command, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
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
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. `end_with_parent` makes four plain
    // system calls (setsid, sigaction, prctl, getppid) and allocates nothing.
    unsafe {
        command.pre_exec(move || end_with_parent(parent));
    }
    command
}

fn end_with_parent(parent: u32) -> io::Result<()> {
    setsid()?;
    // a shell has its background jobs ignore it, which is inherited
    //
    // SAFETY: no handler is installed.
    unsafe { signal(Signal::SIGQUIT, SigHandler::SigDfl) }?;
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(Signal::SIGQUIT)?;
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_program_does_not_ignore_what_it_is_stopped_by() {
        // SAFETY: no handler is installed.
        let before = unsafe { signal(Signal::SIGQUIT, SigHandler::SigIgn) }.unwrap();
        let mut command = server_command(Path::new("sh"), Path::new("/"));
        let output = command.args(["-c", "grep SigIgn: /proc/$$/status"]).output();
        // SAFETY: as before.
        unsafe { signal(Signal::SIGQUIT, before) }.unwrap();
        let printed = String::from_utf8(output.unwrap().stdout).unwrap();
        let ignored = printed.split_whitespace().last().unwrap();
        let ignored = u64::from_str_radix(ignored, 16).unwrap();
        assert_eq!(ignored & 1 << (Signal::SIGQUIT as i32 - 1), 0, "{printed}");
    }
}
