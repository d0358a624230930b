//! The server's first process: starts it, waits until it accepts connections, and stops it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::binaries::{Binaries, ServerVersion};
use super::command::{command_line, server_command, spawn_error};
use super::directory::Directory;
use super::error::EmbeddedError;
use super::log::Log;
use super::processes::{cluster_name, server_processes, signal_all};
use super::run_folder::{PORT, RunFolder};
use super::shared_memory;

/// How long the server may take to start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long an immediate shutdown may take. PostgreSQL itself kills what has not ended after 5 s.
pub(super) const SHUTDOWN_LIMIT: Duration = Duration::from_secs(7);

/// How long the processes of a server may take to vanish once they were sent SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(3);

/// How often the processes of a server that is shutting down are sent SIGCONT, in case they were stopped.
const CONTINUE_INTERVAL: Duration = Duration::from_millis(50);

/// More bytes than `postmaster.pid` has.
const PID_FILE_LIMIT: u64 = 16 << 10;

/// The line of `postmaster.pid`, counted from 0, with the server's state.
const STATUS_LINE: usize = 7;

/// Settings for throwaway data, and for a server that leaves nothing outside its folder.
const SETTINGS: [(&str, &str); 26] = [
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    // no write is ever waited for
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("wal_init_zero", "off"),
    ("min_wal_size", "2MB"),
    ("max_wal_size", "64MB"),
    ("checkpoint_timeout", "1h"),
    // nothing runs but the sessions
    ("autovacuum", "off"),
    ("jit", "off"),
    ("max_logical_replication_workers", "0"),
    ("max_connections", "200"),
    ("max_prepared_transactions", "20"),
    // DROP and TRUNCATE scan all buffers, so fewer are faster
    ("shared_buffers", "32MB"),
    ("dynamic_shared_memory_type", "mmap"),
    ("TimeZone", "UTC"),
    ("log_timezone", "UTC"),
    ("lc_messages", "C"),
    // keeps the log small, and out of files of its own
    ("log_min_messages", "fatal"),
    ("log_min_error_statement", "panic"),
    ("log_destination", "stderr"),
    ("logging_collector", "off"),
    ("restart_after_crash", "on"),
];

/// A running server. Stopped when dropped.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Child,
    folder: Arc<RunFolder>,
    stopped: bool,
}

impl Postmaster {
    /// Starts the server on the data folder of `folder` and waits until it accepts connections.
    ///
    /// On Linux the server is stopped when the calling thread ends.
    pub fn start(
        binaries: &Binaries,
        folder: &Arc<RunFolder>,
        log: &Log,
        interrupt: &CancellationToken,
    ) -> Result<Postmaster, EmbeddedError> {
        let mut command = server_command(&binaries.postgres(), folder.path());
        command.arg("-D").arg(folder.data_path());
        for setting in settings(binaries.version(), folder.path()) {
            command.arg("-c").arg(setting);
        }
        let line = command_line(&command);
        let run_error = |source| EmbeddedError::Run {
            command: line.clone(),
            source,
        };
        command
            .stdout(log.writer().map_err(run_error)?)
            .stderr(log.writer().map_err(run_error)?);
        let child = command
            .spawn()
            .map_err(|source| spawn_error(&command, folder.account(), source))?;
        let mut postmaster = Postmaster {
            child,
            folder: folder.clone(),
            stopped: false,
        };
        match postmaster.wait_until_ready(interrupt).map_err(run_error)? {
            Readiness::Ready => Ok(postmaster),
            Readiness::Interrupted => Err(EmbeddedError::Interrupted),
            Readiness::Ended(status) => Err(EmbeddedError::EndedAtStart {
                command: line,
                status,
                log: log.last_lines(),
            }),
            Readiness::TimedOut => Err(EmbeddedError::NotReady {
                command: line,
                seconds: START_LIMIT.as_secs(),
                log: log.last_lines(),
            }),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self, interrupt: &CancellationToken) -> io::Result<Readiness> {
        let mut backoff = Backoff::new(START_LIMIT);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Readiness::Ended(status));
            }
            if self.folder.data().is_some_and(says_ready) {
                return Ok(Readiness::Ready);
            }
            if interrupt.is_cancelled() {
                return Ok(Readiness::Interrupted);
            }
            if !backoff.wait() {
                return Ok(Readiness::TimedOut);
            }
        }
    }

    /// Shuts the server down at once, without saving anything, and waits until all of its processes are gone. Does
    /// nothing if it is already stopped.
    pub fn stop(&mut self) -> Result<(), EmbeddedError> {
        let pid = self.pid();
        self.shut_down().map_err(|source| EmbeddedError::Stop { pid, source })
    }

    fn shut_down(&mut self) -> io::Result<()> {
        if self.stopped {
            return Ok(());
        }
        if self.child.try_wait()?.is_none() {
            // the child has not been waited for, so its id cannot belong to another process
            kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGQUIT)?;
            self.folder.begin_tidying();
            self.continue_until_ended()?;
        }
        clear_remains(&self.folder)?;
        self.stopped = true;
        Ok(())
    }

    /// A stopped process reacts to no signal but SIGCONT and SIGKILL.
    fn continue_until_ended(&mut self) -> io::Result<()> {
        let mut backoff = Backoff::new(SHUTDOWN_LIMIT);
        let mut continued: Option<Instant> = None;
        loop {
            if continued.is_none_or(|at| at.elapsed() >= CONTINUE_INTERVAL) {
                signal_all(&server_processes(&self.folder).unwrap_or_default(), Signal::SIGCONT);
                continued = Some(Instant::now());
            }
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            if !backoff.wait() {
                self.child.kill()?;
                return self.child.wait().map(drop);
            }
        }
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        // there is nobody to report an error to
        let _ = self.shut_down();
    }
}

/// Removes what a killed postmaster or `initdb` leaves: processes, and shared memory segments. An orderly shutdown
/// leaves neither.
///
/// # Errors
///
/// Processes are still there after [`KILL_LIMIT`], or a segment cannot be removed.
pub(super) fn clear_remains(folder: &RunFolder) -> io::Result<()> {
    folder.begin_tidying();
    let mut backoff = Backoff::new(KILL_LIMIT);
    loop {
        let processes = server_processes(folder)?;
        if processes.is_empty() {
            break;
        }
        signal_all(&processes, Signal::SIGKILL);
        if !backoff.wait() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "processes of the server do not end",
            ));
        }
    }
    match folder.data() {
        Some(data) => shared_memory::release(data.identity()?),
        None => Ok(()),
    }
}

enum Readiness {
    Ready,
    Ended(ExitStatus),
    Interrupted,
    TimedOut,
}

/// Whether the `postmaster.pid` in `data` says that the server accepts connections.
fn says_ready(data: &Directory) -> bool {
    data.start_of_file("postmaster.pid", PID_FILE_LIMIT)
        .is_ok_and(|content| is_ready(&content))
}

fn settings(version: &ServerVersion, run_folder: &Path) -> Vec<OsString> {
    let mut settings: Vec<OsString> = SETTINGS
        .iter()
        .map(|(name, value)| OsString::from(format!("{name}={value}")))
        .collect();
    settings.push(format!("port={PORT}").into());
    settings.push(format!("cluster_name={}", cluster_name(run_folder)).into());
    settings.push(socket_directories(run_folder));
    if version.major >= 18 {
        // reads need no processes of their own
        settings.push("io_method=sync".into());
    }
    settings
}

/// The setting is a list: in quotes, a path with a comma is one item.
fn socket_directories(run_folder: &Path) -> OsString {
    let path = run_folder.as_os_str().as_bytes();
    let doubled = path
        .iter()
        .flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 }));
    let mut setting = b"unix_socket_directories=\"".to_vec();
    setting.extend(doubled);
    setting.push(b'"');
    OsString::from_vec(setting)
}

/// Whether `postmaster.pid` says that the server accepts connections.
fn is_ready(pid_file: &str) -> bool {
    pid_file
        .lines()
        .nth(STATUS_LINE)
        .is_some_and(|status| status.trim_end() == "ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID_FILE: &str = "4711\n/tmp/x/data\n1700000000\n5432\n/tmp/x\n\n  1234  5\n";

    #[test]
    fn the_status_line_tells_readiness() {
        assert!(!is_ready(""));
        assert!(!is_ready(PID_FILE));
        assert!(!is_ready(&format!("{PID_FILE}starting\n")));
        assert!(!is_ready(&format!("{PID_FILE}stopping\n")));
        assert!(is_ready(&format!("{PID_FILE}ready   \n")));
    }

    #[test]
    fn the_socket_directory_is_one_item_of_a_list() {
        let setting = |path| socket_directories(Path::new(path)).into_string().unwrap();
        assert_eq!(setting("/tmp/a, b"), r#"unix_socket_directories="/tmp/a, b""#);
        assert_eq!(setting(r#"/tmp/a"b"#), r#"unix_socket_directories="/tmp/a""b""#);
    }

    #[test]
    fn the_io_method_is_set_only_where_it_is_known() {
        let has_io_method = |major| {
            let version = ServerVersion {
                major,
                text: format!("{major}.0"),
            };
            settings(&version, Path::new("/tmp/pgbraid-1-abcdef")).contains(&OsString::from("io_method=sync"))
        };
        assert!(!has_io_method(17));
        assert!(has_io_method(18));
    }
}
