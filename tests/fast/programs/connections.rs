//! Programs whose connections are sessions of their own: small ones with threads.

use super::{CLIENT, Finished, Place, assert_inconclusive, finish};

const SETUP: &str =
    "CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE seen (x int)";

/// `go(f, …)` runs functions in threads of their own, and waits for them; each is given a connection.
const THREADS: &str = r#"
import sys, threading, time
from client import *

def go(*works):
    def run(work):
        work(Connection())
    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

def bump(c, id=1, lock=""):
    c.run("BEGIN")
    x = int(c.ask(f"SELECT x FROM t WHERE id = {id}{lock}")[0][0])
    c.run(f"UPDATE t SET x = {x + 1} WHERE id = {id}")
    c.run("COMMIT")
"#;

/// Proves of a program with this many connections that the invariant holds.
fn prove(connections: usize, program: &str, invariant: &str) -> Finished {
    let place = Place::new();
    place.write("client.py", CLIENT);
    place.write("program.py", &format!("{THREADS}\n{program}\n"));
    let scenario = format!(
        r#"
setup = "{SETUP}"
[[session]]
name = "shop"
command = ["python3", "program.py"]
connections = {connections}
[[invariant]]
name = "kept"
sql = "{invariant}"
"#
    );
    let path = place.write("trial.toml", &scenario);
    let mut command = place.pgbraid();
    command.arg("prove").arg(path);
    command.args(["--no-shrink", "--step-timeout", "8", "--format", "json"]);
    finish(command)
}

const BOTH_COUNT: &str = "SELECT x = 2 FROM t WHERE id = 1";

#[test]
fn threads_of_a_program_race() {
    let found = prove(2, "go(bump, bump)", BOTH_COUNT);
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.stdout.contains("shop.2"), "{found:?}");
}

#[test]
fn threads_that_lock_the_row_are_proved() {
    let locked = "go(*[lambda c: bump(c, lock=' FOR UPDATE')] * 2)";
    assert_eq!(prove(2, locked, BOTH_COUNT).code, Some(0));
    let three = locked.replace("* 2", "* 3");
    assert_eq!(prove(3, &three, "SELECT x = 3 FROM t WHERE id = 1").code, Some(0));
}

#[test]
fn threads_that_do_not_meet_are_covered_by_one_schedule() {
    let program = "go(bump, lambda c: c.run('INSERT INTO seen VALUES (1)'))";
    let found = prove(2, program, "SELECT x = 1 FROM t WHERE id = 1");
    assert_eq!(found.code, Some(0), "{found:?}");
    // what they send is known once they have been run
    assert_eq!(found.json()["schedules_run"], 2, "{found:?}");
}

/// The third races with the first only where the second has given its connection back earlier.
#[test]
fn a_thread_that_waits_for_a_connection_of_a_pool_may_race_with_any_other() {
    let pool = r#"
import queue
pool = queue.Queue()
for _ in range(2):
    pool.put(Connection())

def pooled(work):
    def run():
        c = pool.get()
        work(c)
        pool.put(c)
    return threading.Thread(target=run)

threads = [pooled(bump), pooled(lambda c: bump(c, 2)), pooled(bump)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"#;
    let found = prove(2, pool, BOTH_COUNT);
    assert_eq!(found.code, Some(1), "{found:?}");
}

#[test]
fn what_comes_after_all_threads_is_a_step_too() {
    let program = r#"
go(*[lambda c: bump(c, lock=" FOR UPDATE")] * 2)
c = Connection()
c.run("INSERT INTO seen SELECT x FROM t WHERE id = 1")
"#;
    let found = prove(2, program, "SELECT x = 2 FROM seen");
    assert_eq!(found.code, Some(0), "{found:?}");
}

#[test]
fn threads_that_wait_for_each_other_keep_their_order() {
    let program = r#"
done = threading.Event()

def first(c):
    bump(c)
    done.set()

def second(c):
    done.wait()
    bump(c)

go(first, second)
"#;
    let found = prove(2, program, BOTH_COUNT);
    assert_eq!(found.code, Some(0), "{found:?}");
}

#[test]
fn a_thread_that_sleeps_is_inconclusive() {
    let program = r#"
def slow(c):
    bump(c, lock=" FOR UPDATE")
    time.sleep(0.6)
    bump(c, lock=" FOR UPDATE")

go(slow, lambda c: bump(c, lock=" FOR UPDATE"))
"#;
    let found = prove(2, program, "SELECT x = 3 FROM t WHERE id = 1");
    // where it comes late, but not always at the same moment, the runs differ
    let code = match found.stdout.contains("\"runs-differ\"") {
        true => "runs-differ",
        false => "waited-for-timer",
    };
    assert_inconclusive(&found, code);
}

#[test]
fn more_connections_than_the_file_says_are_refused() {
    let found = prove(2, "go(bump, bump, bump)", BOTH_COUNT);
    assert_eq!(found.code, Some(2), "{found:?}");
    assert!(found.stderr.contains("more than 2 connections"), "{found:?}");
}

#[test]
fn a_program_that_fails_is_said_once() {
    let found = prove(
        2,
        "go(bump, lambda c: bump(c, 2))\nprint('over')\nsys.exit(3)",
        "SELECT true",
    );
    assert_eq!(found.code, Some(1), "{found:?}");
    let printed = serde_json::json!([{ "session": "shop", "stdout": "over\n", "stderr": "" }]);
    assert_eq!(found.json()["failure"]["outputs"], printed);
    let violations = &found.json()["failure"]["violations"];
    assert_eq!(violations.as_array().map(Vec::len), Some(1), "{violations}");
    assert!(
        violations[0].as_str().is_some_and(|said| said.contains("shop")),
        "{violations}"
    );
}
