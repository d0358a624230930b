//! Runs that come to no result: an error, never a verdict.

use std::time::Duration;

use pgbraid::explore::{Exhaustive, Reason, Verdict, explore};
use pgbraid::postgres::PostgresError;
use pgbraid::postgres::wire::WireError;
use pgbraid::run::RunError;
use tokio_postgres::Client;

use super::on_rows;
use crate::common::lab::{Lab, exhaustive, scenario};
use crate::common::server::{connect, shared_server};

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_step_that_neither_finishes_nor_blocks_is_an_error() {
    let text = r#"
        [[session]]
        name = "a"
        steps = [{ name = "sleep", sql = "SELECT pg_sleep(60)" }]
        [[session]]
        name = "b"
        steps = ["SELECT 1"]
        "#;
    let lab = Lab::new();
    match lab.bench_with_timeout(text, SHORT).try_run("b a") {
        Err(RunError::StepTimeout {
            session,
            step,
            limit,
            outsider,
        }) => {
            assert_eq!((session.as_str(), step.as_str(), limit), ("a", "sleep", SHORT));
            assert_eq!(outsider, None);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_step_that_waits_for_an_outsider_is_an_error_that_says_so() {
    let text = r#"
        [[session]]
        name = "a"
        steps = [{ name = "lock", sql = "SELECT pg_advisory_lock(1)" }]
        "#;
    let lab = Lab::new();
    let mut bench = lab.bench_with_timeout(text, SHORT);
    let outsider = lab.runtime.block_on(outsider(&lab));
    lab.runtime.block_on(async {
        outsider.batch_execute("SELECT pg_advisory_lock(1)").await.unwrap();
    });
    match bench.try_run("a") {
        Err(error @ RunError::StepTimeout { .. }) => {
            assert!(error.to_string().contains("which is no session of the run"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// A connection to the only scratch database of the lab that sessions are in.
async fn outsider(lab: &Lab) -> Client {
    let client = connect(&shared_server()).await;
    let of_sessions = "SELECT DISTINCT datname::text FROM pg_stat_activity
                       WHERE starts_with(application_name, $1) AND application_name LIKE '% a'";
    let database = client
        .query_one(of_sessions, &[&lab.server.application_name("")])
        .await
        .unwrap();
    connect(shared_server().dbname(database.get::<_, &str>(0))).await
}

#[test]
fn a_session_that_loses_its_connection_is_an_error() {
    let text = r#"
        [[session]]
        name = "a"
        steps = [{ name = "end", sql = "SELECT pg_terminate_backend(pg_backend_pid())" }]
        "#;
    let lab = Lab::new();
    match lab.bench(text).try_run("") {
        Err(RunError::Session {
            session,
            step,
            source: PostgresError::Wire(WireError::Terminated(error)),
        }) => {
            assert_eq!((session.as_str(), step.as_str()), ("a", "end"));
            assert_eq!(error.sqlstate, "57P01");
        }
        other => panic!("{other:?}"),
    }
}

/// `a` ends the connection of `b`, which is idle, in a transaction, or blocked by `a`.
#[test]
fn a_session_whose_connection_another_ends_is_an_error() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = [
          "BEGIN",
          "UPDATE t SET v = 1 WHERE id = 1",
          { name = "end", sql = """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE '% b'""" },
          "COMMIT",
        ]
        [[session]]
        name = "b"
        steps = ["BEGIN", "UPDATE t SET v = 2 WHERE id = 2", "UPDATE t SET v = 2 WHERE id = 1", "COMMIT"]
        "#,
    );
    let lab = Lab::new();
    for order in ["a a b b b a", "b a a b b a", "a b b a a b"] {
        match lab.bench(&text).try_run(order) {
            Err(RunError::Session {
                session,
                source: PostgresError::Wire(_),
                ..
            }) => assert_eq!(session, "b", "{order}"),
            other => panic!("{order}: {other:?}"),
        }
    }
}

/// A wait that nothing in the run can end: what the function is called is hidden in escapes, so that nothing tells that
/// the end of the connection has locks to free.
#[test]
fn a_wait_without_end_is_an_error() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ['SELECT U&"pg_\0061dvisory_lock"(1)']
        [[session]]
        name = "b"
        steps = ['SELECT U&"pg_\0061dvisory_lock"(1)']
        "#,
    );
    let lab = Lab::new();
    match lab.bench(&text).try_run("a a b") {
        Err(RunError::Stuck { waiting }) => assert_eq!(waiting, "b"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_failed_before_an_interruption_counts() {
    let lab = Lab::new();
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["SELECT 1", "SELECT 2", "SELECT 3"]
        [[session]]
        name = "b"
        steps = ["SELECT 1", "SELECT 2", "SELECT 3"]
        [[invariant]]
        name = "never"
        sql = "SELECT false"
        "#,
    );
    let template = lab.prepare(&scenario(&text));
    let interrupted_after = |failures: u64| {
        let options = exhaustive(1);
        explore(&template, &mut Exhaustive::new(), &options, &mut |progress| {
            if progress.failures >= failures {
                options.interrupt.cancel();
            }
        })
    };
    assert!(matches!(interrupted_after(0), Err(RunError::Interrupted)));
    let found = interrupted_after(2).unwrap();
    assert_eq!(found.verdict, Verdict::Fails);
    assert!(found.failures >= 2 && !found.exhaustive);
    assert_eq!(found.reasons, [Reason::Interrupted]);
}
