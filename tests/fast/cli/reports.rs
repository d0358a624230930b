//! What is printed, and where.

use std::path::Path;

use serde_json::Value;

use crate::common::program::{Finished, Place, finish, fixture};

fn explore_as_json(place: &Place, scenario: &Path, arguments: &[&str]) -> Finished {
    let mut command = place.explore(scenario);
    command.args(["--format", "json"]).args(arguments);
    finish(command)
}

fn assert_has(object: &Value, keys: &[&str]) {
    let object = object.as_object().unwrap();
    for key in keys {
        assert!(object.contains_key(*key), "no {key} in {object:?}");
    }
}

#[test]
fn json_has_the_keys_that_scripts_rely_on() {
    let place = Place::new();
    let run = explore_as_json(&place, &fixture("counter"), &["--keep-going"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""));
    let report = run.json();
    assert_eq!(report["scenario"], "counter");
    assert_eq!(report["strategy"], "exhaustive");
    assert_eq!(report["verdict"], "fails");
    assert_eq!(report["exhaustive"], true);
    assert_eq!(report["interleavings"], "20");
    assert_eq!(report["schedules_run"], 14);
    assert!(report["elapsed_ms"].is_u64());
    let outcomes = report["outcomes"].as_array().unwrap();
    assert_eq!(
        outcomes
            .iter()
            .map(|outcome| outcome["schedules"].as_u64().unwrap())
            .sum::<u64>(),
        14
    );
    for outcome in outcomes {
        assert_has(outcome, &["id", "schedules", "fails", "violations", "order"]);
        assert_eq!(
            outcome["fails"],
            outcome["violations"] == serde_json::json!(["no update is lost"])
        );
    }
    let failure = &report["failure"];
    assert_has(failure, &["violations", "order", "history", "anomaly"]);
    assert_eq!(failure["violations"], serde_json::json!(["no update is lost"]));
    let history = failure["history"].as_array().unwrap();
    // an entry a step sent, and one more where a session that was released resumes
    let order = failure["order"].as_array().unwrap();
    let blocked = |step: &&Value| step["blocked_by"] != serde_json::json!([]);
    assert_eq!(order.len(), history.len() + history.iter().filter(blocked).count());
    for step in history {
        assert_has(step, &["session", "step", "sql", "blocked_by"]);
        assert!(step.get("result").is_some() != step.get("error").is_some(), "{step}");
    }
    let blocked: Vec<&Value> = history
        .iter()
        .filter(|step| step["blocked_by"] != serde_json::json!([]))
        .collect();
    assert_eq!(blocked.len(), 1);
    assert_eq!(blocked[0]["blocked_by"], serde_json::json!(["worker-1"]));
}

#[test]
fn junit_has_a_case_for_the_scenario() {
    let place = Place::new();
    let explore = |scenario: &str| {
        let mut command = place.explore(&fixture(scenario));
        command.args(["--format", "junit"]);
        finish(command)
    };
    let fails = explore("counter");
    assert_eq!(fails.code, Some(1), "{fails:?}");
    let failure = r#"<failure message="fails: no update is lost"> # │ worker-1"#;
    assert!(fails.stdout.contains(failure), "{}", fails.stdout);
    let holds = explore("counter-atomic");
    assert_eq!(holds.code, Some(0), "{holds:?}");
    assert!(
        holds
            .stdout
            .contains(r#"tests="1" skipped="0" errors="0" failures="0""#),
        "{}",
        holds.stdout
    );
}

#[test]
fn json_of_what_holds_and_of_what_is_not_known() {
    let place = Place::new();
    let holds = explore_as_json(&place, &fixture("counter-atomic"), &[]).json();
    assert_eq!(holds["verdict"], "holds");
    assert_eq!(holds["exhaustive"], true);
    assert_eq!(holds["failure"], Value::Null);
    let bounded = explore_as_json(&place, &fixture("counter-atomic"), &["--max-schedules", "2"]);
    assert_eq!(bounded.code, Some(4));
    assert_eq!(bounded.json()["verdict"], "inconclusive");
    assert_eq!(bounded.json()["exhaustive"], false);
    let reasons = serde_json::json!(["the bound of 2 schedules was reached"]);
    assert_eq!(bounded.json()["reasons"], reasons);
    assert_eq!(bounded.json()["reason_codes"], serde_json::json!(["schedule-bound"]));
}

#[test]
fn json_shows_an_error_of_a_step() {
    let place = Place::new();
    let report = explore_as_json(&place, &fixture("account-import"), &[]).json();
    let history = report["failure"]["history"].as_array().unwrap();
    let errors: Vec<&Value> = history.iter().filter_map(|step| step.get("error")).collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["sqlstate"], "23505");
}

#[test]
fn a_report_may_go_to_a_file() {
    let place = Place::new();
    let file = place.path().join("report.json");
    let run = explore_as_json(&place, &fixture("counter"), &["--output", file.to_str().unwrap()]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(1), "", ""));
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(written["verdict"], "fails");

    let absent = place.path().join("absent/report.json");
    let run = explore_as_json(&place, &fixture("counter"), &["--output", absent.to_str().unwrap()]);
    run.assert_error(2, &["cannot write", "absent/report.json"]);
    assert_eq!(place.run_folders().len(), 0);
}

#[test]
fn a_report_that_does_not_go_to_a_terminal_has_no_colours_and_fits() {
    let place = Place::new();
    let run = finish(place.explore(&fixture("counter")));
    assert!(!run.stdout.contains('\u{1b}'));
    let widest = run.stdout.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 100, "{widest} columns:\n{}", run.stdout);
}

/// Ids, schedules and examples, in the order in which they were reached.
fn outcomes(report: &Value) -> &Value {
    &report["outcomes"]
}

#[test]
fn outcomes_are_the_same_in_every_process_and_with_any_number_of_jobs() {
    let place = Place::new();
    let file = place.write(
        "volatile.toml",
        r#"
        setup = """
        CREATE TABLE t (id serial PRIMARY KEY, at timestamptz DEFAULT now(), day date DEFAULT current_date, x xid8);
        INSERT INTO t DEFAULT VALUES;
        """
        [[session]]
        name = "a"
        copies = 2
        steps = [
          "INSERT INTO t (x) VALUES (pg_current_xact_id())",
          "SELECT id, at, day, xmin, ctid, tableoid, tableoid::regclass FROM t",
        ]
        "#,
    );
    let report = |jobs| explore_as_json(&place, &file, &["--keep-going", "--jobs", jobs]).json();
    let (one, again, three) = (report("1"), report("1"), report("3"));
    assert_eq!(one["verdict"], "holds", "{one}");
    assert_eq!(outcomes(&one), outcomes(&again));
    assert_eq!(outcomes(&one), outcomes(&three));
}

#[test]
fn both_formats_say_that_a_function_is_one_step() {
    let place = Place::new();
    let file = place.write(
        "function.toml",
        r#"
        setup = "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'"
        [[session]]
        name = "a"
        steps = ["SELECT f()"]
        "#,
    );
    let said = "was not explored (function f)";
    let json = explore_as_json(&place, &file, &[]).json();
    assert!(json["notes"][0].as_str().unwrap().ends_with(said), "{json}");
    let mut prove = place.pgbraid();
    prove.arg("prove").arg(&file);
    let text = finish(prove).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(said), "{text}");
}
