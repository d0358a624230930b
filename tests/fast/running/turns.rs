//! What takes a turn and what does not.

use num_bigint::BigUint;
use pgbraid::explore::interleavings;
use pgbraid::history::Origin;

use super::on_rows;
use crate::common::lab::{Lab, scenario};
use crate::common::transcript::transcript;

#[test]
fn an_autocommitted_statement_takes_two_turns() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["UPDATE t SET v = v + 1 WHERE id = 1"]
        [[session]]
        name = "b"
        steps = ["SELECT v FROM t WHERE id = 1"]
        "#,
    );
    assert_eq!(interleavings(&scenario(&text)), BigUint::from(6u32));
    let lab = Lab::new();
    let run = lab.bench(&text).run("a b a b");
    assert_eq!(
        transcript(&run),
        [
            "a.update: UPDATE 1",
            "b.select: SELECT 1 [0]",
            "a.commit of update: COMMIT",
            "b.commit of select: COMMIT",
        ]
    );
    let origins: Vec<Origin> = run.history.turns.iter().map(|turn| turn.origin).collect();
    use Origin::{Autocommit, Step};
    assert_eq!(origins, [Step(0), Step(0), Autocommit(0), Autocommit(0)]);
}

#[test]
fn begin_goes_along_with_the_statement_after_it() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT v FROM t WHERE id = 1", "COMMIT"]
        [[session]]
        name = "b"
        steps = ["UPDATE t SET v = 7 WHERE id = 1"]
        "#,
    );
    assert_eq!(interleavings(&scenario(&text)), BigUint::from(6u32));
    let lab = Lab::new();
    let mut bench = lab.bench(&text);
    let run = bench.run("a b b a");
    assert_eq!(
        transcript(&run),
        [
            "a.select: SELECT 1 [0]",
            "b.update: UPDATE 1",
            "b.commit of update: COMMIT",
            "a.commit: COMMIT",
        ]
    );
    let begins: Vec<Option<&str>> = run.history.turns.iter().map(|turn| turn.begin.as_deref()).collect();
    assert_eq!(
        begins,
        [Some("BEGIN ISOLATION LEVEL REPEATABLE READ"), None, None, None]
    );
}

#[test]
fn a_statement_that_is_refused_in_a_transaction_takes_one_turn() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["VACUUM t"]
        "#,
    );
    assert_eq!(interleavings(&scenario(&text)), BigUint::from(1u32));
    assert_eq!(transcript(&Lab::new().bench(&text).run("a")), ["a.vacuum: VACUUM"]);
}

#[test]
fn a_chained_transaction_needs_no_begin() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["BEGIN", "UPDATE t SET v = 1", "COMMIT AND CHAIN", "UPDATE t SET v = 2", "ROLLBACK", "SELECT v FROM t WHERE id = 1"]
        "#,
    );
    assert_eq!(
        transcript(&Lab::new().bench(&text).run("")),
        [
            "a.update: UPDATE 3",
            "a.commit: COMMIT",
            "a.update-2: UPDATE 3",
            "a.rollback: ROLLBACK",
            "a.select: SELECT 1 [1]",
            "a.commit of select: COMMIT",
        ]
    );
}

#[test]
fn a_setting_takes_one_turn_and_lasts() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["SET work_mem = '1234kB'", "SHOW work_mem"]
        "#,
    );
    assert_eq!(
        transcript(&Lab::new().bench(&text).run("")),
        ["a.set: SET", "a.show: SHOW [1234kB]"]
    );
}
