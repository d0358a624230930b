//! Runs that something ends early, on the embedded server.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::geteuid;
use pgbraid::postgres::embedded::Binaries;

use crate::common::program::{LONG, Place, Started, finish, fixture, processes_of};
use crate::common::server::eventually;

fn start_long(place: &Place) -> Started {
    let mut command = place.explore(&fixture(LONG));
    command.args(["--format", "json"]);
    Started::new(command)
}

fn assert_nothing_left(place: &Place, run_folders: &[PathBuf]) {
    assert_eq!(processes_of(run_folders), Vec::<String>::new());
    assert_eq!(place.run_folders(), Vec::<PathBuf>::new());
}

#[test]
fn ctrl_c_and_sigterm_leave_nothing_behind() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let place = Place::new();
        let run = start_long(&place);
        place.session_backend();
        let folders = place.run_folders();
        run.signal(signal);
        run.finish().assert_error(130, &["interrupted"]);
        assert_nothing_left(&place, &folders);
    }
}

#[test]
fn ctrl_c_while_the_server_starts_leaves_nothing_behind() {
    let place = Place::new();
    let run = start_long(&place);
    let folders = eventually("the folder of the server", || {
        Some(place.run_folders()).filter(|folders| !folders.is_empty())
    });
    run.signal(Signal::SIGINT);
    run.finish().assert_error(130, &["interrupted"]);
    assert_nothing_left(&place, &folders);
}

#[test]
fn an_interrupted_specification_has_no_result() {
    let place = Place::new();
    let results = place.path().join("results");
    fs::create_dir(&results).unwrap();
    let specification = place.write("waits.spec", "session a\nstep sleep { SELECT pg_sleep(60) }\n");
    let mut command = place.pgbraid();
    command.arg("spec").arg(specification);
    command
        .arg("--expected")
        .arg(place.path())
        .arg("--results")
        .arg(&results);
    let run = Started::new(command);
    place.session_backend();
    run.signal(Signal::SIGINT);
    assert_eq!(run.finish().code, Some(130));
    assert_eq!(fs::read_dir(&results).unwrap().count(), 0);
}

#[test]
fn a_backend_that_is_killed_is_no_verdict() {
    let place = Place::new();
    let run = start_long(&place);
    let backend = place.session_backend();
    let folders = place.run_folders();
    kill(backend, Signal::SIGKILL).unwrap();
    run.finish().assert_error(3, &["connection"]);
    assert_nothing_left(&place, &folders);
}

#[test]
fn what_a_killed_run_leaves_is_removed_by_the_next() {
    let place = Place::new();
    let run = start_long(&place);
    place.session_backend();
    let folders = place.run_folders();
    run.signal(Signal::SIGKILL);
    assert_eq!(run.finish().code, None);
    assert_eq!(place.run_folders(), folders);
    let next = finish(place.explore(&fixture("counter")));
    assert_eq!(next.code, Some(1), "{next:?}");
    assert_nothing_left(&place, &folders);
}

/// A folder of the server's programs in which one is a script: `initdb` or `postgres`.
fn bindir_with(place: &Place, program: &str, script: &str) -> PathBuf {
    let bindir = place.path().join("bin");
    let real = Binaries::find().unwrap();
    // A shell writes the scripts: a file that this process has had open for writing could be held open by the child of
    // a test on another thread, and would not execute then ("text file busy").
    let scripts = r#"mkdir -p "$1" && cd "$1" || exit
        printf '#!/bin/sh\nexec "%s/initdb" "$@"\n' "$2" >initdb
        printf '#!/bin/sh\nexec "%s/postgres" "$@"\n' "$2" >postgres
        printf '#!/bin/sh\n[ "$1" = --version ] && exec "%s/postgres" --version\n%s\n' "$2" "$4" >"$3"
        chmod 755 initdb postgres"#;
    let written = Command::new("sh")
        .args(["-c", scripts, "sh"])
        .arg(&bindir)
        .arg(real.dir())
        .args([program, script])
        .status()
        .unwrap();
    assert!(written.success());
    bindir
}

#[test]
fn ctrl_c_and_sigterm_end_a_start_that_hangs() {
    for program in ["initdb", "postgres"] {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let place = Place::new();
            let begun = place.path().join("begun");
            // the server's account writes to it
            fs::write(&begun, "").unwrap();
            fs::set_permissions(&begun, Permissions::from_mode(0o666)).unwrap();
            let script = format!("trap \"\" INT TERM; echo >\"{}\"; exec sleep 100", begun.display());
            let mut command = place.explore(&fixture(LONG));
            command.env("PGBRAID_PG_BINDIR", bindir_with(&place, program, &script));
            let run = Started::new(command);
            eventually("the program", || {
                Some(fs::read(&begun).unwrap()).filter(|found| !found.is_empty())
            });
            let folders = place.run_folders();
            let signalled = Instant::now();
            run.signal(signal);
            run.finish().assert_error(130, &["interrupted"]);
            assert!(
                signalled.elapsed() < Duration::from_secs(5),
                "{:?}",
                signalled.elapsed()
            );
            assert_nothing_left(&place, &folders);
        }
    }
}

/// A process of a server that does not end when it is told to. Killed when dropped.
struct Ignoring(Child);

impl Ignoring {
    fn start(data: &Path) -> Ignoring {
        let owner = fs::metadata(data).unwrap();
        let mut shell = Command::new("sh");
        shell
            .args([
                "-c",
                "trap '' INT; trap 'echo >asked' QUIT; echo >ready; while :; do sleep 0.1; done",
            ])
            .current_dir(data);
        if geteuid().is_root() {
            shell.uid(owner.uid()).gid(owner.gid());
        }
        let started = Ignoring(shell.spawn().unwrap());
        eventually("the process", || data.join("ready").exists().then_some(()));
        started
    }
}

impl Drop for Ignoring {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn ctrl_c_and_sigterm_end_a_sweep_that_hangs() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let place = Place::new();
        let run = start_long(&place);
        place.session_backend();
        let folders = place.run_folders();
        let ignoring = Ignoring::start(&folders[0].join("data"));
        run.signal(Signal::SIGKILL);
        run.finish();
        let next = start_long(&place);
        eventually("the sweep", || folders[0].join("data/asked").exists().then_some(()));
        let signalled = Instant::now();
        next.signal(signal);
        next.finish().assert_error(130, &["interrupted"]);
        assert!(
            signalled.elapsed() < Duration::from_secs(3),
            "{:?}",
            signalled.elapsed()
        );
        drop(ignoring);
        assert_eq!(finish(place.explore(&fixture("counter"))).code, Some(1));
        assert_nothing_left(&place, &folders);
    }
}
