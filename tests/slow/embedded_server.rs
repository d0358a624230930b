//! The embedded server against the PostgreSQL that is installed: it starts, serves, and leaves nothing behind.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use pgbraid::postgres::embedded::{Binaries, EmbeddedError, EmbeddedServer, sweep_leftovers};
use tokio_postgres::{Client, Config, NoTls};

use crate::common::program::{open_folder, processes_of};
use crate::common::server::runtime;

/// PostgreSQL kills what has not ended 5 s after it was told to; what takes less was not waiting for that.
const WELL_BELOW_FORCED_END: Duration = Duration::from_secs(3);

fn start() -> EmbeddedServer {
    EmbeddedServer::start(&Binaries::find().unwrap()).unwrap()
}

async fn connect(socket_dir: &Path, port: u16, user: &str) -> Client {
    let (client, connection) = Config::new()
        .host_path(socket_dir)
        .port(port)
        .user(user)
        .dbname("postgres")
        .connect(NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// A session on `server`, and the process id of its backend.
async fn session(server: &EmbeddedServer) -> (Client, Pid) {
    let client = connect(server.socket_dir(), server.port(), server.user()).await;
    let backend: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    (client, Pid::from_raw(backend))
}

fn assert_gone(run_folder: &Path) {
    assert_eq!(processes_of(&[run_folder]), Vec::<String>::new());
    assert!(!run_folder.exists());
}

/// The System V shared memory segments of this machine, by id.
fn shared_memory_ids() -> Vec<String> {
    let listed = Command::new("ipcs").arg("-m").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1).map(str::to_owned))
        .collect()
}

/// The id of the segment of the server in `run_folder`.
fn shared_memory_id(run_folder: &Path) -> String {
    let pid_file = fs::read_to_string(run_folder.join("data/postmaster.pid")).unwrap();
    pid_file
        .lines()
        .nth(6)
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .to_owned()
}

#[test]
fn serves_and_leaves_nothing_behind() {
    let mut server = start();
    let folder = server.socket_dir().to_owned();
    runtime().block_on(async {
        let (client, _) = session(&server).await;
        let row = client
            .query_one(
                "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('autovacuum'),
                        current_setting('listen_addresses'), current_setting('wal_level'), current_setting('TimeZone'),
                        current_setting('server_encoding'), current_setting('dynamic_shared_memory_type'),
                        usesuper FROM pg_user WHERE usename = current_user",
                &[],
            )
            .await
            .unwrap();
        assert!(row.get::<_, &str>(0).starts_with(&server.version().text));
        let settings: Vec<&str> = (1..8).map(|column| row.get(column)).collect();
        assert_eq!(settings, ["off", "off", "", "minimal", "UTC", "UTF8", "mmap"]);
        assert!(row.get::<_, bool>(8), "a superuser");
        assert!(!processes_of(&[&folder]).is_empty());
        server.stop().unwrap();
    });
    assert_gone(&folder);
    server.stop().unwrap();
}

#[test]
fn runs_as_an_account_that_is_not_root() {
    let server = start();
    let owner = fs::metadata(server.socket_dir()).unwrap().uid();
    assert_ne!(owner, 0);
    if !geteuid().is_root() {
        assert_eq!(owner, geteuid().as_raw());
    }
    let listed = Command::new("ps")
        .args(["-o", "uid=", "-p", &server.pid().to_string()])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(listed.stdout).unwrap().trim(), owner.to_string());
    assert_eq!(
        fs::metadata(server.socket_dir()).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn two_servers_run_side_by_side() {
    let (mut one, mut two) = (start(), start());
    assert_ne!(one.socket_dir(), two.socket_dir());
    one.stop().unwrap();
    runtime().block_on(async { session(&two).await });
    two.stop().unwrap();
    assert_gone(two.socket_dir());
}

#[test]
fn a_panic_stops_it() {
    let mut folder = PathBuf::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let server = start();
        folder = server.socket_dir().to_owned();
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert_gone(&folder);
}

#[test]
fn a_stopped_backend_does_not_hold_it_up() {
    let mut server = start();
    runtime().block_on(async {
        let (_client, backend) = session(&server).await;
        kill(backend, Signal::SIGSTOP).unwrap();
        let begun = Instant::now();
        server.stop().unwrap();
        assert!(begun.elapsed() < WELL_BELOW_FORCED_END, "{:?}", begun.elapsed());
    });
    assert_gone(server.socket_dir());
}

#[test]
fn a_stopped_postmaster_does_not_hold_it_up() {
    let mut server = start();
    kill(Pid::from_raw(server.pid().cast_signed()), Signal::SIGSTOP).unwrap();
    let begun = Instant::now();
    server.stop().unwrap();
    assert!(begun.elapsed() < WELL_BELOW_FORCED_END, "{:?}", begun.elapsed());
    assert_gone(server.socket_dir());
}

#[test]
fn a_backend_that_outlives_its_postmaster_is_ended() {
    let mut server = start();
    runtime().block_on(async {
        let (_client, backend) = session(&server).await;
        let segment = shared_memory_id(server.socket_dir());
        assert!(shared_memory_ids().contains(&segment));
        kill(backend, Signal::SIGSTOP).unwrap();
        kill(Pid::from_raw(server.pid().cast_signed()), Signal::SIGKILL).unwrap();
        server.stop().unwrap();
        assert!(!shared_memory_ids().contains(&segment));
    });
    assert_gone(server.socket_dir());
}

#[test]
fn a_server_that_fails_to_start_shows_why_and_leaves_nothing_behind() {
    let bindir = open_folder();
    // A shell writes the scripts: a file that this process has had open for writing could be held open by the child of
    // a test on another thread, and would not execute then ("text file busy").
    let scripts = r#"
        printf '#!/bin/sh\nexec "%s/initdb" "$@"\n' "$2" >"$1/initdb"
        printf '#!/bin/sh\n[ "$1" = --version ] && exec "%s/postgres" --version\n' "$2" >"$1/postgres"
        printf 'echo "FATAL:  out of luck" >&2; exit 1\n' >>"$1/postgres"
        chmod 755 "$1"/*"#;
    let real = Binaries::find().unwrap();
    let written = Command::new("sh")
        .args(["-c", scripts, "sh"])
        .arg(bindir.path())
        .arg(real.dir())
        .status()
        .unwrap();
    assert!(written.success());
    match EmbeddedServer::start(&Binaries::in_dir(bindir.path()).unwrap()) {
        Err(EmbeddedError::EndedAtStart { command, log, .. }) => {
            assert_eq!(log, "FATAL:  out of luck");
            let (_, arguments) = command.split_once("postgres -D ").unwrap();
            let data = Path::new(arguments.split(' ').next().unwrap());
            assert_gone(data.parent().unwrap());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failing_initdb_shows_why_and_leaves_nothing_behind() {
    let bindir = open_folder();
    let scripts = r#"
        printf '#!/bin/sh\necho "no luck: $2" >&2; exit 3\n' >"$1/initdb"
        printf '#!/bin/sh\necho "postgres (PostgreSQL) 17.2"\n' >"$1/postgres"
        chmod 755 "$1"/*"#;
    assert!(
        Command::new("sh")
            .args(["-c", scripts, "sh"])
            .arg(bindir.path())
            .status()
            .unwrap()
            .success()
    );
    match EmbeddedServer::start(&Binaries::in_dir(bindir.path()).unwrap()) {
        Err(EmbeddedError::Initdb { status, output, .. }) => {
            assert_eq!(status.code(), Some(3));
            let data = Path::new(output.strip_prefix("no luck: ").unwrap());
            assert_gone(data.parent().unwrap());
        }
        other => panic!("{other:?}"),
    }
}

/// This test binary again, running only the ignored test `name`, with `temporary` as its temporary folder.
fn helper(name: &str, temporary: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "--nocapture"])
        .arg(format!("embedded_server::{name}"))
        .env("TMPDIR", temporary)
        .stdin(Stdio::piped());
    command
}

/// A process that has started a server, and that can be killed.
struct Run {
    process: Child,
    server: Pid,
    folder: PathBuf,
}

impl Run {
    fn start(temporary: &Path) -> Run {
        let mut process = helper("helper_runs_a_server", temporary)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let started = lines
            .filter_map(|line| line.split_once("started ").map(|(_, rest)| rest.to_owned()))
            .next();
        let (pid, folder) = started.as_deref().unwrap().split_once(' ').unwrap();
        Run {
            process,
            server: Pid::from_raw(pid.parse().unwrap()),
            folder: folder.into(),
        }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
#[ignore = "run by the tests of leftovers in a process that they kill"]
fn helper_runs_a_server() {
    let server = start();
    println!("started {} {}", server.pid(), server.socket_dir().display());
    // Ends when the pipe is closed: the helper never outlives the test.
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
#[ignore = "run by the tests of leftovers in a process with their temporary folder"]
fn helper_sweeps() {
    sweep_leftovers();
}

/// Sweeps leftovers in a process with this temporary folder.
pub fn sweep(temporary: &Path) {
    let output = helper("helper_sweeps", temporary).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_temporary_folder_is_used_where_the_account_can_enter_it() {
    let open = open_folder();
    let mut run = Run::start(open.path());
    assert_eq!(run.folder.parent(), Some(open.path()));
    run.kill();
    sweep(open.path());
    assert_gone(&run.folder);
}

#[test]
fn the_folder_of_a_living_owner_is_not_swept() {
    let temporary = open_folder();
    let mut run = Run::start(temporary.path());
    sweep(temporary.path());
    assert!(run.folder.join("data").exists());
    runtime().block_on(connect(&run.folder, 5432, "postgres"));
    run.kill();
    sweep(temporary.path());
    assert_gone(&run.folder);
}

#[cfg(target_os = "linux")]
#[test]
fn the_server_ends_with_a_killed_owner() {
    let temporary = open_folder();
    let mut run = Run::start(temporary.path());
    assert!(!processes_of(&[&run.folder]).is_empty());
    run.kill();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !processes_of(&[&run.folder]).is_empty() {
        assert!(Instant::now() < deadline, "the server outlives its owner");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(run.folder.exists(), "nobody was there to remove it");
    sweep(temporary.path());
    assert_gone(&run.folder);
}

#[test]
fn a_server_that_outlived_its_owner_is_swept() {
    let temporary = open_folder();
    let mut run = Run::start(temporary.path());
    // Stopped, the server does not act on the signal that the death of its owner sends.
    kill(run.server, Signal::SIGSTOP).unwrap();
    run.kill();
    assert!(!processes_of(&[&run.folder]).is_empty());
    let begun = Instant::now();
    sweep(temporary.path());
    assert_gone(&run.folder);
    assert!(begun.elapsed() < WELL_BELOW_FORCED_END, "{:?}", begun.elapsed());
}

/// What `initdb` runs while it makes the data folder of a server in `temporary`, once that has a shared memory segment:
/// its process id and that of `initdb`.
#[cfg(target_os = "linux")]
fn process_of_initdb(temporary: &Path) -> (Pid, Pid) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        for creator in creators_of_shared_memory() {
            let shown = PathBuf::from(format!("/proc/{creator}"));
            let works_there = fs::read_link(shown.join("cwd")).is_ok_and(|folder| folder.starts_with(temporary));
            if works_there && kill(creator, Signal::SIGSTOP).is_ok() {
                return (creator, ancestor(creator, "initdb"));
            }
        }
        assert!(Instant::now() < deadline, "initdb has run nothing");
    }
}

#[cfg(target_os = "linux")]
fn ancestor(process: Pid, name: &str) -> Pid {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let told = |what: &str| status.lines().find_map(|line| line.strip_prefix(what)).unwrap().trim();
    match told("Name:") == name {
        true => process,
        false => ancestor(Pid::from_raw(told("PPid:").parse().unwrap()), name),
    }
}

#[cfg(target_os = "linux")]
fn creators_of_shared_memory() -> Vec<Pid> {
    let listed = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let creator = |line: &str| line.split_whitespace().nth(4)?.parse().ok();
    listed.lines().filter_map(creator).map(Pid::from_raw).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn shared_memory_of_an_initdb_that_is_killed_is_removed() {
    // Where its child alone is killed, initdb itself empties the data folder, or makes do without.
    for initdb_is_killed in [false, true] {
        let temporary = open_folder();
        let run = helper("helper_runs_a_server", temporary.path())
            .env("PGBRAID_NO_CACHE", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (child, initdb) = process_of_initdb(temporary.path());
        if initdb_is_killed {
            kill(initdb, Signal::SIGKILL).unwrap();
        }
        kill(child, Signal::SIGKILL).unwrap();
        let ended = run.wait_with_output().unwrap();
        if initdb_is_killed {
            let said = String::from_utf8_lossy(&ended.stderr);
            assert!(said.contains("Initdb") && said.contains("wait_status(9)"), "{ended:?}");
        }
        assert!(!creators_of_shared_memory().contains(&child));
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn shared_memory_of_an_initdb_that_was_killed_with_its_owner_is_swept() {
    let temporary = open_folder();
    let mut run = helper("helper_runs_a_server", temporary.path())
        .env("PGBRAID_NO_CACHE", "1")
        .spawn()
        .unwrap();
    let (child, initdb) = process_of_initdb(temporary.path());
    run.kill().unwrap();
    run.wait().unwrap();
    kill(initdb, Signal::SIGKILL).unwrap();
    kill(child, Signal::SIGKILL).unwrap();
    sweep(temporary.path());
    assert!(!creators_of_shared_memory().contains(&child));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}
