//! `pgbraid spec` against a real server. The expected outputs were written by PostgreSQL's isolationtester.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::common::program::pgbraid;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/slow/isolation")
        .join(name)
}

fn specification(name: &str) -> PathBuf {
    folder("specs").join(format!("{name}.spec"))
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn all_outputs_are_those_of_the_reference_tester() {
    // the folder of expected outputs lies beside it
    let output = run(pgbraid().arg("spec").arg(folder("specs")));
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", text(&output.stderr));
    assert!(shown.contains("\n13 specifications: 13 passed ("), "{shown}");
}

#[test]
fn one_specification_prints_what_the_reference_tester_prints() {
    let output = run(pgbraid().arg("spec").arg(specification("teardown-fails")));
    assert_eq!(output.status.code(), Some(0));
    let expected = fs::read_to_string(folder("expected/teardown-fails.out")).unwrap();
    let is_error = |line: &&str| {
        let starts = ["teardown failed", "teardown of session"];
        starts.iter().any(|start| line.starts_with(start))
    };
    assert!(expected.lines().any(|line| is_error(&line)));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(out.lines().all(|line| !is_error(&line)), "{out}");
    assert!(
        err.starts_with("teardown of session s1 failed: ERROR:  column \"nope\" does not exist\nLINE 1: "),
        "{err}"
    );
    assert_eq!(out.len() + err.len(), expected.len(), "{out}{err}");
}

#[test]
fn standard_input_is_a_specification() {
    let file = fs::File::open(specification("interleavings")).unwrap();
    let output = run(pgbraid().arg("spec").stdin(file));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let expected = fs::read_to_string(folder("expected/interleavings.out")).unwrap();
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn a_run_that_the_reference_tester_gives_up_ends_with_1() {
    let output = run(pgbraid().arg("spec").arg(specification("setup-fails")));
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(shown, fs::read_to_string(folder("expected/setup-fails.out")).unwrap());
}

#[test]
fn a_step_that_does_not_end_is_cancelled() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("endless.spec");
    fs::write(&path, "session s step endless { SELECT pg_sleep(600); }").unwrap();
    let output = run(pgbraid().arg("spec").arg(path).args(["--step-timeout", "1"]));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "Parsed test spec with 1 sessions\n\nstarting permutation: endless\n\
         isolationtester: canceling step endless after 1 seconds\n\
         step endless: SELECT pg_sleep(600);\nERROR:  canceling statement due to user request\n"
    );
}

#[test]
fn a_dry_run_prints_the_permutations() {
    let output = run(pgbraid().args(["spec", "-n"]).arg(specification("interleavings")));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        text(&output.stdout),
        "permutation \"add1\" \"commit1\" \"add2\"\n\
         permutation \"add1\" \"add2\" \"commit1\"\n\
         permutation \"add2\" \"add1\" \"commit1\"\n"
    );
}

#[test]
fn a_difference_fails_the_test_run() {
    let place = TempDir::new().unwrap();
    let expected = fs::read_to_string(folder("expected/interleavings.out")).unwrap();
    fs::write(place.path().join("interleavings.out"), expected.replace("10", "11")).unwrap();
    let results = place.path().join("results");
    fs::create_dir(&results).unwrap();
    let output = run(pgbraid()
        .arg("spec")
        .arg(specification("interleavings"))
        .arg(specification("values"))
        .arg("--expected")
        .arg(place.path())
        .arg("--results")
        .arg(&results));
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{shown}");
    assert!(shown.contains("\n-11\n+10\n"), "{shown}");
    assert!(
        shown.contains("2 specifications: 0 passed, 1 failed, 1 without expected output"),
        "{shown}"
    );
    assert_eq!(fs::read_to_string(results.join("interleavings.out")).unwrap(), expected);
}

#[test]
fn a_test_run_that_cannot_be_is_refused() {
    let place = TempDir::new().unwrap();
    let absent = place.path().join("absent");
    let refused = |arguments: &[&str], words: &str| {
        let output = run(pgbraid().arg("spec").arg(specification("values")).args(arguments));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(text(&output.stdout), "");
        // messages are wrapped
        let said = said.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(words), "{said}");
    };
    for option in ["--expected", "--results"] {
        refused(&[option, absent.to_str().unwrap()], "there is no folder");
    }
    refused(&["--format", "junit"], "add --expected");
    refused(&["--output", absent.to_str().unwrap()], "add --expected");
    assert!(!absent.exists());
    let empty = run(pgbraid().arg("spec").arg(place.path()));
    assert_eq!(empty.status.code(), Some(2));
    let name = place.path().file_name().unwrap().to_str().unwrap();
    assert!(text(&empty.stderr).contains(name), "{}", text(&empty.stderr));
}

#[test]
fn a_test_run_is_reported_as_junit() {
    let output = run(pgbraid()
        .arg("spec")
        .arg(specification("variant"))
        .arg("--expected")
        .arg(folder("expected"))
        .args(["--format", "junit"]));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.starts_with("<?xml"), "{shown}");
    assert!(shown.contains("<testcase name=\"variant\""), "{shown}");
}

#[test]
fn a_test_run_is_reported_as_json() {
    let output = run(pgbraid()
        .arg("spec")
        .arg(specification("variant"))
        .arg("--expected")
        .arg(folder("expected"))
        .args(["--format", "json"]));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"], "passed");
    assert_eq!(report["specifications"][0]["name"], "variant");
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("wrong.spec");
    fs::write(&path, "session s\nstep a { SELECT 1 }\npermutation a b\n").unwrap();
    let output = run(pgbraid().arg("spec").arg(&path));
    assert_eq!(output.status.code(), Some(2));
    let shown = text(&output.stderr);
    assert!(
        shown.contains("wrong.spec:3:15") && shown.contains("permutation a b"),
        "{shown}"
    );
}

#[test]
fn a_specification_is_a_scenario() {
    let output = run(pgbraid()
        .args(["explore", "--keep-going", "--format", "json"])
        .arg(specification("interleavings")));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"], "holds");
    assert_eq!(report["outcomes"].as_array().unwrap().len(), 2, "{report}");
}

#[test]
fn a_permutation_chooses_the_steps() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("skew.spec");
    let session = |name: &str, own: u8, other: u8| {
        format!(
            "session {name} setup {{ BEGIN ISOLATION LEVEL REPEATABLE READ; }}
             step r{own} {{ SELECT n FROM pair WHERE id = {other}; }}
             step w{own} {{ UPDATE pair SET n = 1 WHERE id = {own}; }}
             step c{own} {{ COMMIT; }}
             step a{own} {{ ROLLBACK; }}\n"
        )
    };
    let text_of = format!(
        "setup {{ CREATE TABLE pair (id integer PRIMARY KEY, n integer); INSERT INTO pair VALUES (1, 0), (2, 0); }}
         {}{}permutation r1 r2 w1 w2 a1 c2\npermutation r1 r2 w1 w2 c1 c2\n",
        session("one", 1, 2),
        session("two", 2, 1)
    );
    fs::write(&path, text_of).unwrap();
    let prove = |permutation: &str, code: i32| {
        let output = run(pgbraid()
            .args(["prove", "--serializable", "--pin"])
            .arg(place.path().join("pinned"))
            .args(["--permutation", permutation])
            .arg(&path));
        assert_eq!(
            output.status.code(),
            Some(code),
            "{}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stderr).to_owned()
    };
    prove("1", 0);
    prove("2", 1);
    assert!(prove("3", 2).contains("there is no permutation 3"));
    let replayed = run(pgbraid().arg("replay").arg(place.path().join("pinned")));
    assert_eq!(replayed.status.code(), Some(0), "{}", text(&replayed.stdout));
    let all = run(pgbraid().arg("prove").arg(&path));
    assert_eq!(all.status.code(), Some(2));
    assert!(text(&all.stderr).contains("--permutation N"), "{}", text(&all.stderr));
}

#[test]
fn a_specification_becomes_a_scenario_file() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("deadlock.toml");
    let output = run(pgbraid()
        .args(["spec", "--to-scenario", "--permutation", "1", "--output"])
        .arg(&path)
        .arg(specification("deadlock")));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("deadlock_timeout, which is left out"));
    let output = run(pgbraid().args(["prove", "--format", "json"]).arg(&path));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["exhaustive"], true, "{report}");
}

#[test]
fn a_prepared_transaction_that_is_left_keeps_no_database() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("left.spec");
    let sql = "BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'pgbraid_left';";
    fs::write(&path, format!("session s step left {{ {sql} }}")).unwrap();
    let output = run(pgbraid().arg("spec").arg(path));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}
