//! The processes and shared memory of one run, told from those of all others on the machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

struct Process {
    pid: i32,
    parent: i32,
    command: String,
}

fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            let status = fs::read_to_string(entry.path().join("stat")).ok()?;
            // the name in brackets may hold anything
            let mut fields = status.rsplit_once(')')?.1.split_whitespace();
            let dead = fields.next()? == "Z";
            (!dead).then_some(Process {
                pid,
                parent: fields.next()?.parse().ok()?,
                command: String::from_utf8_lossy(&command).replace('\0', " "),
            })
        })
        .collect()
}

/// The processes of the server that process `run` started. Some may have lost their parents.
pub fn of_run(run: u32) -> Vec<(i32, String)> {
    let (all, folder) = (all(), format!("pgbraid-{run}-"));
    let mut found: BTreeSet<i32> = BTreeSet::from([run.cast_signed()]);
    loop {
        let more: Vec<i32> = all
            .iter()
            .filter(|process| !found.contains(&process.pid))
            .filter(|process| found.contains(&process.parent) || names(&process.command, &folder))
            .map(|process| process.pid)
            .collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    found.remove(&run.cast_signed());
    all.into_iter()
        .filter(|process| found.contains(&process.pid))
        .map(|process| (process.pid, process.command))
        .collect()
}

/// Only a server's command line tells of a run; any other may mention its folder.
fn names(command: &str, folder: &str) -> bool {
    command.contains(folder) && (command.starts_with("postgres: ") || command.contains(" -D "))
}

/// Backends of the run's sessions, on whichever server.
pub fn session_backends(run: u32) -> Vec<i32> {
    let id = format!("_{run:x}_");
    let is_session = |command: &str| {
        let database = command.split(' ').find(|word| word.starts_with("pgbraid_scratch_"));
        command.starts_with("postgres: ") && database.is_some_and(|database| database.contains(&id))
    };
    let found = all().into_iter().filter(|process| is_session(&process.command));
    found.map(|process| process.pid).collect()
}

/// The postmaster of the run's embedded server, once it runs.
pub fn postmaster(run: u32) -> Option<i32> {
    let (folder, own) = (format!("/pgbraid-{run}-"), run.cast_signed());
    let is_postmaster = |command: &str| {
        let program = command.split(' ').next().unwrap_or_default();
        program.ends_with("/postgres") && command.contains(" -D ") && command.contains(&folder)
    };
    let mut found = all().into_iter();
    found
        .find(|process| process.parent == own && is_postmaster(&process.command))
        .map(|process| process.pid)
}

pub fn send(process: i32, signal: Signal) {
    // it may have ended
    let _ = kill(Pid::from_raw(process), signal);
}

/// Folders of the run's server, wherever they can lie.
pub fn run_folders(run: u32, tmpdir: &std::path::Path) -> Vec<PathBuf> {
    let name = format!("pgbraid-{run}-");
    [tmpdir, "/dev/shm".as_ref(), "/tmp".as_ref()]
        .into_iter()
        .flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten())
        .filter(|entry| entry.file_name().to_str().is_some_and(|found| found.starts_with(&name)))
        .map(|entry| entry.path())
        .collect()
}

/// Which of the System V segments that these processes made are still there. `since` is in seconds since 1970: what is older
/// was made by another process of the same number.
pub fn segments(makers: &BTreeSet<i32>, since: u64) -> Vec<String> {
    let listed = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let made_by = |line: &&str| {
        // key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime …
        let field = |place: usize| line.split_whitespace().nth(place)?.parse::<i64>().ok();
        let maker = field(4).and_then(|maker| i32::try_from(maker).ok());
        let is_new = field(13)
            .and_then(|made| u64::try_from(made).ok())
            .is_some_and(|made| made >= since);
        is_new && maker.is_some_and(|maker| makers.contains(&maker))
    };
    listed.lines().skip(1).filter(made_by).map(str::to_owned).collect()
}

/// The most memory that a process has used so far, in kB.
pub fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    peak.unwrap_or_default()
}
