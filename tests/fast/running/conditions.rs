//! Conditions of steps.

use pgbraid::run::RunError;

use super::on_rows;
use crate::common::lab::Lab;
use crate::common::transcript::transcript;

#[test]
fn a_step_whose_condition_is_false_or_null_is_passed_over() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        params = [{ wanted = 1 }]
        steps = [
          { name = "none", sql = "SELECT v FROM t WHERE id = 99" },
          { name = "if null", sql = "SELECT 1", when = ":v = 0" },
          { name = "if not null", sql = "SELECT 2", when = "NOT (:v = 0)" },
          { name = "if false", sql = "SELECT 3", when = ":wanted > 1" },
          { name = "if true", sql = "SELECT 4", when = ":wanted = 1 AND :v IS NULL" },
        ]
        "#,
    );
    let lab = Lab::new();
    assert_eq!(
        transcript(&lab.bench(&text).run("")),
        [
            "a.none: SELECT 0 []",
            "a.commit of none: COMMIT",
            "a.if true: SELECT 1 [4]",
            "a.commit of if true: COMMIT",
        ]
    );
}

#[test]
fn a_condition_takes_no_snapshot_in_the_sessions_transaction() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        isolation = "repeatable read"
        params = { wanted = true }
        steps = ["BEGIN", { sql = "SELECT v FROM t WHERE id = 1", when = ":wanted" }, "COMMIT"]
        [[session]]
        name = "b"
        steps = ["UPDATE t SET v = 5 WHERE id = 1"]
        "#,
    );
    let lab = Lab::new();
    assert_eq!(
        transcript(&lab.bench(&text).run("b b a a")),
        [
            "b.update: UPDATE 1",
            "b.commit of update: COMMIT",
            "a.select: SELECT 1 [5]",
            "a.commit: COMMIT",
        ]
    );
}

#[test]
fn a_condition_that_fails_is_no_verdict() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = [
          { name = "read", sql = "SELECT v FROM t WHERE id = 1" },
          { name = "divided", sql = "SELECT 1", when = "10 / :v > 1" },
        ]
        "#,
    );
    let lab = Lab::new();
    match lab.bench(&text).try_run("") {
        Err(RunError::Condition {
            session, step, error, ..
        }) => {
            assert_eq!((session.as_str(), step.as_str()), ("a", "divided"));
            assert_eq!(error.sqlstate, "22012");
        }
        other => panic!("{other:?}"),
    }
}
