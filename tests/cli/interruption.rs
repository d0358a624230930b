//! Runs that something ends early, on the embedded server.

use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};

use crate::common::server::eventually;
use crate::program::{LONG, Place, Started, finish, fixture};

fn start_long(place: &Place) -> Started {
    let mut command = place.explore(&fixture(LONG));
    command.args(["--format", "json"]);
    Started::new(command)
}

fn assert_nothing_left(place: &Place, run_folders: &[PathBuf]) {
    assert_eq!(place.processes(run_folders), Vec::<String>::new());
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
