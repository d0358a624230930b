//! Failing schedules become small, and stay the same failure.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::common::lab::{Lab, exhaustive, fixture, scenario};
use pgbraid::explore::{Options, Random};
use pgbraid::run::Run;
use pgbraid::scenario::Scenario;
use pgbraid::shrink::{Confirmed, ShrinkOptions, Shrunk, shrink};
use tokio_util::sync::CancellationToken;

/// The first failing schedule that is drawn, and what it shrinks to.
fn shrink_first(scenario: &Arc<Scenario>, seed: u64) -> (Run, Shrunk) {
    let lab = Lab::new();
    let template = lab.prepare(scenario);
    let options = Options {
        keep_going: false,
        ..exhaustive(2)
    };
    let found = lab.explore(scenario, &mut Random::new(scenario, seed, 200), &options);
    let run = found.failure.expect("a schedule fails");
    let options = ShrinkOptions {
        most_runs: ShrinkOptions::MOST_RUNS,
        confirmations: 5,
        step_timeout: Duration::from_secs(20),
        interrupt: CancellationToken::new(),
    };
    let shrunk = shrink(&template, &run, &options, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(shrunk.smallest.confirmed, Confirmed { fails: 5, of: 5 });
    assert!(shrunk.is_minimal);
    (run, shrunk)
}

fn schedule(shrunk: &Shrunk) -> String {
    shrunk.smallest.schedule.to_string()
}

fn steps(scenario: &Scenario) -> Vec<Vec<&str>> {
    scenario
        .sessions
        .iter()
        .map(|session| session.steps.iter().map(|step| step.name.as_str()).collect())
        .collect()
}

#[test]
fn ten_workers_shrink_to_two() {
    let (found, shrunk) = shrink_first(&Arc::new(fixture("counter-10")), 1);
    assert_eq!(found.history.turns.len(), 30);
    assert_eq!(shrunk.racing, [0, 1]);
    assert_eq!(
        schedule(&shrunk),
        "worker-1 until read, worker-2 to end, worker-1 to end"
    );
    // the invariant counts ten of them, so none can be dropped from the scenario
    assert!(shrunk.scenario.is_none());
}

#[test]
fn the_smallest_schedule_is_that_of_the_textbook() {
    for (name, expected) in [
        ("counter", "worker-1 until read, worker-2 to end, worker-1 to end"),
        ("write-skew", "doctor-1 until check, doctor-2 to end, doctor-1 to end"),
        (
            "opposite-order",
            "worker-1 until first, worker-2 until first, worker-2, worker-1 to end, worker-2 to end",
        ),
    ] {
        for seed in [3, 4] {
            let (_, shrunk) = shrink_first(&Arc::new(fixture(name)), seed);
            assert_eq!(schedule(&shrunk), expected, "{name}");
        }
    }
}

const FIVE_STATEMENTS: &str = r#"
    setup = """
    CREATE TABLE accounts (id integer PRIMARY KEY, balance integer NOT NULL);
    CREATE TABLE log (id serial PRIMARY KEY, what text);
    INSERT INTO accounts VALUES (1, 100), (2, 0);
    """
    [[session]]
    name = "payment"
    copies = 3
    steps = [
      "BEGIN",
      { name = "note", sql = "INSERT INTO log (what) VALUES ('begun')" },
      { name = "check", sql = "SELECT balance FROM accounts WHERE id = 1" },
      { name = "other", sql = "SELECT balance AS other FROM accounts WHERE id = 2" },
      { name = "pay", sql = "UPDATE accounts SET balance = :balance - 10 WHERE id = 1" },
      { name = "done", sql = "INSERT INTO log (what) VALUES ('done')" },
      "COMMIT",
    ]
    [[invariant]]
    name = "every payment counts"
    sql = """
    SELECT balance = 100 - 10 * (SELECT count(*) FROM pgbraid.sessions WHERE committed) FROM accounts WHERE id = 1
    """
"#;

#[test]
fn a_transaction_shrinks_to_the_statements_that_race() {
    let (_, shrunk) = shrink_first(&scenario(FIVE_STATEMENTS), 5);
    assert_eq!(shrunk.racing, [0, 1]);
    assert_eq!(
        schedule(&shrunk),
        "payment-1 until check, payment-2 to end, payment-1 to end"
    );
    let smallest = shrunk.scenario.expect("something can be dropped");
    let transaction = ["begin", "check", "pay", "commit"];
    assert_eq!(steps(&smallest.scenario), [transaction, transaction]);
    assert_eq!(smallest.dropped_sessions, ["payment-3"]);
    let step = |name: &str| ("payment".to_owned(), name.to_owned());
    assert_eq!(smallest.dropped_steps, [step("note"), step("other"), step("done")]);
    assert_eq!(smallest.smallest.confirmed, Confirmed { fails: 5, of: 5 });
    // it can be kept as a file of its own
    let text = smallest.scenario.to_toml();
    let read = Scenario::from_toml("smallest", "smallest.toml", &text, Path::new(".")).unwrap();
    assert_eq!(steps(&read), steps(&smallest.scenario));
}

#[test]
fn what_would_fail_without_a_race_is_not_dropped() {
    let text = r#"
        setup = """
        CREATE TABLE seats (id integer PRIMARY KEY, booked boolean NOT NULL);
        CREATE TABLE tickets (customer text);
        INSERT INTO seats VALUES (1, false);
        """
        [[session]]
        name = "user"
        copies = 2
        steps = [
          "BEGIN",
          { name = "check", sql = "SELECT booked FROM seats WHERE id = 1" },
          { name = "book", sql = "UPDATE seats SET booked = true WHERE id = 1", when = "NOT :booked" },
          { name = "ticket", sql = "INSERT INTO tickets VALUES ('one')", when = "NOT :booked" },
          "COMMIT",
        ]
        [[invariant]]
        name = "one ticket"
        sql = "SELECT count(*) < 2 FROM tickets"
    "#;
    let (_, shrunk) = shrink_first(&scenario(text), 6);
    assert_eq!(schedule(&shrunk), "user-1 until check, user-2 to end, user-1 to end");
    // without `book` there would be two tickets in a serial order too
    assert!(shrunk.scenario.is_none());
}

#[test]
fn a_session_that_the_race_needs_runs_ahead_of_it() {
    let text = r#"
        setup = """
        CREATE TABLE shop (open boolean NOT NULL, stock integer NOT NULL);
        INSERT INTO shop VALUES (false, 1);
        """
        [[session]]
        name = "buyer"
        copies = 2
        steps = [
          "BEGIN",
          { name = "check", sql = "SELECT stock FROM shop WHERE open AND stock > 0" },
          { name = "buy", sql = "UPDATE shop SET stock = stock - 1", when = ":stock > 0" },
          "COMMIT",
        ]
        [[session]]
        name = "owner"
        steps = [{ name = "open", sql = "UPDATE shop SET open = true" }]
        [[invariant]]
        name = "nothing is sold twice"
        sql = "SELECT stock >= 0 FROM shop"
    "#;
    let (_, shrunk) = shrink_first(&scenario(text), 7);
    assert_eq!(shrunk.racing, [0, 1]);
    assert_eq!(
        schedule(&shrunk),
        "owner to end, buyer-1 until check, buyer-2 to end, buyer-1 to end"
    );
}

#[test]
fn a_failure_without_a_race_shrinks_to_a_serial_order() {
    let text = r#"
        setup = "CREATE TABLE t (n integer)"
        [[session]]
        name = "a"
        copies = 2
        steps = [{ name = "one", sql = "INSERT INTO t VALUES (1)" }, { name = "two", sql = "INSERT INTO t VALUES (2)" }]
        [[invariant]]
        name = "no twos"
        sql = "SELECT count(*) = 0 FROM t WHERE n = 2"
    "#;
    let (_, shrunk) = shrink_first(&scenario(text), 8);
    assert_eq!(shrunk.racing, Vec::<usize>::new());
    assert_eq!(schedule(&shrunk), "a-1 to end, a-2 to end");
    let smallest = shrunk.scenario.expect("something can be dropped");
    assert_eq!(steps(&smallest.scenario), [["two"], ["two"]]);
}

#[test]
fn a_session_that_is_not_needed_without_a_step_goes_with_it() {
    let (_, shrunk) = shrink_first(&Arc::new(fixture("list-refresh-for-update-3")), 9);
    assert_eq!(shrunk.racing, [0, 1, 2]);
    let smallest = shrunk.scenario.expect("something can be dropped");
    assert_eq!(smallest.dropped_steps, [("refresh".to_owned(), "lock".to_owned())]);
    assert_eq!(smallest.scenario.sessions.len(), 2);
}
