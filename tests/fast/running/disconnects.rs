//! The end of a connection frees the advisory locks that outlive transactions, in a turn of its own.

use std::collections::BTreeSet;

use pgbraid::explore::{Dpor, Exploration, Verdict};
use pgbraid::history::Origin;
use pgbraid::report::text::TextOptions;
use pgbraid::report::text::timeline::timeline;
use pgbraid::schedule::Schedule;

use super::on_rows;
use crate::common::lab::{Lab, exhaustive, scenario};
use crate::common::transcript::transcript;

const BOTH_LOCK: &str = r#"
    [[session]]
    name = "a"
    steps = ["BEGIN", "SELECT pg_advisory_lock(1)", "UPDATE t SET v = v + 1 WHERE id = 1", "COMMIT"]
    [[session]]
    name = "b"
    steps = ["SELECT pg_advisory_lock(1)", "UPDATE t SET v = v * 2 WHERE id = 1"]
    "#;

#[test]
fn a_session_that_ends_frees_its_locks_after_its_last_commit() {
    let lab = Lab::new();
    let mut bench = lab.bench(&on_rows(BOTH_LOCK));
    let run = bench.run_repeatedly(3, "a b a a a");
    assert_eq!(
        transcript(&run),
        [
            "a.select: SELECT 1 []",
            "b.select: SELECT 1 [] (a 1-4)",
            "a.update: UPDATE 1",
            "a.commit: COMMIT",
            "a.disconnect: DISCONNECT",
            "b.commit of select: COMMIT",
            "b.update: UPDATE 1",
            "b.commit of update: COMMIT",
            "b.disconnect: DISCONNECT",
        ]
    );
    assert!(matches!(run.history.turns[4].origin, Origin::Disconnect(_)));
    assert!(run.history.ends.iter().all(|end| end.committed));
    let shown = timeline(&run.history, &TextOptions::default());
    assert!(shown.contains("(disconnect)"), "{shown}");
    assert!(shown.contains("→ its advisory locks are free"), "{shown}");
}

#[test]
fn nothing_is_a_turn_where_no_lock_is_kept() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)"]
        [[session]]
        name = "b"
        steps = ["SELECT pg_advisory_xact_lock(1)"]
        "#,
    );
    let run = Lab::new().bench(&text).run("");
    assert!(
        run.history
            .turns
            .iter()
            .all(|turn| !matches!(turn.origin, Origin::Disconnect(_)))
    );
}

/// Others can run between the last commit and the end of the connection.
const TRIES: &str = r#"
    [[session]]
    name = "a"
    steps = ["SELECT pg_advisory_lock(1)"]
    [[session]]
    name = "b"
    steps = [
      "SELECT v AS before FROM t WHERE id = 1",
      { sql = "SELECT pg_try_advisory_lock(1) AS got" },
      { sql = "UPDATE t SET v = 7 WHERE id = 1", when = "NOT :got" },
    ]
    "#;

fn outcomes(exploration: &Exploration) -> BTreeSet<String> {
    exploration.outcomes.iter().map(|tally| tally.id.clone()).collect()
}

#[test]
fn dpor_finds_what_every_schedule_finds() {
    let lab = Lab::new();
    let waits_after_error = r#"
        [[session]]
        name = "a"
        allow_errors = ["22012"]
        steps = ["SELECT pg_advisory_lock(1)", "SELECT 1 / v FROM t WHERE id = 1"]
        [[session]]
        name = "b"
        steps = ["SELECT pg_advisory_lock(1)", "UPDATE t SET v = 1 WHERE id = 1"]
        "#;
    let deadlock = r#"
        deadlock = "allowed"
        [[session]]
        name = "a"
        steps = ["SELECT pg_advisory_lock(1)", "SELECT pg_advisory_lock(2)"]
        [[session]]
        name = "b"
        steps = ["SELECT pg_advisory_lock(2)", "SELECT pg_advisory_lock(1)"]
        "#;
    for (rest, expected) in [(BOTH_LOCK, 2), (TRIES, 2), (waits_after_error, 2), (deadlock, 3)] {
        let text = match rest.contains("deadlock =") {
            true => format!(
                "deadlock = \"allowed\"\n{}",
                on_rows(&rest.replace("deadlock = \"allowed\"", ""))
            ),
            false => on_rows(rest),
        };
        let all = lab.explore_all(&text);
        assert_eq!(all.verdict, Verdict::Holds, "{text}\n{:?}", all.reasons);
        assert_eq!(outcomes(&all).len(), expected, "{text}");
        let template = lab.prepare(&scenario(&text));
        for symmetric in [false, true] {
            let mut dpor = Dpor::new(template.scenario(), template.program().clone(), symmetric);
            let reduced = lab.explore_template(&template, &mut dpor, &exhaustive(1));
            assert_eq!(reduced.verdict, Verdict::Holds, "{text}\n{:?}", reduced.reasons);
            assert_eq!(outcomes(&reduced), outcomes(&all), "{text}");
            assert!(reduced.schedules_run <= all.schedules_run, "{text}");
        }
    }
}

#[test]
fn a_schedule_can_name_the_end_of_a_connection() {
    let scenario = scenario(&on_rows(TRIES));
    let lab = Lab::new();
    let template = lab.prepare(&scenario);
    let mut workbench = lab
        .runtime
        .block_on(pgbraid::run::Workbench::open(
            template,
            std::time::Duration::from_secs(20),
        ))
        .unwrap();
    for (entry, got) in [
        ("a before disconnect", "f"),
        ("a until disconnect", "t"),
        ("a to end", "t"),
    ] {
        let schedule = Schedule::parse([entry, "b to end", "a to end"]).unwrap();
        let plan = schedule.fit(&scenario).unwrap();
        let mut follower = pgbraid::schedule::Follower::new(&plan);
        let run = lab.runtime.block_on(workbench.run(&mut follower)).unwrap();
        let found = run.history.ends[1]
            .variables
            .iter()
            .find(|(name, _)| name == "got")
            .unwrap();
        assert_eq!(found.1.as_deref(), Some(got), "{entry}");
        assert_eq!(follower.departures(&run.history), [], "{entry}");
        // what is written of the run can be read again
        let written = Schedule::of(&run.history);
        assert!(written.fit(&scenario).is_ok(), "{written}");
    }
}

#[test]
fn serial_orders_end_connections_ahead_of_the_next_transaction() {
    let text = format!("serializable = true\n{}", on_rows(BOTH_LOCK));
    let all = Lab::new().explore_all(&text);
    assert_eq!(
        all.verdict,
        Verdict::Holds,
        "{:?}",
        all.failure.map(|run| run.violations)
    );
}
