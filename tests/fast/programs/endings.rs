//! How programs end, and that nothing is left of them.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Trial, assert_fails, assert_holds};
use crate::common::program::Started;
use crate::common::server::eventually;

#[test]
fn a_program_that_is_not_there_hangs_or_never_lets_go_is_an_error() {
    let of = |command: &str| Trial::new(&[], "SELECT true").with("program", command).run();
    of(r#"["/nowhere/to/be/found"]"#).assert_error(2, &["/nowhere/to/be/found"]);
    of(r#"["sleep", "1000"]"#).assert_error(3, &["neither sent a statement nor ended"]);
}

#[test]
fn a_program_that_is_killed_fails_and_its_transaction_is_rolled_back() {
    let program = "import os\nc.run('BEGIN')\nc.run('UPDATE t SET x = 1')\nos.kill(os.getpid(), 9)";
    let finished = Trial::new(&[("program", program)], "SELECT x = 0 FROM t").run();
    assert_fails(&finished);
    assert!(!finished.stdout.contains("\"invariant\""), "{finished:?}");
}

#[test]
fn a_program_that_is_killed_while_its_statement_is_held_fails() {
    let victim = "import os\nopen('pid', 'w').write(str(os.getpid()))\nc.run('UPDATE t SET x = 1')";
    let killer = "import os\nos.kill(int(open('pid').read()), 9)\nc.run('UPDATE t SET x = 2')";
    let finished = Trial::new(&[("victim", victim), ("killer", killer)], "SELECT true").run();
    assert_fails(&finished);
    let violations = &finished.json()["failure"]["violations"];
    assert_eq!(*violations, serde_json::json!(["signal 9 of victim"]), "{finished:?}");
}

#[test]
fn a_child_that_keeps_the_connection_of_a_program_that_has_ended_is_an_error() {
    let program = "import os, time\nc.run('UPDATE t SET x = 1')\nif os.fork() == 0:\n    time.sleep(60)\nos._exit(0)";
    let finished = Trial::new(&[("program", program)], "SELECT true").run();
    finished.assert_error(3, &["program has ended", "keeps its connection open", "within 3s"]);
}

#[test]
fn a_program_that_prints_much_and_reads_nothing_is_run_all_the_same() {
    let program = "import sys\nsys.stdin.close()\nfor _ in range(1000): sys.stdout.write('x' * 100000)";
    assert_holds(&Trial::new(&[("program", program)], "SELECT true").run());
}

#[test]
fn processes_that_outlive_the_program_do_not_hold_up_the_run() {
    let started = Instant::now();
    let trial = Trial::new(&[], "SELECT true").with(
        "program",
        r#"["bash", "-c", "setsid env -i /bin/sleep 50 & setsid /bin/sleep 1234 & true"]"#,
    );
    assert_holds(&trial.run());
    assert!(started.elapsed() < Duration::from_secs(40));
    let left = std::process::Command::new("ps")
        .args(["-A", "-o", "args="])
        .output()
        .unwrap();
    assert!(!String::from_utf8_lossy(&left.stdout).contains("/bin/sleep 1234"));
}

#[test]
fn ctrl_c_leaves_no_program_behind() {
    let mut trial = Trial::new(
        &[(
            "program",
            "import time\nc.run('UPDATE t SET x = 1')\nopen('up', 'w')\ntime.sleep(4321)",
        )],
        "SELECT true",
    );
    trial.step_timeout = "100";
    let run = Started::new(trial.command());
    eventually("the program", || trial.place.path().join("up").exists().then_some(()));
    run.signal(Signal::SIGINT);
    run.finish().assert_error(130, &["interrupted"]);
    assert_eq!(trial.place.run_folders(), Vec::<std::path::PathBuf>::new());
    let left = std::process::Command::new("ps")
        .args(["-A", "-o", "args="])
        .output()
        .unwrap();
    let marker = trial.place.path().display().to_string();
    assert!(!String::from_utf8_lossy(&left.stdout).contains(&marker));
}

#[test]
fn a_setup_that_leaves_a_statement_behind_is_waited_for_so_long() {
    let trial = Trial::new(&[("program", "")], "SELECT true").with_setup("c.send(query('SELECT pg_sleep(600)'))");
    trial
        .run()
        .assert_error(3, &["setup", "what its program sent last", "30s"]);
}
