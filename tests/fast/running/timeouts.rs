//! What an application sees of the timeouts that it sets, and how one ends a step; no timer of the server's own does.

use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::time::Duration;

use pgbraid::explore::{Dpor, Exhaustive, Exploration, Strategy};
use pgbraid::history::StepResult;
use pgbraid::history::Volatile;
use pgbraid::postgres::locks::LockMonitor;
use pgbraid::postgres::wire::Connection;
use pgbraid::run::timeouts::{SessionTimeouts, Timeouts};
use pgbraid::run::{Conditions, DeadlockCheck, Driver, Progress, Script, Session, WaitTimeout, Workbench};
use pgbraid::schedule::{Follower, Schedule};

use super::on_rows;
use crate::common::lab::{Lab, exhaustive, scenario};
use crate::common::transcript::results;

/// What the steps named `show` return, one after the other, joined.
fn shown(setup: &str, steps: &str) -> String {
    let text = on_rows(&format!("[[session]]\nname = \"a\"\nsteps = [{steps}]"));
    let text = text.replace("INSERT INTO t", &format!("{setup} INSERT INTO t"));
    let run = Lab::new().bench(&text).run_repeatedly(3, "");
    assert!(run.history.ends[0].error.is_none(), "{:?}", run.history.ends);
    let shows = run.history.turns.iter().filter(|turn| turn.step.starts_with("show"));
    let values = shows.map(|turn| match &turn.result {
        StepResult::Rows { rows, .. } => rows[0][0].clone().unwrap_or_default(),
        other => panic!("{other:?}"),
    });
    values.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_application_sees_what_it_has_set() {
    for (steps, expected) in [
        (
            r#""BEGIN", "SET LOCAL lock_timeout = '200ms'", "SHOW lock_timeout", "COMMIT", "SHOW lock_timeout""#,
            "200ms 0",
        ),
        (
            r#""SET lock_timeout = 3000", "SHOW lock_timeout", "BEGIN", "SET LOCAL lock_timeout TO '1 min'",
               "SHOW lock_timeout", "ROLLBACK", "SHOW lock_timeout", "RESET lock_timeout", "SHOW lock_timeout""#,
            "3s 1min 3s 0",
        ),
        (
            r#""BEGIN", "SET statement_timeout = '7s'", "SAVEPOINT a", "SET LOCAL statement_timeout = '9s'",
               "SHOW statement_timeout", "ROLLBACK TO a", "SHOW statement_timeout", "COMMIT", "SHOW statement_timeout""#,
            "9s 7s 7s",
        ),
        (
            r#""BEGIN", "SET lock_timeout = '7s'", "ROLLBACK", "SHOW lock_timeout""#,
            "0",
        ),
        (
            r#""BEGIN", "SELECT set_config('lock_timeout', '4s', true)", "SHOW lock_timeout",
               { name = "show-in-text", sql = "SELECT (current_setting('lock_timeout') = '4s')::text" }, "COMMIT",
               "SELECT set_config('lock_timeout', '5s', false)", "SHOW lock_timeout", "SET lock_timeout = '0.5s'",
               "SHOW lock_timeout""#,
            "4s true 5s 500ms",
        ),
    ] {
        assert_eq!(shown("", steps), expected, "{steps}");
    }
}

#[test]
fn a_function_may_set_them() {
    let setup = "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS \
                 $$ BEGIN PERFORM set_config('lock_timeout', '4s', true); END $$; \
                 CREATE FUNCTION g() RETURNS text LANGUAGE sql SET lock_timeout = '8s' AS \
                 $$ SELECT current_setting('lock_timeout') $$;";
    let steps = r#""BEGIN", "SELECT f()", "SHOW lock_timeout", { name = "show-of-g", sql = "SELECT g()" },
                   "SHOW lock_timeout", "COMMIT", "SHOW lock_timeout""#;
    assert_eq!(shown(setup, steps), "4s 8s 4s 0");
}

#[test]
fn a_setting_of_the_database_is_the_one_to_begin_with() {
    let setup = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = 2500', current_database()); END $$;";
    let steps = r#""SHOW lock_timeout", "BEGIN", "SET LOCAL lock_timeout = 0", "SHOW lock_timeout",
                   "SET LOCAL lock_timeout TO DEFAULT", "SHOW lock_timeout", "COMMIT""#;
    assert_eq!(shown(setup, steps), "2500ms 0 2500ms");
}

/// A timeout of a millisecond ends no wait by itself.
#[test]
fn no_timer_of_the_server_ends_a_wait() {
    for set in [
        "SET LOCAL lock_timeout = 1",
        "SET LOCAL statement_timeout = '1ms'",
        "SET lock_timeout = 1",
        "SET statement_timeout = '1'",
    ] {
        let text = on_rows(&format!(
            r#"
            [[session]]
            name = "a"
            steps = ["BEGIN", "UPDATE t SET v = 1 WHERE id = 1", "SELECT pg_sleep(0.05)", "COMMIT"]
            [[session]]
            name = "b"
            steps = ["BEGIN", "{set}", "UPDATE t SET v = 2 WHERE id = 1", "COMMIT"]
            "#
        ));
        let run = Lab::new().bench(&text).run("a b b a a");
        assert!(
            run.history.ends.iter().all(|end| end.committed),
            "{set}: {:?}",
            run.history.ends
        );
        assert_eq!(run.history.turns[2].waits.len(), 1, "{set}");
        assert_eq!(run.uncontrolled, [], "{set}");
    }
}

#[test]
fn whether_a_timeout_expires_is_a_choice_that_every_search_makes() {
    for (set, sqlstate) in [
        ("SET LOCAL lock_timeout = '1h'", "55P03"),
        ("SET LOCAL statement_timeout = '1h'", "57014"),
    ] {
        let text = on_rows(&format!(
            r#"
            [[session]]
            name = "a"
            steps = ["BEGIN", "UPDATE t SET v = 1 WHERE id = 1", "COMMIT"]
            [[session]]
            name = "b"
            steps = ["BEGIN", "{set}", "UPDATE t SET v = 2 WHERE id = 1", "COMMIT"]
            "#
        ));
        let lab = Lab::new();
        let template = lab.prepare(&scenario(&text));
        let dpor = Dpor::new(template.scenario(), template.program().clone(), false);
        let strategies: [Box<dyn Strategy>; 2] = [Box::new(Exhaustive::new()), Box::new(dpor)];
        let [full, reduced] = strategies.map(|mut strategy| {
            let found = lab.explore_template(&template, strategy.as_mut(), &exhaustive(1));
            assert_eq!(found.reasons, [], "{set}");
            found
        });
        let outcomes = |found: &Exploration| -> BTreeSet<(String, Vec<String>)> {
            let outcomes = found.outcomes.iter();
            outcomes.map(|one| (one.id.clone(), one.violations.clone())).collect()
        };
        assert_eq!(outcomes(&reduced), outcomes(&full), "{set}");
        let expired = vec![format!("error {sqlstate} in b")];
        assert!(
            outcomes(&full).iter().any(|(_, violations)| *violations == expired),
            "{set}"
        );
        assert!(
            outcomes(&full).iter().any(|(_, violations)| violations.is_empty()),
            "{set}"
        );
        if let Some(covered) = &reduced.coverage.schedules {
            assert_eq!(covered.to_string(), full.schedules_run.to_string(), "{set}");
        }
        // and its schedule does the same again
        let failure = full.failure.unwrap();
        let schedule = Schedule::of(&failure.history);
        assert!(schedule.to_string().contains("b times out"), "{schedule}");
        let plan = schedule.fit(template.scenario()).unwrap();
        let opening = Workbench::open(template.clone(), Duration::from_secs(20));
        let mut workbench = lab.runtime.block_on(opening).unwrap();
        let again = lab.runtime.block_on(workbench.run(&mut Follower::new(&plan))).unwrap();
        assert_eq!(again.history, failure.history, "{set}");
    }
}

#[test]
fn asking_for_them_takes_no_snapshot() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        isolation = "repeatable read"
        steps = ["BEGIN", "SET LOCAL lock_timeout = '1s'", "SELECT v FROM t WHERE id = 1", "COMMIT"]
        [[session]]
        name = "b"
        steps = ["UPDATE t SET v = 5 WHERE id = 1"]
        "#,
    );
    let run = Lab::new().bench(&text).run("a b b a a");
    assert_eq!(results(&run, "a", "select"), [[Some("5".to_owned())]]);
}

#[test]
fn what_a_function_would_make_of_a_timeout_is_not_explored() {
    let reason = |function: &str| {
        let text = on_rows(
            r#"
            [[session]]
            name = "a"
            steps = ["BEGIN", "UPDATE t SET v = 1 WHERE id = 1", "COMMIT"]
            [[session]]
            name = "b"
            steps = ["BEGIN", "SET LOCAL lock_timeout = '1s'", "SELECT f()", "COMMIT"]
            "#,
        );
        let create = format!("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ {function} $$; INSERT INTO t");
        let run = Lab::new()
            .bench(&text.replace("INSERT INTO t", &create))
            .run("a b b a b");
        let reasons: Vec<String> = run.uncontrolled.iter().map(ToString::to_string).collect();
        reasons.join("; ")
    };
    assert_eq!(
        reason("BEGIN UPDATE t SET v = 2 WHERE id = 1; EXCEPTION WHEN lock_not_available THEN NULL; END"),
        "a timeout inside function f is not explored: it may catch errors"
    );
    assert_eq!(
        reason("BEGIN SET LOCAL lock_timeout = 0; UPDATE t SET v = 2 WHERE id = 1; END"),
        "a timeout in function f is not explored: it sets or reads timeouts itself"
    );
    assert_eq!(reason("BEGIN UPDATE t SET v = 2 WHERE id = 1; END"), "");
}

/// A setting of the application's own, as policies use it, is no timeout.
#[test]
fn other_settings_leave_a_waiting_step_under_control() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        copies = 2
        steps = [
          "BEGIN",
          "SELECT set_config('app.user', '1', true)",
          "UPDATE t SET v = v + 1 WHERE id = current_setting('app.user')::integer",
          "COMMIT",
        ]
        "#,
    );
    for (set, order) in [
        ("", "a-1 a-1 a-2 a-2"),
        ("\"SET lock_timeout = 0\", ", "a-1 a-1 a-1 a-2 a-2 a-2"),
    ] {
        let text = text.replace("\"BEGIN\",", &format!("{set}\"BEGIN\","));
        let run = Lab::new().bench(&text).run(order);
        assert!(run.history.turns.iter().any(|turn| !turn.waits.is_empty()), "{set}");
        assert_eq!(run.uncontrolled, [], "{set}");
    }
}

/// A session without a run: its steps up to one that waits for the row 1, which `holder` has.
async fn waiting(lab: &Lab, set: &[&str]) -> (Script, Connection, Connection) {
    let set: Vec<String> = set.iter().map(|sql| format!("{sql:?}, ")).collect();
    let text = on_rows(&format!(
        "[[session]]\nname = \"a\"\nsteps = [\"BEGIN\", {}\"UPDATE t SET v = 1 WHERE id = 1\", \"COMMIT\"]",
        set.concat()
    ));
    let scenario = scenario(&text);
    let template = pgbraid::run::Template::prepare(lab.server.clone(), scenario.clone())
        .await
        .unwrap();
    let database = lab.server.create_scratch(Some(template.database())).await.unwrap();
    let mut control = lab.server.control(&database).await.unwrap();
    let mut holder = lab.server.control(&database).await.unwrap();
    holder.simple("BEGIN; UPDATE t SET v = 9 WHERE id = 1").await.unwrap();
    let timeouts = Timeouts::find(&mut control, &lab.server, &database, &scenario)
        .await
        .unwrap();
    let timeouts = timeouts.map(|timeouts| SessionTimeouts::new(&timeouts, &scenario.sessions[0]));
    let settings: Vec<(&str, &str)> = timeouts.iter().flat_map(SessionTimeouts::settings).collect();
    let connection = lab.server.session(&database, &settings).await.unwrap();
    let volatile = Volatile::default().into();
    let session = scenario.sessions[0].clone();
    let driver = Driver::new(&session.name, session.isolation, connection, None, timeouts.clone());
    let mut script = Script::new(session, driver, volatile, false);
    let (mut monitor, mut cache) = (LockMonitor::default(), HashMap::new());
    loop {
        let mut conditions = Conditions {
            control: &mut control,
            monitor: &mut monitor,
            cache: &mut cache,
        };
        script.find_next(&mut conditions).await.unwrap();
        script.send(DeadlockCheck::Never).await.unwrap();
        let name = script.next().held().map(|step| step.name.clone());
        assert_eq!(name, None);
        if script.sent().last().unwrap().sql.starts_with("UPDATE") {
            return (script, control, holder);
        }
        poll_fn(|cx| script.poll_progress(cx)).await.unwrap();
    }
}

#[test]
fn the_shorter_timeout_ends_a_step_and_shows_as_the_servers_error() {
    let lab = Lab::new();
    for (set, expected) in [
        (&[] as &[&str], None),
        (&["SET LOCAL lock_timeout = 1"], Some(WaitTimeout::Lock)),
        (&["SET LOCAL statement_timeout = 1"], Some(WaitTimeout::Statement)),
        (
            &["SET lock_timeout = '1s'", "SET LOCAL statement_timeout = '2s'"],
            Some(WaitTimeout::Lock),
        ),
        (
            &["SET lock_timeout = '2s'", "SET LOCAL statement_timeout = '2000'"],
            Some(WaitTimeout::Statement),
        ),
        (&["SET LOCAL lock_timeout = '2s'", "SET LOCAL lock_timeout = 0"], None),
    ] {
        lab.runtime.block_on(async {
            let (mut script, mut control, _holder) = waiting(&lab, set).await;
            assert_eq!(script.timeout(), expected, "{set:?}");
            script.expire();
            let pid = script.backend_pid();
            let waits = format!("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = {pid} AND NOT granted)");
            while control.simple(&waits).await.unwrap().into_result().unwrap().scalar() != Some("t") {}
            let cancel = format!("SELECT pg_cancel_backend({pid})");
            control.simple(&cancel).await.unwrap();
            let Progress::Finished(finished) = poll_fn(|cx| script.poll_progress(cx)).await.unwrap() else {
                panic!("{set:?}");
            };
            let StepResult::Error(error) = finished.result else {
                panic!("{set:?}: {:?}", finished.result);
            };
            let (sqlstate, message) = match expected {
                Some(WaitTimeout::Lock) => ("55P03", "canceling statement due to lock timeout"),
                Some(WaitTimeout::Statement) => ("57014", "canceling statement due to statement timeout"),
                None => ("57014", "canceling statement due to user request"),
            };
            assert_eq!(
                (error.sqlstate.as_str(), error.message.as_str()),
                (sqlstate, message),
                "{set:?}"
            );
            assert_eq!(script.end().error.unwrap().sqlstate, sqlstate);
        });
    }
}
