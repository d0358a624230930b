//! Outcomes compared with those of serial orders, and the names of what is found.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pgbraid::explore::{Exhaustive, Exploration, Options, Verdict, explore};
use pgbraid::history::Uncontrolled;
use pgbraid::run::{Ordered, Run, RunError, Workbench};
use pgbraid::scenario::Scenario;
use pgbraid::verdict::dependencies::{Anomaly, DependencyKind};
use pgbraid::verdict::outcome::Violation;
use pgbraid::verdict::serializability::Difference;

use crate::common::lab::{Lab, exhaustive, fixture};

const ITEM: DependencyKind = DependencyKind::ReadBefore { predicate: false };
const PREDICATE: DependencyKind = DependencyKind::ReadBefore { predicate: true };

fn scenario(toml: &str) -> Scenario {
    let mut scenario = Scenario::from_toml("test", "test.toml", toml, Path::new(".")).unwrap();
    scenario.require_serializable();
    scenario
}

fn explored(scenario: Scenario) -> Result<Exploration, RunError> {
    let lab = Lab::new();
    let template = lab.try_prepare(&Arc::new(scenario))?;
    let options = Options {
        keep_going: false,
        ..exhaustive(2)
    };
    explore(&template, &mut Exhaustive::new(), &options, &mut |_| {})
}

fn explore_all(scenario: Scenario) -> Exploration {
    explored(scenario).unwrap_or_else(|error| panic!("{error}"))
}

fn assert_holds(scenario: Scenario) {
    let exploration = explore_all(scenario);
    let failure = exploration.failure.map(|run| (run.order(), run.violations));
    assert_eq!((exploration.verdict, failure), (Verdict::Holds, None));
}

/// A dependency of a cycle: from and to by session, the kind, the table and row, and the steps.
type Edge<'a> = (&'a str, &'a str, DependencyKind, &'a str, &'a str, &'a str);

/// The scenario fails, as not serializable only, and this is what is found.
#[track_caller]
fn assert_found(scenario: Scenario, anomaly: Anomaly, edges: &[Edge<'_>]) {
    let exploration = explore_all(scenario);
    assert_eq!(exploration.verdict, Verdict::Fails, "{:?}", exploration.reasons);
    let run = exploration.failure.unwrap();
    assert!(
        matches!(run.violations.as_slice(), [Violation::NotSerializable { .. }]),
        "{:?}",
        run.violations
    );
    let explanation = exploration.explanation.expect("an explanation");
    let cycle = explanation.cycle.expect("a cycle");
    let session = |transaction: usize| run.history.sessions[explanation.transactions[transaction].session].as_str();
    let row = |table: &str, row: &Option<String>| format!("{table} {}", row.as_deref().unwrap_or("-"));
    let step = |turn: usize| run.history.turns[turn].step.as_str();
    let rows: Vec<String> = cycle.dependencies.iter().map(|one| row(&one.table, &one.row)).collect();
    let found: Vec<Edge<'_>> = cycle
        .dependencies
        .iter()
        .zip(&rows)
        .map(|(one, row)| {
            (
                session(one.from),
                session(one.to),
                one.kind,
                row.as_str(),
                step(one.from_turn),
                step(one.to_turn),
            )
        })
        .collect();
    assert_eq!((cycle.anomaly, found), (anomaly, edges.to_vec()));
}

const COUNTER: &str = r#"
    setup = """
    CREATE TABLE articles (id text PRIMARY KEY, views integer NOT NULL);
    INSERT INTO articles VALUES ('a1', 0), ('a2', 0);
    """
"#;

fn counter(session: &str) -> Scenario {
    let steps = r#"
        steps = [
          "BEGIN",
          { name = "read", sql = "SELECT views FROM articles WHERE id = 'a1'" },
          { name = "write", sql = "UPDATE articles SET views = :views + 1 WHERE id = 'a1'" },
          "COMMIT",
        ]
    "#;
    scenario(&format!(
        "{COUNTER}\n[[session]]\nname = \"worker\"\n{session}\n{steps}"
    ))
}

#[test]
fn a_lost_update_is_found_with_no_invariant() {
    let expected = [
        ("worker-2", "worker-1", ITEM, "articles id = a1", "read", "write"),
        (
            "worker-1",
            "worker-2",
            DependencyKind::Overwrote,
            "articles id = a1",
            "write",
            "write",
        ),
    ];
    assert_found(counter("copies = 2"), Anomaly::LostUpdate, &expected);
}

#[test]
fn a_failing_invariant_is_explained_too() {
    let exploration = explore_all(fixture("counter"));
    let violations = exploration.failure.unwrap().violations;
    assert!(
        matches!(violations.as_slice(), [Violation::Invariant { .. }]),
        "{violations:?}"
    );
    assert_eq!(exploration.explanation.unwrap().anomaly(), Some(Anomaly::LostUpdate));
}

#[test]
fn the_nearest_serial_order_shows_what_is_wrong() {
    let run = explore_all(counter("copies = 2")).failure.unwrap();
    let [
        Violation::NotSerializable {
            orders,
            nearest,
            differences,
        },
    ] = run.violations.as_slice()
    else {
        panic!("{:?}", run.violations);
    };
    // copies are interchangeable, so one order stands for both
    assert_eq!(*orders, 1);
    assert_eq!(nearest, &["worker-1", "worker-2"]);
    assert!(
        matches!(
            differences.as_slice(),
            [Difference::Step { session, step, .. }, Difference::Table { seen, .. }]
                if session == "worker-2" && step == "read" && seen.name == "articles"
        ),
        "{differences:?}"
    );
}

#[test]
fn reading_for_update_makes_the_counter_serializable() {
    let steps = r#"
        [[session]]
        name = "worker"
        copies = 2
        steps = [
          "BEGIN",
          "SELECT views FROM articles WHERE id = 'a1' FOR UPDATE",
          "UPDATE articles SET views = :views + 1 WHERE id = 'a1'",
          "COMMIT",
        ]
    "#;
    assert_holds(scenario(&format!("{COUNTER}{steps}")));
}

#[test]
fn a_transaction_that_failed_is_left_out_of_the_serial_orders() {
    // one increment is right where the other transaction was aborted, though both in any order make two
    assert_holds(counter(
        "copies = 2\nisolation = \"repeatable read\"\nallow_errors = [\"40001\"]",
    ));
}

#[test]
fn a_retried_transaction_counts_as_it_ended() {
    assert_holds(counter(
        "copies = 2\nisolation = \"repeatable read\"\nretry = { on = [\"40001\"], max = 3 }",
    ));
}

#[test]
fn the_transactions_that_committed_are_judged_where_another_failed() {
    // the third fails every time, and must not hide that the others lose an update
    let steps = r#"
        [[session]]
        name = "failing"
        allow_errors = ["22012"]
        steps = ["UPDATE articles SET views = 1 / 0 WHERE id = 'a2'"]
        [[session]]
        name = "worker"
        copies = 2
        steps = [
          { name = "read", sql = "SELECT views FROM articles WHERE id = 'a1'" },
          "BEGIN",
          { name = "again", sql = "SELECT views FROM articles WHERE id = 'a1'" },
          { name = "write", sql = "UPDATE articles SET views = :views + 1 WHERE id = 'a1'" },
          "COMMIT",
        ]
    "#;
    let expected = [
        ("worker-2", "worker-1", ITEM, "articles id = a1", "again", "write"),
        (
            "worker-1",
            "worker-2",
            DependencyKind::Overwrote,
            "articles id = a1",
            "write",
            "write",
        ),
    ];
    assert_found(scenario(&format!("{COUNTER}{steps}")), Anomaly::LostUpdate, &expected);
}

#[test]
fn a_read_and_a_write_in_transactions_of_their_own_have_a_serial_order() {
    let steps = r#"
        [[session]]
        name = "worker"
        copies = 2
        steps = [
          "SELECT views FROM articles WHERE id = 'a1'",
          "UPDATE articles SET views = :views + 1 WHERE id = 'a1'",
        ]
    "#;
    assert_holds(scenario(&format!("{COUNTER}{steps}")));
}

#[test]
fn a_wrong_outcome_without_a_cycle_is_said_to_have_none() {
    let exploration = explore_all(fixture("counter-for-update-autocommit"));
    assert_eq!(exploration.verdict, Verdict::Fails);
    assert_eq!(exploration.explanation.expect("an explanation").cycle, None);
}

fn doctors(isolation: &str) -> Scenario {
    scenario(&format!(
        r#"
        setup = """
        CREATE TABLE doctors (name text PRIMARY KEY, on_call boolean NOT NULL);
        INSERT INTO doctors VALUES ('alice', true), ('bob', true);
        """
        [[session]]
        name = "doctor"
        params = [{{ me = "alice" }}, {{ me = "bob" }}]
        {isolation}
        steps = [
          "BEGIN",
          {{ name = "check", sql = "SELECT count(*) AS present FROM doctors WHERE on_call" }},
          {{ name = "leave", sql = "UPDATE doctors SET on_call = false WHERE name = :me", when = ":present > 1" }},
          "COMMIT",
        ]
        "#
    ))
}

#[test]
fn write_skew_is_a_cycle_of_rows_that_were_read() {
    let expected = [
        ("doctor-2", "doctor-1", ITEM, "doctors name = alice", "check", "leave"),
        ("doctor-1", "doctor-2", ITEM, "doctors name = bob", "check", "leave"),
    ];
    assert_found(
        doctors("isolation = \"repeatable read\""),
        Anomaly::WriteSkew,
        &expected,
    );
}

#[test]
fn serializable_with_retry_holds() {
    assert_holds(doctors(
        "isolation = \"serializable\"\nretry = { on = [\"40001\"], max = 3 }",
    ));
}

fn transfer(reader: &str) -> Scenario {
    scenario(&format!(
        r#"
        setup = """
        CREATE TABLE accounts (id integer PRIMARY KEY, balance integer NOT NULL);
        INSERT INTO accounts VALUES (1, 100), (2, 100);
        """
        [[session]]
        name = "transfer"
        steps = [
          "BEGIN",
          {{ name = "take", sql = "UPDATE accounts SET balance = balance - 10 WHERE id = 1" }},
          {{ name = "give", sql = "UPDATE accounts SET balance = balance + 10 WHERE id = 2" }},
          "COMMIT",
        ]
        [[session]]
        name = "reader"
        {reader}
        steps = [
          "BEGIN",
          {{ name = "first", sql = "SELECT balance FROM accounts WHERE id = 1" }},
          {{ name = "second", sql = "SELECT balance FROM accounts WHERE id = 2" }},
          "COMMIT",
        ]
        "#
    ))
}

#[test]
fn read_skew_names_what_was_read_before_and_after() {
    let expected = [
        ("reader", "transfer", ITEM, "accounts id = 1", "first", "take"),
        (
            "transfer",
            "reader",
            DependencyKind::Read,
            "accounts id = 2",
            "give",
            "second",
        ),
    ];
    assert_found(transfer(""), Anomaly::ReadSkew, &expected);
    assert_holds(transfer("isolation = \"repeatable read\""));
}

fn bookings(isolation: &str) -> Scenario {
    scenario(&format!(
        r#"
        setup = "CREATE TABLE bookings (room integer NOT NULL, by text NOT NULL)"
        [[session]]
        name = "guest"
        params = [{{ me = "ann" }}, {{ me = "ben" }}]
        {isolation}
        steps = [
          "BEGIN",
          {{ name = "count", sql = "SELECT count(*) AS taken FROM bookings WHERE room = 7" }},
          {{ name = "book", sql = "INSERT INTO bookings VALUES (7, :me)", when = ":taken = 0" }},
          "COMMIT",
        ]
        "#
    ))
}

#[test]
fn rows_that_were_not_there_to_be_read_make_a_phantom() {
    let expected = [
        ("guest-2", "guest-1", PREDICATE, "bookings -", "count", "book"),
        ("guest-1", "guest-2", PREDICATE, "bookings -", "count", "book"),
    ];
    assert_found(bookings(""), Anomaly::Phantom, &expected);
    assert_holds(bookings("isolation = \"serializable\"\nallow_errors = [\"40001\"]"));
}

#[test]
fn one_statement_that_checks_and_inserts_makes_a_phantom() {
    let exploration = explore_all({
        let mut scenario = fixture("insert-not-exists");
        scenario.require_serializable();
        scenario
    });
    assert_eq!(
        exploration.explanation.expect("an explanation").anomaly(),
        Some(Anomaly::Phantom)
    );
}

#[test]
fn a_statement_that_waited_misses_the_rows_that_are_new() {
    let refreshed = fixture("list-refresh-for-update");
    let mut scenario = refreshed.clone();
    scenario.require_serializable();
    let expected = [
        (
            "refresh-2",
            "refresh-1",
            PREDICATE,
            "items list_id = 1, position = 1",
            "lock",
            "fill",
        ),
        (
            "refresh-1",
            "refresh-2",
            DependencyKind::Read,
            "items list_id = 1, position = 1",
            "clear",
            "lock",
        ),
    ];
    assert_found(scenario, Anomaly::ReadSkew, &expected);
}

/// PostgreSQL's own example of READ COMMITTED (its manual, section 13.2.1).
#[test]
fn a_statement_that_waited_for_one_row_does_not_look_again_at_the_others() {
    let hits = |rows: &str, step: u32, delete: u32| {
        scenario(&format!(
            r#"
            setup = "CREATE TABLE website (id integer PRIMARY KEY, hits integer NOT NULL); INSERT INTO website VALUES {rows}"
            [[session]]
            name = "counter"
            steps = ["BEGIN", "UPDATE website SET hits = hits + {step}", "COMMIT"]
            [[session]]
            name = "cleaner"
            steps = ["BEGIN", "DELETE FROM website WHERE hits = {delete}", "COMMIT"]
            "#
        ))
    };
    let expected = [
        ("cleaner", "counter", PREDICATE, "website id = 1", "delete", "update"),
        (
            "counter",
            "cleaner",
            DependencyKind::Read,
            "website id = 2",
            "update",
            "delete",
        ),
    ];
    assert_found(hits("(1, 9), (2, 10)", 1, 10), Anomaly::ReadSkew, &expected);
    assert_found(hits("(1, 10), (2, 20)", 10, 20), Anomaly::ReadSkew, &expected);
}

fn read_only(isolation: &str) -> Scenario {
    // Fekete, O'Neil, O'Neil: A Read-Only Transaction Anomaly Under Snapshot Isolation (2004)
    scenario(&format!(
        r#"
        setup = """
        CREATE TABLE accounts (name text PRIMARY KEY, balance integer NOT NULL);
        INSERT INTO accounts VALUES ('checking', 0), ('savings', 0);
        """
        [[session]]
        name = "deposit"
        {isolation}
        steps = [{{ name = "deposit", sql = "UPDATE accounts SET balance = balance + 20 WHERE name = 'savings'" }}]
        [[session]]
        name = "withdrawal"
        {isolation}
        steps = [
          "BEGIN",
          {{ name = "sum", sql = "SELECT sum(balance) AS total FROM accounts" }},
          {{ name = "withdraw", sql = "UPDATE accounts SET balance = balance - CASE WHEN :total < 10 THEN 11 ELSE 10 END WHERE name = 'checking'" }},
          "COMMIT",
        ]
        [[session]]
        name = "report"
        {isolation}
        steps = [{{ name = "report", sql = "SELECT name, balance FROM accounts ORDER BY name" }}]
        "#
    ))
}

#[test]
fn a_read_only_transaction_can_see_what_no_serial_order_has() {
    let expected = [
        (
            "report",
            "withdrawal",
            ITEM,
            "accounts name = checking",
            "report",
            "withdraw",
        ),
        (
            "withdrawal",
            "deposit",
            ITEM,
            "accounts name = savings",
            "sum",
            "deposit",
        ),
        (
            "deposit",
            "report",
            DependencyKind::Read,
            "accounts name = savings",
            "deposit",
            "report",
        ),
    ];
    assert_found(
        read_only("isolation = \"repeatable read\""),
        Anomaly::ReadOnlyTransaction,
        &expected,
    );
    assert_holds(read_only("isolation = \"serializable\"\nallow_errors = [\"40001\"]"));
}

#[test]
fn what_is_rolled_back_counts_for_nothing() {
    let mut scenario = fixture("dirty-read");
    scenario.require_serializable();
    assert_holds(scenario);
}

fn numbered(ignore: &str) -> Scenario {
    scenario(&format!(
        r#"
        {ignore}
        setup = "CREATE TABLE orders (id serial PRIMARY KEY, by text)"
        [[session]]
        name = "customer"
        params = [{{ me = "ann" }}, {{ me = "ben" }}]
        steps = ["BEGIN", "INSERT INTO orders (by) VALUES (:me)", "INSERT INTO orders (by) VALUES (:me)", "COMMIT"]
        "#
    ))
}

#[test]
fn numbers_drawn_from_a_sequence_differ_unless_they_are_ignored() {
    let run = explore_all(numbered("")).failure.expect("numbers in turns");
    let text = pgbraid::report::text::violations::violations(
        &run.violations,
        &run.outcome.tables,
        &run.history,
        &Default::default(),
    );
    assert!(text.contains("orders at the end: (id = "), "{text}");
    assert!(text.contains("`ignore`"), "{text}");
    assert_holds(numbered("ignore = [\"orders.id\"]"));
}

#[test]
fn a_sessions_transactions_keep_their_order() {
    // the reader never sees the second row without the first, in whatever order the transactions run
    assert_holds(scenario(
        r#"
        setup = "CREATE TABLE t (n integer)"
        [[session]]
        name = "writer"
        steps = ["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"]
        [[session]]
        name = "reader"
        steps = ["SELECT n FROM t ORDER BY n", "SELECT n FROM t ORDER BY n"]
        "#,
    ));
}

/// Two workers of [`counter`], and sessions of which each order leaves something else behind.
fn with_writers(writers: usize, words: &str) -> Scenario {
    let params: Vec<String> = (0..writers).map(|n| format!("{{ n = '{n}' }}")).collect();
    scenario(&format!(
        r#"
        setup = "CREATE TABLE log (text text); INSERT INTO log VALUES (''); CREATE TABLE t (n integer); INSERT INTO t VALUES (0)"
        [[session]]
        name = "writer"
        params = [{}]
        steps = ["UPDATE log SET text = {words}"]
        [[session]]
        name = "worker"
        copies = 2
        steps = ["BEGIN", "SELECT n FROM t", "UPDATE t SET n = :n + 1", "COMMIT"]
        "#,
        params.join(", ")
    ))
}

/// The run of one writer after the other, and of workers that lose an update.
fn lose_an_update(scenario: Scenario, writers: usize) -> Run {
    let lab = Lab::new();
    let template = lab.prepare(&Arc::new(scenario));
    let opened = Workbench::open(template, Duration::from_secs(20));
    let mut bench = lab.runtime.block_on(opened).unwrap();
    let workers = [0, 1, 0, 0, 1, 1].map(|worker| writers + worker);
    let order = (0..writers).flat_map(|writer| [writer, writer]).chain(workers);
    lab.runtime.block_on(bench.run(&mut Ordered::steps(order))).unwrap()
}

#[test]
fn orders_that_come_to_the_same_are_run_once() {
    let run = lose_an_update(with_writers(6, "text"), 6);
    let found = run.violated();
    assert_eq!(
        (found.as_slice(), run.uncontrolled),
        (["not serializable".to_owned()].as_slice(), vec![])
    );
}

#[test]
fn too_many_serial_orders_are_inconclusive() {
    let run = lose_an_update(with_writers(7, "text || :n"), 7);
    assert_eq!(run.violations, []);
    assert_eq!(run.uncontrolled, [Uncontrolled::SerialOrders { runs: 1000 }]);
}
