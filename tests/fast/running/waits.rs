//! Blocked sessions: what the history says about their waits, and which resumes when several are released.

use pgbraid::history::MoveKind;

use super::on_rows;
use crate::common::lab::Lab;
use crate::common::transcript::{results, transcript};

const REPETITIONS: usize = 20;

#[test]
fn a_wait_is_recorded_with_its_blocker_and_its_turns() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["BEGIN", "UPDATE t SET v = 1 WHERE id = 1", "SELECT 1", "COMMIT"]
        [[session]]
        name = "b"
        steps = ["BEGIN", "UPDATE t SET v = v + 1 WHERE id = 1 RETURNING v", "COMMIT"]
        "#,
    );
    let lab = Lab::new();
    let run = lab.bench(&text).run_repeatedly(REPETITIONS, "a b a a b");
    assert_eq!(
        transcript(&run),
        [
            "a.update: UPDATE 1",
            "b.update: UPDATE 1 [2] (a 1-3)",
            "a.select: SELECT 1 [1]",
            "a.commit: COMMIT",
            "b.commit: COMMIT",
        ]
    );
    let wait = &run.history.turns[1].waits[0];
    assert_eq!(
        (wait.blocked_by.as_slice(), wait.from, wait.until),
        ([0].as_slice(), 1, 3)
    );
    assert_eq!(run.history.turns[1].finished_in, 3);
    assert_eq!(run.history.turns[2].finished_in, 2);
}

#[test]
fn a_blocked_sessions_turn_passes_until_it_is_released() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["BEGIN", "UPDATE t SET v = 1 WHERE id = 1", "COMMIT"]
        [[session]]
        name = "b"
        steps = ["BEGIN", "UPDATE t SET v = 2 WHERE id = 1", "COMMIT"]
        "#,
    );
    let lab = Lab::new();
    let run = lab.bench(&text).run("a b b a");
    assert_eq!(run.order(), [0, 1, 0, 1, 1]);
    let ready: Vec<&[usize]> = run.decisions.iter().map(|decision| decision.ready.as_slice()).collect();
    assert_eq!(ready, [[0, 1].as_slice(), &[0, 1], &[0], &[1], &[1]]);
    let kinds: Vec<MoveKind> = run.history.moves.iter().map(|one| one.kind).collect();
    use MoveKind::{Resume, Step};
    assert_eq!(kinds, [Step, Step, Step, Resume, Step]);
}

#[test]
fn a_session_waits_for_all_who_hold_the_lock() {
    let text = on_rows(
        r#"
        [[session]]
        name = "reader"
        copies = 2
        steps = ["BEGIN", "SELECT v FROM t WHERE id = 1 FOR SHARE", "COMMIT"]
        [[session]]
        name = "table"
        steps = ["BEGIN", "LOCK TABLE t", "COMMIT"]
        "#,
    );
    let lab = Lab::new();
    let run = lab
        .bench(&text)
        .run_repeatedly(REPETITIONS, "reader-1 reader-2 table reader-1 reader-2 table");
    assert_eq!(
        transcript(&run),
        [
            "reader-1.select: SELECT 1 [0]",
            "reader-2.select: SELECT 1 [0]",
            "table.lock: LOCK TABLE (reader-1+reader-2 2-3, reader-2 3-4)",
            "reader-1.commit: COMMIT",
            "reader-2.commit: COMMIT",
            "table.commit: COMMIT",
        ]
    );
}

/// `a` inserts a key and rolls back; `b` and `c` wait with the same key.
const THREE_INSERTS: &str = r#"
setup = "CREATE TABLE t (id integer PRIMARY KEY, who text)"
[[session]]
name = "a"
steps = ["BEGIN", "INSERT INTO t VALUES (1, 'a')", "ROLLBACK"]
[[session]]
name = "b"
allow_errors = ["23505"]
steps = ["BEGIN", "INSERT INTO t VALUES (1, 'b')", "COMMIT"]
[[session]]
name = "c"
allow_errors = ["23505"]
steps = ["BEGIN", "INSERT INTO t VALUES (1, 'c')", "COMMIT"]
"#;

#[test]
fn sessions_released_together_resume_in_the_order_in_which_they_began_to_wait() {
    let lab = Lab::new();
    let mut bench = lab.bench(THREE_INSERTS);
    let run = bench.run_repeatedly(REPETITIONS, "a b c a b c");
    assert_eq!(
        transcript(&run),
        [
            "a.insert: INSERT 0 1",
            "b.insert: INSERT 0 1 (a 1-3)",
            "c.insert: error 23505 (a 2-3, b 3-4)",
            "a.rollback: ROLLBACK",
            "b.commit: COMMIT",
        ]
    );
    let swapped = bench.run_repeatedly(REPETITIONS, "a c b a c b");
    assert_eq!(
        transcript(&swapped),
        [
            "a.insert: INSERT 0 1",
            "c.insert: INSERT 0 1 (a 1-3)",
            "b.insert: error 23505 (a 2-3, c 3-4)",
            "a.rollback: ROLLBACK",
            "c.commit: COMMIT",
        ]
    );
}

#[test]
fn who_of_several_released_sessions_resumes_first_is_for_the_schedule_to_say() {
    let lab = Lab::new();
    let mut bench = lab.bench(THREE_INSERTS);
    // b began to wait first; a rolls back; c resumes
    let run = bench.run_moves("a b c a c b c b");
    assert_eq!(
        transcript(&run),
        [
            "a.insert: INSERT 0 1",
            "b.insert: error 23505 (a 1-3, c 3-4)",
            "c.insert: INSERT 0 1 (a 2-3)",
            "a.rollback: ROLLBACK",
            "c.commit: COMMIT",
        ]
    );
    assert_eq!(run.order(), [0, 1, 2, 0, 2, 1, 2, 1]);
    // c's commit, too, comes before b resumes
    let overtaken = bench.run_moves("a b c a c c b");
    assert_eq!(transcript(&overtaken)[1], "b.insert: error 23505 (a 1-4)");
    assert_eq!(overtaken.uncontrolled, []);
}

#[test]
fn another_session_may_take_a_row_before_the_one_that_was_released_resumes() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["BEGIN", "UPDATE t SET v = 1 WHERE id = 1", "COMMIT"]
        [[session]]
        name = "b"
        steps = ["BEGIN", "UPDATE t SET v = v * 10 WHERE id = 1 RETURNING v", "COMMIT"]
        [[session]]
        name = "c"
        steps = ["BEGIN", "UPDATE t SET v = v + 1 WHERE id = 1 RETURNING v", "COMMIT"]
        "#,
    );
    let lab = Lab::new();
    let run = lab.bench(&text).run_moves("a b a c c b b");
    assert_eq!(
        transcript(&run),
        [
            "a.update: UPDATE 1",
            "b.update: UPDATE 1 [20] (a 1-4)",
            "a.commit: COMMIT",
            "c.update: UPDATE 1 [2]",
            "c.commit: COMMIT",
            "b.commit: COMMIT",
        ]
    );
}

/// With two sessions, too: the one that was released waits anew, for the one that waits for it.
#[test]
fn a_session_that_was_released_can_close_a_cycle() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        allow_errors = ["40P01"]
        steps = [
            "SELECT pg_advisory_lock(1)",
            "BEGIN",
            "UPDATE t SET v = 1 WHERE id = 1",
            "SELECT pg_advisory_unlock(1)",
            "SELECT pg_advisory_lock(1)",
            "COMMIT",
        ]
        [[session]]
        name = "b"
        allow_errors = ["40P01"]
        steps = ["UPDATE t SET v = 2 WHERE pg_advisory_xact_lock(1) IS NOT NULL AND id = 1"]
        "#,
    );
    let lab = Lab::new();
    // b waits for the lock, is released, and a waits for b
    let run = lab.bench(&text).run_moves("a a a b a a b");
    assert_eq!(run.deadlocks.len(), 1);
    assert_eq!(run.uncontrolled, []);
}

#[test]
fn waiters_for_one_row_get_it_in_the_order_in_which_they_began_to_wait() {
    let text = on_rows(
        r#"
        [[session]]
        name = "w"
        copies = 4
        steps = ["BEGIN", "UPDATE t SET v = v + 1 WHERE id = 1 RETURNING v", "COMMIT"]
        "#,
    );
    let lab = Lab::new();
    let mut bench = lab.bench(&text);
    for order in [["w-1", "w-2", "w-3", "w-4"], ["w-3", "w-4", "w-2", "w-1"]] {
        let turns = [order, order].concat().join(" ");
        let run = bench.run_repeatedly(REPETITIONS, &turns);
        for (place, session) in order.iter().enumerate() {
            let got = results(&run, session, "update");
            assert_eq!(got, [[Some((place + 1).to_string())]], "{session} of {order:?}");
        }
    }
}

/// The server lets go of a transaction's locks a moment before it counts as committed in the checks of serializability.
#[test]
fn a_serializable_session_goes_on_when_the_commit_that_releases_it_is_complete() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        isolation = "serializable"
        allow_errors = ["40001"]
        steps = ["DELETE FROM t"]
        [[session]]
        name = "b"
        isolation = "serializable"
        steps = ["SELECT v FROM t WHERE v = 0 FOR UPDATE"]
        [[session]]
        name = "c"
        isolation = "serializable"
        steps = ["BEGIN", "INSERT INTO t VALUES (4)", "COMMIT"]
        "#,
    );
    Lab::new().bench(&text).run_repeatedly(60, "b c a c b");
}
