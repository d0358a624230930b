//! What the programs send, recorded as scenarios of steps, races as they do.

use crate::common::program::{Finished, Place, finish};

use super::programs::pgbraid_on;

/// What a command says of the recorded steps of the programs of a scenario.
fn recorded(command: &str, scenario: &str) -> (Finished, String) {
    let found = pgbraid_on("record", scenario, &[]);
    assert_eq!(found.code, Some(0), "{found:?}");
    let place = Place::new();
    let path = place.write("recorded.toml", &found.stdout);
    let mut program = place.pgbraid();
    program.arg(command).arg(path).args(["--no-shrink", "--format", "json"]);
    (finish(program), found.stdout)
}

fn refuted(scenario: &str, violation: &str) {
    let (found, text) = recorded("explore", scenario);
    assert_eq!(found.code, Some(1), "{text}\n{found:?}");
    let broken = &found.json()["failure"]["violations"];
    assert_eq!(*broken, serde_json::json!([violation]), "{text}");
}

fn proved(scenario: &str) {
    let (found, text) = recorded("prove", scenario);
    assert_eq!(found.code, Some(0), "{text}\n{found:?}");
}

#[test]
fn pdo_looks_and_inserts() {
    refuted("php/account/naive", "one account");
    proved("php/account/advisory-lock");
}

#[test]
fn asyncpg_counts_and_books() {
    refuted("python/views/naive", "no view is lost");
    proved("python/views/for-update");
    refuted("python/cinema/naive", "one ticket a seat");
    proved("python/cinema/for-update");
}

#[test]
fn psycopg2_writes_values_into_its_statements() {
    refuted("python/counter/psycopg2-naive", "no increment is lost");
    proved("python/counter/psycopg2-for-update");
}

#[test]
fn sqlalchemy_appends_a_text() {
    refuted("python/articles/naive", "no text is lost");
    let text = pgbraid_on("record", "python/articles/naive", &[]).stdout;
    insta::assert_snapshot!(text);
}

#[test]
fn requests_of_a_service_are_steps() {
    refuted("python/shop/payment-naive", "paid once");
    proved("python/shop/payment-fixed");
}
