//! Runs on a server that pgbraid did not start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::given::Given;
use crate::common::program::{LONG, Place, Started, finish, fixture};
use crate::common::server::{connect, eventually};

#[test]
fn a_run_leaves_nothing_on_the_server() {
    let given = Given::start();
    let before = given.inventory();
    for (scenario, code) in [("counter", 1), ("counter-atomic", 0)] {
        let run = finish(given.explore(scenario, "postgres"));
        assert_eq!(run.code, Some(code), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(
            run.stderr.contains("sessions run as postgres, a superuser"),
            "{}",
            run.stderr
        );
        assert_eq!(given.inventory(), before);
    }
    assert_eq!(given.place.run_folders().len(), 0, "no server of its own");
}

#[test]
fn the_url_may_come_from_the_environment() {
    let given = Given::start();
    let mut command = given.place.explore(&fixture("counter"));
    command.env("PGBRAID_DATABASE_URL", given.server.url("no_such_user"));
    finish(command).assert_error(3, &["no_such_user"]);
}

#[test]
fn a_mistake_in_the_scenario_leaves_nothing_on_the_server() {
    let given = Given::start();
    let before = given.inventory();
    let file = given.place.write(
        "bad.toml",
        "setup = \"CREATE TABLE\"\n[[session]]\nname = \"a\"\nsteps = [\"SELECT 1\"]\n",
    );
    finish(given.explore_file(&file, "postgres")).assert_error(2, &["bad.toml:1:"]);
    assert_eq!(given.inventory(), before);
}

/// Also while databases are being made: the first connections are those that make them.
#[test]
fn ctrl_c_leaves_nothing_on_the_server() {
    let given = Given::start();
    let before = given.inventory();
    for connections in 1..=10 {
        let run = Started::new(given.explore(LONG, "postgres"));
        eventually("connections", || (given.backends().len() >= connections).then_some(()));
        run.signal(Signal::SIGINT);
        run.finish().assert_error(130, &["interrupted"]);
        assert_eq!(given.inventory(), before, "interrupted at {connections} connections");
    }
}

#[test]
fn what_a_killed_run_leaves_is_dropped_by_the_next() {
    let given = Given::start();
    let before = given.inventory();
    let run = Started::new(given.explore(LONG, "postgres"));
    eventually("a session", || (given.backends().len() > 4).then_some(()));
    run.signal(Signal::SIGKILL);
    assert_eq!(run.finish().code, None);
    eventually("the end of the killed run's backends", || {
        given.backends().is_empty().then_some(())
    });
    assert_ne!(given.scratch_databases(), Vec::<String>::new());
    let next = finish(given.explore("counter", "postgres"));
    assert_eq!(next.code, Some(1), "{next:?}");
    assert_eq!(given.inventory(), before);
}

#[test]
fn a_run_under_way_keeps_its_databases_when_another_begins() {
    let given = Given::start();
    let run = Started::new(given.explore(LONG, "postgres"));
    eventually("a session", || (given.backends().len() > 4).then_some(()));
    let databases = given.scratch_databases();
    assert_eq!(finish(given.explore("counter", "postgres")).code, Some(1));
    let kept = given.scratch_databases();
    assert!(databases.iter().all(|database| kept.contains(database)), "{kept:?}");
    run.signal(Signal::SIGINT);
    run.finish().assert_error(130, &["interrupted"]);
}

#[test]
fn a_session_that_the_server_ends_is_no_verdict() {
    let given = Given::start();
    let before = given.inventory();
    let run = Started::new(given.explore(LONG, "postgres"));
    eventually("a session", || (given.backends().len() > 4).then_some(()));
    given.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pgbraid% customer-1'",
    );
    run.finish()
        .assert_error(3, &["terminating connection due to administrator command"]);
    assert_eq!(given.inventory(), before);
}

#[test]
fn other_clients_change_nothing() {
    let given = Given::start();
    given.execute("CREATE TABLE busy (id integer PRIMARY KEY, v bigint); INSERT INTO busy SELECT i, 0 FROM generate_series(1, 5) i");
    let explore = |scenario: &str| {
        let mut command = given.explore(scenario, "postgres");
        command.args(["--keep-going", "--format", "json"]);
        let mut report = finish(command).json();
        report["elapsed_ms"] = 0.into();
        report
    };
    let scenarios = ["transfer-sum", "opposite-order", "write-skew-serializable"];
    let alone = scenarios.map(explore);
    let (stop, statements) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (1..=5)
        .map(|client| {
            let (config, stop, statements) = (given.server.config(), stop.clone(), statements.clone());
            given.runtime.spawn(async move {
                let own = connect(&config).await;
                while !stop.load(Ordering::Relaxed) {
                    // they wait for each other as well
                    let sql = format!(
                        "BEGIN ISOLATION LEVEL SERIALIZABLE; UPDATE busy SET v = v + 1 WHERE id = {client};
                         SELECT sum(v) FROM busy; UPDATE busy SET v = v + 1 WHERE id = 1; COMMIT"
                    );
                    if own.batch_execute(&sql).await.is_err() {
                        own.batch_execute("ROLLBACK").await.unwrap();
                    }
                    statements.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let busy = scenarios.map(explore);
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        given.runtime.block_on(client).unwrap();
    }
    assert!(statements.load(Ordering::Relaxed) > 50);
    assert_eq!(alone, busy);
    assert_eq!(alone[0]["verdict"], "fails");
    assert_eq!(alone[2]["verdict"], "holds");
}

/// Whose answer arrives first, that of the step which releases a session or that session's own, is a race.
#[test]
fn a_session_that_runs_on_is_no_difference_between_two_runs() {
    let given = Given::start();
    for _ in 0..5 {
        let mut command = given.place.pgbraid();
        command
            .arg("prove")
            .arg(fixture("stock-check"))
            .arg("--check-determinism");
        command.arg("--database-url").arg(given.server.url("postgres"));
        let run = finish(command);
        assert_eq!(run.code, Some(0), "{}", run.stdout);
    }
}

#[test]
fn a_released_session_that_others_could_overtake_is_not_under_control() {
    let given = Given::start();
    let verdict = |scenario: &str| {
        let mut command = given.explore(scenario, "postgres");
        command.args(["--keep-going", "--format", "json"]);
        finish(command).json()
    };
    // the session that releases the other has no step left
    assert_eq!(verdict("same-order")["verdict"], "holds");
    let report = verdict("list-refresh-truncate-3");
    assert_eq!(report["verdict"], "inconclusive", "{report}");
    assert!(
        report["reasons"].to_string().contains("let those come first"),
        "{report}"
    );
}

#[test]
fn a_user_without_privileges_can_run_and_is_told_what_is_not_under_control() {
    let given = Given::start();
    given.execute("CREATE ROLE app LOGIN CREATEDB");
    let before = given.inventory();
    let run = finish(given.explore("counter", "app"));
    assert_eq!(run.code, Some(1), "{run:?}");
    let run = finish(given.explore("stock-check", "app"));
    assert_eq!(run.code, Some(0), "{run:?}");
    let mut deadlocks = given.explore("opposite-order", "app");
    deadlocks.args(["--format", "json"]);
    let report = finish(deadlocks).json();
    assert_eq!(report["failure"]["violations"], serde_json::json!(["deadlock"]));
    assert!(report["reasons"].to_string().contains("not under control"), "{report}");
    assert_eq!(given.inventory(), before);
}

#[test]
fn a_user_who_may_create_no_database_gets_3() {
    let given = Given::start();
    given.execute("CREATE ROLE app LOGIN");
    finish(given.explore("counter", "app"))
        .assert_error(3, &["permission denied to create database", "ALTER ROLE … CREATEDB"]);
}

#[test]
fn a_server_that_cannot_be_reached_gives_3() {
    let place = Place::new();
    let explore = |url: &str| {
        let mut command = place.explore(&fixture("counter"));
        command.args(["--database-url", url]);
        finish(command)
    };
    // nobody listens on port 1
    explore("postgres://me@127.0.0.1:1/postgres").assert_error(3, &["cannot connect", "127.0.0.1", "--database-url"]);
    explore("host=/nonexistent user=me").assert_error(3, &["cannot connect", "/nonexistent"]);
    explore("postgres://me@localhost:port/postgres").assert_error(2, &["connection string", "HOST:PORT"]);
    explore("").assert_error(2, &["names no host", "host=HOST"]);
    explore("postgres://me@localhost/postgres?sslmode=require").assert_error(2, &["TLS", "sslmode=disable"]);
}

/// A database that an earlier run left.
const LEFT: &str = "pgbraid_scratch_1_1_0_1";

#[test]
fn a_prepared_transaction_keeps_no_database() {
    let given = Given::start();
    let before = given.inventory();
    given.execute(&format!("CREATE DATABASE {LEFT}"));
    let mut config = given.server.config();
    config.dbname(LEFT);
    given.runtime.block_on(async {
        let client = connect(&config).await;
        let sql = "CREATE TABLE t (); BEGIN; INSERT INTO t DEFAULT VALUES; PREPARE TRANSACTION 'it''s mine'";
        client.batch_execute(sql).await.unwrap();
    });
    let run = finish(given.explore("counter-atomic", "postgres"));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!run.stderr.contains(LEFT), "{}", run.stderr);
    assert_eq!(given.inventory(), before);
}

#[test]
fn a_database_that_cannot_be_dropped_stops_no_run() {
    let given = Given::start();
    given.execute(&format!("CREATE DATABASE {LEFT} IS_TEMPLATE true"));
    let run = finish(given.explore("counter-atomic", "postgres"));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stderr.matches(LEFT).count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("cannot drop a template database"), "{}", run.stderr);
}

#[test]
fn sweeping_is_interrupted_at_once() {
    let given = Given::start();
    given.execute(&format!("CREATE DATABASE {LEFT}"));
    let locks = given.runtime.block_on(connect(&given.server.config()));
    let lock = format!("BEGIN; COMMENT ON DATABASE {LEFT} IS 'locked'");
    given.runtime.block_on(locks.batch_execute(&lock)).unwrap();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let run = Started::new(given.explore("counter", "postgres"));
        let waits = "SELECT query FROM pg_stat_activity WHERE query LIKE 'DROP DATABASE%' AND wait_event_type = 'Lock'";
        eventually("a database that waits to be dropped", || {
            (!given.column(waits).is_empty()).then_some(())
        });
        let signalled = Instant::now();
        run.signal(signal);
        run.finish().assert_error(130, &["interrupted"]);
        assert!(
            signalled.elapsed() < Duration::from_secs(5),
            "{:?}",
            signalled.elapsed()
        );
        // what the next run is signalled for is its own
        eventually("the end of the backend that waited", || {
            given.column(waits).is_empty().then_some(())
        });
    }
}

#[test]
fn transactions_that_steps_leave_prepared_are_rolled_back() {
    let given = Given::start();
    let before = given.inventory();
    let toml = r#"
        setup = "CREATE TABLE t (id integer PRIMARY KEY, v integer); INSERT INTO t VALUES (1, 0)"
        [[session]]
        name = "a"
        steps = ["BEGIN", "UPDATE t SET v = 1", "PREPARE TRANSACTION 'mine'"]
        [[session]]
        name = "b"
        steps = ["SELECT v FROM t"]
        [[invariant]]
        name = "no write is seen"
        sql = "SELECT v = 0 FROM t"
    "#;
    let run = given.explore_text("postgres", toml);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(given.inventory(), before);
    // it keeps the row locked, and nobody ends it
    let waits = toml.replace("SELECT v FROM t\"]", "UPDATE t SET v = 2\"]");
    given
        .explore_text("postgres", &waits)
        .assert_error(3, &["no session can continue"]);
    assert_eq!(given.inventory(), before);
}

#[test]
fn a_setup_leaves_no_transaction_prepared() {
    let given = Given::start();
    let before = given.inventory();
    let toml = |setup: &str| {
        format!(
            "setup = \"CREATE TABLE t (v integer); {setup}\"\n[[session]]\nname = \"a\"\nsteps = [\"SELECT v FROM t\"]\n"
        )
    };
    let prepares = "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'left'";
    given.explore_text("postgres", &toml(prepares)).assert_error(
        2,
        &["scenario.toml:1:", "it leaves the prepared transaction left behind"],
    );
    given
        .explore_text("postgres", &toml(&format!("{prepares}; DROP TABLE t")))
        .assert_error(2, &["scenario.toml:1:", "it waits for a prepared transaction"]);
    let ends = given.explore_text("postgres", &toml(&format!("{prepares}; COMMIT PREPARED 'left'")));
    assert_eq!(ends.code, Some(0), "{ends:?}");
    assert_eq!(given.inventory(), before);
}

#[test]
fn timeouts_of_a_role_end_no_session_that_waits_for_its_turn() {
    let given = Given::start();
    given.execute("CREATE ROLE app LOGIN CREATEDB");
    let version: u32 = given.column("SELECT current_setting('server_version_num')")[0]
        .parse()
        .unwrap();
    let timeouts = [
        (0, "idle_in_transaction_session_timeout"),
        (140_000, "idle_session_timeout"),
        (170_000, "transaction_timeout"),
    ];
    for (_, timeout) in timeouts.iter().filter(|(first, _)| *first <= version) {
        given.execute(&format!("ALTER ROLE app SET {timeout} = '100ms'"));
    }
    let toml = r#"
        setup = "CREATE TABLE t (v integer)"
        [[session]]
        name = "a"
        steps = ["BEGIN", "INSERT INTO t VALUES (1)", "SELECT v FROM t", "COMMIT"]
        [[session]]
        name = "b"
        steps = ["SELECT pg_sleep(0.3)"]
    "#;
    let run = given.explore_text("app", toml);
    assert_eq!(run.code, Some(0), "{run:?}");
    let spec = given.place.write(
        "slow.spec",
        "session s1 step a { BEGIN; } step b { COMMIT; } session s2 step c { SELECT pg_sleep(0.3); } permutation a c b",
    );
    let mut command = given.place.pgbraid();
    command
        .arg("spec")
        .arg(spec)
        .arg("--database-url")
        .arg(given.server.url("app"));
    let run = finish(command);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!run.stdout.contains("FATAL"), "{}", run.stdout);
}

#[test]
fn a_session_of_a_specification_that_the_server_ends_is_the_environments_fault() {
    let given = Given::start();
    let spec = given.place.write(
        "long.spec",
        "session s1 step a { SELECT pg_sleep(60); } step b { SELECT 1; } session s2 step c { SELECT 2; }
         permutation a b c",
    );
    let expected = given.place.path().join("expected");
    std::fs::create_dir(&expected).unwrap();
    std::fs::write(expected.join("long.out"), "something else\n").unwrap();
    for arguments in [&[][..], &["--expected", expected.to_str().unwrap()]] {
        let mut command = given.place.pgbraid();
        command.arg("spec").arg(&spec).args(arguments);
        command.arg("--database-url").arg(given.server.url("postgres"));
        let run = Started::new(command);
        eventually("the long step", || {
            let ended =
                "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE query ~ '^ *SELECT pg_sleep.60'";
            (!given.column(ended).is_empty()).then_some(())
        });
        let run = run.finish();
        assert_eq!(run.code, Some(3), "{run:?}");
        assert!(run.stderr.contains("session s1 was lost"), "{}", run.stderr);
    }
}
