//! Errors of statements: what they end, what they release, and when the transaction runs again.

use pgbraid::verdict::outcome::Violation;

use super::on_rows;
use crate::common::lab::Lab;
use crate::common::transcript::{results, transcript};

fn names(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(Violation::name).collect()
}

#[test]
fn an_error_ends_the_session_and_fails_the_schedule() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["INSERT INTO t VALUES (1)", "SELECT 1"]
        "#,
    );
    let lab = Lab::new();
    let run = lab.bench(&text).run("");
    assert_eq!(transcript(&run), ["a.insert: error 23505"]);
    assert_eq!(names(&run.violations), ["error 23505 in a"]);
    let end = &run.history.ends[0];
    assert!(!end.committed);
    assert_eq!(end.error.as_ref().unwrap().sqlstate, "23505");
}

#[test]
fn an_allowed_error_ends_the_session_and_fails_nothing() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        allow_errors = ["23505"]
        steps = ["INSERT INTO t VALUES (1)", "SELECT 1"]
        [[session]]
        name = "b"
        allow_errors = ["40001"]
        steps = ["INSERT INTO t VALUES (1)"]
        "#,
    );
    let lab = Lab::new();
    let run = lab.bench(&text).run("");
    assert_eq!(transcript(&run), ["a.insert: error 23505", "b.insert: error 23505"]);
    assert_eq!(names(&run.violations), ["error 23505 in b"]);
}

#[test]
fn an_error_releases_the_locks_at_once() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        allow_errors = ["23505"]
        steps = ["BEGIN", "UPDATE t SET v = 1 WHERE id = 1", "INSERT INTO t VALUES (1)", "COMMIT"]
        [[session]]
        name = "b"
        steps = ["UPDATE t SET v = v + 2 WHERE id = 1 RETURNING v"]
        "#,
    );
    let lab = Lab::new();
    let run = lab.bench(&text).run("a a b b");
    assert_eq!(
        transcript(&run),
        [
            "a.update: UPDATE 1",
            "a.insert: error 23505",
            "b.update: UPDATE 1 [2]",
            "b.commit of update: COMMIT",
        ]
    );
}

#[test]
fn an_error_inside_a_savepoint_keeps_the_locks_from_before_it_until_the_rollback() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        allow_errors = ["23505"]
        steps = [
          "BEGIN", "UPDATE t SET v = 1 WHERE id = 1", "SAVEPOINT s", "INSERT INTO t VALUES (1)", "COMMIT",
        ]
        [[session]]
        name = "b"
        steps = ["UPDATE t SET v = v + 2 WHERE id = 1 RETURNING v"]
        "#,
    );
    let lab = Lab::new();
    let run = lab.bench(&text).run_repeatedly(20, "a a a b a b");
    assert_eq!(
        transcript(&run),
        [
            "a.update: UPDATE 1",
            "a.savepoint: SAVEPOINT",
            "a.insert: error 23505",
            "b.update: UPDATE 1 [2] (a 3-4)",
            "a.rollback of insert: ROLLBACK",
            "b.commit of update: COMMIT",
        ]
    );
}

#[test]
fn rolling_back_to_a_savepoint_releases_what_was_locked_since() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["BEGIN", "SAVEPOINT s", "UPDATE t SET v = 1 WHERE id = 1", "ROLLBACK TO s", "COMMIT"]
        [[session]]
        name = "b"
        steps = ["UPDATE t SET v = v + 2 WHERE id = 1 RETURNING v"]
        "#,
    );
    let lab = Lab::new();
    let run = lab.bench(&text).run_repeatedly(20, "a a b a b a");
    assert_eq!(
        transcript(&run),
        [
            "a.savepoint: SAVEPOINT",
            "a.update: UPDATE 1",
            "b.update: UPDATE 1 [2] (a 2-3)",
            "a.rollback: ROLLBACK",
            "b.commit of update: COMMIT",
            "a.commit: COMMIT",
        ]
    );
}

/// The second to write finds that its snapshot is too old.
const INCREMENTS: &str = r#"
        [[session]]
        name = "a"
        isolation = "repeatable read"
        steps = ["BEGIN", "UPDATE t SET v = v + 1 WHERE id = 1", "COMMIT"]
        [[session]]
        name = "b"
        isolation = "repeatable read"
        params = { seen = 0 }
        retry = { on = ["40001", "40P01"], max = 3 }
        steps = [
          "BEGIN",
          { name = "before", sql = "SELECT :seen::integer AS before" },
          { name = "read", sql = "SELECT v AS seen FROM t WHERE id = 2" },
          { name = "write", sql = "UPDATE t SET v = v + 1 WHERE id = 1" },
          "COMMIT",
        ]
        "#;

#[test]
fn a_serialization_failure_runs_the_transaction_again_from_its_start() {
    let lab = Lab::new();
    let run = lab
        .bench(&on_rows(&format!(
            "{INCREMENTS}\n[[invariant]]\nname = \"both\"\nsql = \"SELECT v = 2 FROM t WHERE id = 1\""
        )))
        .run_repeatedly(20, "a b b b a");
    assert_eq!(
        transcript(&run),
        [
            "a.update: UPDATE 1",
            "b.before: SELECT 1 [0]",
            "b.read: SELECT 1 [0]",
            "b.write: error 40001 (a 3-4)",
            "a.commit: COMMIT",
            "b.before again 1: SELECT 1 [0]",
            "b.read again 1: SELECT 1 [0]",
            "b.write again 1: UPDATE 1",
            "b.commit again 1: COMMIT",
        ]
    );
    assert_eq!(run.history.ends[1].retries, 1);
    assert!(run.history.ends[1].committed);
    assert_eq!(run.violations, []);
}

#[test]
fn a_retry_comes_back_to_the_variables_of_the_transactions_start() {
    let changed = INCREMENTS.replace("SELECT v AS seen FROM t WHERE id = 2", "SELECT 41 + :seen AS seen");
    let lab = Lab::new();
    let run = lab.bench(&on_rows(&changed)).run("a b b b a");
    assert_eq!(run.history.ends[1].retries, 1);
    assert_eq!(results(&run, "b", "before"), [[Some("0".to_owned())]]);
    let variables = &run.history.ends[1].variables;
    assert!(
        variables.contains(&("seen".to_owned(), Some("41".to_owned()))),
        "{variables:?}"
    );
}

#[test]
fn a_deadlocks_victim_may_run_again() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["BEGIN", "UPDATE t SET v = v + 1 WHERE id = 1", "UPDATE t SET v = v + 1 WHERE id = 2", "COMMIT"]
        [[session]]
        name = "b"
        retry = { on = ["40P01"], max = 1 }
        steps = ["BEGIN", "UPDATE t SET v = v + 1 WHERE id = 2", "UPDATE t SET v = v + 1 WHERE id = 1", "COMMIT"]
        [[invariant]]
        name = "both"
        sql = "SELECT bool_and(v = 2) FROM t WHERE id < 3"
        "#,
    );
    let lab = Lab::new();
    let run = lab.bench(&text).run_repeatedly(20, "a b a b a");
    assert_eq!(
        transcript(&run),
        [
            "a.update: UPDATE 1",
            "b.update: UPDATE 1",
            "a.update-2: UPDATE 1 (b 2-3)",
            "b.update-2: error 40P01 (a 3-3)",
            "a.commit: COMMIT",
            "b.update again 1: UPDATE 1",
            "b.update-2 again 1: UPDATE 1",
            "b.commit again 1: COMMIT",
        ]
    );
    assert_eq!(run.history.ends[1].retries, 1);
    assert_eq!(run.violations, []);
}

#[test]
fn a_transaction_runs_again_as_often_as_it_may_and_then_fails() {
    let text = r#"
        setup = """
        CREATE FUNCTION fail() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '40001'; END $$;
        """
        [[session]]
        name = "a"
        retry = { on = ["40001"], max = 2 }
        steps = ["SELECT 1 AS one", { name = "fail", sql = "SELECT fail()" }]
        "#;
    let lab = Lab::new();
    let run = lab.bench(text).run("");
    assert_eq!(
        transcript(&run),
        [
            "a.select: SELECT 1 [1]",
            "a.commit of select: COMMIT",
            "a.fail: error 40001",
            "a.fail again 1: error 40001",
            "a.fail again 2: error 40001",
        ]
    );
    assert_eq!(run.history.ends[0].retries, 2);
    assert_eq!(names(&run.violations), ["error 40001 in a"]);
}

#[test]
fn a_commit_that_fails_is_an_error_of_the_session() {
    let text = r#"
        setup = """
        CREATE TABLE parent (id integer PRIMARY KEY);
        CREATE TABLE child (parent integer REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
        """
        [[session]]
        name = "a"
        steps = ["BEGIN", "INSERT INTO child VALUES (1)", "COMMIT"]
        [[session]]
        name = "b"
        steps = ["INSERT INTO child VALUES (2)"]
        "#;
    let lab = Lab::new();
    let run = lab.bench(text).run("a b a b");
    assert_eq!(
        transcript(&run),
        [
            "a.insert: INSERT 0 1",
            "b.insert: INSERT 0 1",
            "a.commit: error 23503",
            "b.commit of insert: error 23503",
        ]
    );
    assert_eq!(names(&run.violations), ["error 23503 in a", "error 23503 in b"]);
}
