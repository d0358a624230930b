//! What is one step though it is several statements is said.

use super::on_rows;
use crate::common::lab::{Lab, scenario};

fn notes(setup: &str, steps: &str) -> Vec<String> {
    let text = on_rows(&format!("[[session]]\nname = \"a\"\nsteps = [{steps}]"));
    let text = text.replace("INSERT INTO t", &format!("{setup} INSERT INTO t"));
    let lab = Lab::new();
    lab.prepare(&scenario(&text)).notes().to_vec()
}

const FUNCTION: &str = "CREATE FUNCTION f() RETURNS integer LANGUAGE plpgsql AS \
                        'BEGIN UPDATE t SET v = 1; RETURN (SELECT max(v) FROM t); END';";

fn one_step(names: &str) -> String {
    format!(
        "a function, a procedure and a DO are one step: what other sessions do between the statements inside was not explored \
         ({names})"
    )
}

#[test]
fn a_function_that_a_step_calls_is_named() {
    assert_eq!(notes(FUNCTION, r#""SELECT F()""#), [one_step("function f")]);
    assert_eq!(notes(FUNCTION, r#""SELECT 1""#), [] as [&str; 0]);
    let stable = FUNCTION
        .replace("UPDATE t SET v = 1;", "")
        .replace("plpgsql", "plpgsql STABLE");
    assert_eq!(notes(&stable, r#""SELECT f()""#), [] as [&str; 0]);
}

#[test]
fn a_trigger_a_default_and_what_is_called_from_within_are_named() {
    let setup = "CREATE FUNCTION inner_one() RETURNS integer LANGUAGE sql AS 'SELECT max(v) FROM t'; \
                 CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS \
                 'BEGIN PERFORM inner_one(); RETURN NEW; END'; \
                 CREATE TRIGGER log BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION log();";
    let expected = one_step("function inner_one, trigger function log");
    assert_eq!(notes(setup, r#""UPDATE t SET v = 1""#), [expected]);
}

#[test]
fn a_procedure_that_commits_is_named_as_one_and_so_is_a_do() {
    let setup = "CREATE PROCEDURE p() LANGUAGE plpgsql AS 'BEGIN UPDATE t SET v = 1; COMMIT; UPDATE t SET v = 2; END';";
    let found = notes(setup, r#""CALL p()", "DO 'BEGIN UPDATE t SET v = 3; END'""#);
    assert_eq!(found[0], one_step("procedure p, the DO of step do"));
    assert!(
        found[1].starts_with("a procedure cannot end a transaction here (error 2D000)"),
        "{found:?}"
    );
    assert!(found[1].ends_with(": p"), "{found:?}");
}

#[test]
fn a_procedure_that_commits_fails_with_the_servers_error() {
    let text = on_rows("[[session]]\nname = \"a\"\nsteps = [\"CALL p()\"]").replace(
        "INSERT INTO t",
        "CREATE PROCEDURE p() LANGUAGE plpgsql AS 'BEGIN UPDATE t SET v = 1; COMMIT; END'; INSERT INTO t",
    );
    let run = Lab::new().bench(&text).run("");
    assert_eq!(run.history.ends[0].error.as_ref().unwrap().sqlstate, "2D000");
}
