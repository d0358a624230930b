//! The processes of a server.
//!
//! PostgreSQL puts each backend in a process group of its own, so no group contains the whole server, and a backend can
//! outlive its postmaster. On Linux a process is the server's if it belongs to the account, runs one of PostgreSQL's
//! programs, and works in the run folder or in its data folder; names can be forged, but nobody else can enter those.
//! Elsewhere it is recognised by its account and its command line: the postmaster names the folder as the `-D` option,
//! the others name it as the `cluster_name` in the title that they give themselves.

use std::path::Path;

use nix::sys::signal::Signal;

use super::run_folder::RunFolder;

/// The `cluster_name` of the server in `run_folder`.
pub(super) fn cluster_name(run_folder: &Path) -> String {
    run_folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Sends `signal` to each of `processes`, skipping those that have ended meanwhile.
pub(super) fn signal_all(processes: &[Process], signal: Signal) {
    for process in processes {
        process.signal(signal);
    }
}

pub(super) use system::{Process, server_processes};

#[cfg(target_os = "linux")]
mod system {
    use std::fs;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use nix::errno::Errno;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

    use super::RunFolder;
    use crate::postgres::embedded::directory::Identity;

    /// A process of the server, held so that its id cannot be reused before it is signalled.
    #[derive(Debug)]
    pub(in crate::postgres::embedded) struct Process {
        pid: Pid,
        /// Not available before Linux 5.3. The signalled process then still belongs to the account in any case.
        handle: Option<OwnedFd>,
    }

    impl Process {
        fn open(pid: Pid) -> Option<Process> {
            let handle = match pidfd_open(rustix::process::Pid::from_raw(pid.as_raw())?, PidfdFlags::empty()) {
                Ok(handle) => Some(handle),
                Err(rustix::io::Errno::SRCH) => return None,
                Err(_unavailable) => None,
            };
            Some(Process { pid, handle })
        }

        pub fn signal(&self, signal: Signal) {
            let Some(handle) = &self.handle else {
                let _ = kill(self.pid, signal);
                return;
            };
            if let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32) {
                let _ = pidfd_send_signal(handle, signal);
            }
        }
    }

    /// The living processes of the server in `folder`: the postmaster, its children, `initdb`, and what that runs.
    ///
    /// # Errors
    /// When they cannot be listed, for want of descriptors, say.
    pub(in crate::postgres::embedded) fn server_processes(folder: &RunFolder) -> io::Result<Vec<Process>> {
        let folders = folder.identities()?;
        let account = rustix::process::geteuid().as_raw();
        let mut processes = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let shown = entry.path();
            if !works_in(&shown, account, &folders) {
                continue;
            }
            // checked again once it is open: if its id is reused after that, a signal reaches no process
            if let Some(process) = Process::open(Pid::from_raw(pid))
                && works_in(&shown, account, &folders)
                && runs_a_server(&shown)?
            {
                processes.push(process);
            }
        }
        Ok(processes)
    }

    fn works_in(shown: &Path, account: u32, folders: &[Identity]) -> bool {
        fs::metadata(shown).is_ok_and(|found| found.uid() == account)
            && fs::metadata(shown.join("cwd")).is_ok_and(|found| folders.contains(&Identity::of(&found)))
    }

    /// Excludes a shell that a user has opened in the folder, or an editor.
    fn runs_a_server(shown: &Path) -> io::Result<bool> {
        match fs::read(shown.join("cmdline")) {
            Ok(command_line) => Ok(is_server(&String::from_utf8_lossy(&command_line))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// `command_line` is in the kernel's form: each word ends in a NUL.
    fn is_server(command_line: &str) -> bool {
        let mut words = command_line.split('\0');
        let mut word = || words.next().unwrap_or_default();
        let (first, second) = (word(), word());
        let is_program = |path: &str| {
            ["postgres", "initdb"]
                .iter()
                .any(|name| path.rsplit('/').next() == Some(name))
        };
        // a process that is ending no longer has a command line, but works there until it has freed its memory
        command_line.is_empty()
            || is_program(first)
            // a script is named by the second word, after its interpreter
            || is_program(second)
            || first.starts_with("postgres: ")
            // how `initdb` and the server run other programs
            || (first.rsplit('/').next() == Some("sh") && second == "-c")
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_command_line_tells_a_servers_program() {
            for line in [
                "/usr/lib/postgresql/15/bin/postgres\0-D\0/tmp/pgbraid-7-abcdef/data\0-c\0fsync=off\0",
                "/usr/lib/postgresql/15/bin/initdb\0-D\0/tmp/pgbraid-7-abcdef/data\0",
                "/usr/lib/postgresql/15/bin/postgres\0--single\0",
                "sh\0-c\0\"/usr/lib/postgresql/15/bin/postgres\" --boot\0",
                "/bin/sh\0/opt/wrapped/initdb\0-D\0",
                "",
                "postgres: pgbraid-7-abcdef: checkpointer ",
                "postgres: pgbraid-7-abcdef: postgres postgres [local] idle in transaction",
            ] {
                assert!(is_server(line), "{line}");
            }
            for line in [
                "bash\0",
                "sh\0",
                "-sh\0",
                "tail\0-f\0/tmp/pgbraid-7-abcdef/server.log\0",
                "vi\0postgresql.conf\0",
            ] {
                assert!(!is_server(line), "{line}");
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::process::Command;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::{Pid, geteuid};

    use super::{RunFolder, cluster_name};

    #[derive(Debug)]
    pub(in crate::postgres::embedded) struct Process(Pid);

    impl Process {
        pub fn signal(&self, signal: Signal) {
            let _ = kill(self.0, signal);
        }
    }

    /// The living processes of the server in `folder`: the postmaster, its children, and `initdb`.
    pub(in crate::postgres::embedded) fn server_processes(folder: &RunFolder) -> std::io::Result<Vec<Process>> {
        let (name, data) = (cluster_name(folder.path()), folder.data_path());
        let data = data.to_string_lossy();
        let listed = Command::new("ps")
            .args(["-A", "-ww", "-o", "pid=", "-o", "uid=", "-o", "command="])
            .output()?
            .stdout;
        let process = |line: &str| {
            let (pid, rest) = line.trim().split_once(' ')?;
            let (uid, command) = rest.trim().split_once(' ')?;
            (uid.parse() == Ok(geteuid().as_raw()) && is_of_server(command.trim(), &name, &data))
                .then_some(Process(Pid::from_raw(pid.parse().ok()?)))
        };
        Ok(String::from_utf8_lossy(&listed).lines().filter_map(process).collect())
    }

    fn is_of_server(command_line: &str, cluster_name: &str, data: &str) -> bool {
        let is_child = command_line
            .strip_prefix("postgres: ")
            .is_some_and(|title| title.starts_with(&format!("{cluster_name}: ")));
        is_child || format!("{command_line} ").contains(&format!(" -D {data} "))
    }
}
