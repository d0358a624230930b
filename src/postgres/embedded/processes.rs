//! The processes of a server, told by their command lines.
//!
//! PostgreSQL puts each backend in a process group of its own, so no group holds the whole server, and a backend can
//! outlive its postmaster. The command line can be read by every account, and it names the run folder: the postmaster's
//! as the `-D` option, the others' as the `cluster_name` in the title that they give themselves.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::run_folder;

/// The `cluster_name` of the server in `run_folder`.
pub(super) fn cluster_name(run_folder: &Path) -> String {
    run_folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The living processes of the server in `run_folder`: the postmaster, its children, and `initdb`.
pub(super) fn server_processes(run_folder: &Path) -> Vec<Pid> {
    let (name, data) = (cluster_name(run_folder), run_folder::data(run_folder));
    let data = data.to_string_lossy();
    command_lines()
        .into_iter()
        .filter(|(_, line)| is_of_server(line, &name, &data))
        .map(|(pid, _)| pid)
        .collect()
}

/// Sends `signal` to each of `processes`; those that have ended meanwhile are passed over.
pub(super) fn signal_all(processes: &[Pid], signal: Signal) {
    for process in processes {
        let _ = kill(*process, signal);
    }
}

fn is_of_server(command_line: &str, cluster_name: &str, data: &str) -> bool {
    let is_child = command_line
        .strip_prefix("postgres: ")
        .is_some_and(|title| title.starts_with(&format!("{cluster_name}: ")));
    is_child || format!("{command_line} ").contains(&format!(" -D {data} "))
}

#[cfg(target_os = "linux")]
fn command_lines() -> Vec<(Pid, String)> {
    let command_line = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let words = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&words).replace('\0', " ");
        Some((Pid::from_raw(pid), line.trim_end().to_owned()))
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| command_line(entry.ok()?)).collect()
}

#[cfg(not(target_os = "linux"))]
fn command_lines() -> Vec<(Pid, String)> {
    let listed = std::process::Command::new("ps")
        .args(["-A", "-ww", "-o", "pid=", "-o", "command="])
        .output();
    let listed = listed.map(|output| output.stdout).unwrap_or_default();
    let process = |line: &str| {
        let (pid, command) = line.trim().split_once(' ')?;
        Some((Pid::from_raw(pid.parse().ok()?), command.trim().to_owned()))
    };
    String::from_utf8_lossy(&listed).lines().filter_map(process).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_tells_the_server() {
        let (name, data) = ("pgbraid-7-abcdef", "/tmp/pgbraid-7-abcdef/data");
        for line in [
            "/usr/lib/postgresql/15/bin/postgres -D /tmp/pgbraid-7-abcdef/data -c fsync=off",
            "/usr/lib/postgresql/15/bin/initdb -D /tmp/pgbraid-7-abcdef/data",
            "postgres: pgbraid-7-abcdef: checkpointer",
            "postgres: pgbraid-7-abcdef: postgres postgres [local] idle in transaction",
        ] {
            assert!(is_of_server(line, name, data), "{line}");
        }
        for line in [
            "",
            "/usr/lib/postgresql/15/bin/postgres -D /tmp/pgbraid-7-abcdef/data2",
            "/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main",
            "tail -f /tmp/pgbraid-7-abcdef/server.log",
            "postgres: checkpointer",
            "postgres: pgbraid-7-abcdefg: checkpointer",
            "grep postgres: pgbraid-7-abcdef: ",
        ] {
            assert!(!is_of_server(line, name, data), "{line}");
        }
    }

    #[test]
    fn this_process_is_listed() {
        let this = Pid::this();
        let own: Vec<_> = command_lines().into_iter().filter(|(pid, _)| *pid == this).collect();
        assert_eq!(own.len(), 1);
        assert!(own[0].1.contains("pgbraid"), "{own:?}");
    }
}
