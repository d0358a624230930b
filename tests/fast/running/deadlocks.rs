//! Deadlocks: raised by the server, quickly, with the session that closes the cycle as their victim.

use std::time::{Duration, Instant};

use pgbraid::history::Deadlock;
use pgbraid::verdict::outcome::Violation;

use super::on_rows;
use crate::common::lab::Lab;
use crate::common::transcript::transcript;

const REPETITIONS: usize = 20;

/// Each session updates one row, then another: `(name, first, second)`.
fn rings(sessions: &[(&str, u32, u32)]) -> String {
    let session = |(name, first, second): &(&str, u32, u32)| {
        format!(
            r#"
            [[session]]
            name = "{name}"
            steps = [
              "BEGIN",
              {{ name = "first", sql = "UPDATE t SET v = v + 1 WHERE id = {first}" }},
              {{ name = "second", sql = "UPDATE t SET v = v + 1 WHERE id = {second}" }},
              "COMMIT",
            ]
            "#
        )
    };
    on_rows(&sessions.iter().map(session).collect::<String>())
}

#[test]
fn of_two_sessions_the_one_that_closes_the_cycle_is_the_victim() {
    let lab = Lab::new();
    let mut bench = lab.bench(&rings(&[("a", 1, 2), ("b", 2, 1)]));
    let run = bench.run_repeatedly(REPETITIONS, "a b a b a b");
    assert_eq!(
        transcript(&run),
        [
            "a.first: UPDATE 1",
            "b.first: UPDATE 1",
            "a.second: UPDATE 1 (b 2-3)",
            "b.second: error 40P01 (a 3-3)",
            "a.commit: COMMIT",
        ]
    );
    assert_eq!(
        run.deadlocks,
        [Deadlock {
            sessions: vec![0, 1],
            victim: 1,
            turn: 3
        }]
    );
    let sessions = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(run.violations, [Violation::Deadlock { sessions }]);

    let other = bench.run_repeatedly(REPETITIONS, "a b b a b a");
    assert_eq!(
        other.deadlocks,
        [Deadlock {
            sessions: vec![0, 1],
            victim: 0,
            turn: 3
        }]
    );
}

#[test]
fn of_three_sessions_the_one_that_closes_the_cycle_is_the_victim() {
    let lab = Lab::new();
    let mut bench = lab.bench(&rings(&[("a", 1, 2), ("b", 2, 3), ("c", 3, 1)]));
    for (order, victim) in [
        ("a b c a b c", 2),
        ("a b c b c a", 0),
        ("a b c c a b", 1),
        ("a b c b a c", 2),
    ] {
        let run = bench.run_repeatedly(REPETITIONS, order);
        let deadlock = Deadlock {
            sessions: vec![0, 1, 2],
            victim,
            turn: 5,
        };
        assert_eq!(run.deadlocks, [deadlock], "{order}");
    }
}

/// `b` waits for `a`, then, released and in the same statement, for `c`, which waits for `b` by then.
#[test]
fn a_session_that_waits_anew_can_close_the_cycle() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["BEGIN", "UPDATE t SET v = 1 WHERE id = 1", "COMMIT"]
        [[session]]
        name = "b"
        steps = ["BEGIN", "UPDATE t SET v = 1 WHERE id = 2", "UPDATE t SET v = 1 WHERE id IN (1, 3)", "COMMIT"]
        [[session]]
        name = "c"
        steps = ["BEGIN", "UPDATE t SET v = 1 WHERE id = 3", "UPDATE t SET v = 1 WHERE id = 2", "COMMIT"]
        "#,
    );
    let lab = Lab::new();
    let run = lab.bench(&text).run_repeatedly(REPETITIONS, "a b c b c a b c");
    assert_eq!(
        transcript(&run),
        [
            "a.update: UPDATE 1",
            "b.update: UPDATE 1",
            "c.update: UPDATE 1",
            "b.update-2: error 40P01 (a 3-5, c 5-5)",
            "c.update-2: UPDATE 1 (b 4-5)",
            "a.commit: COMMIT",
            "c.commit: COMMIT",
        ]
    );
    assert_eq!(
        run.deadlocks,
        [Deadlock {
            sessions: vec![1, 2],
            victim: 1,
            turn: 5
        }]
    );
}

#[test]
fn deadlocks_may_be_allowed() {
    let text = format!("deadlock = \"allowed\"\n{}", rings(&[("a", 1, 2), ("b", 2, 1)]));
    let lab = Lab::new();
    let run = lab.bench(&text).run("a b a b a b");
    assert_eq!(run.deadlocks.len(), 1);
    assert_eq!(run.violations, []);
}

#[test]
fn a_deadlock_does_not_take_the_servers_own_timeout() {
    let lab = Lab::new();
    let mut bench = lab.bench(&rings(&[("a", 1, 2), ("b", 2, 1)]));
    let begun = Instant::now();
    bench.run_repeatedly(10, "a b a b a b");
    // it is a second by default, for each of them
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
