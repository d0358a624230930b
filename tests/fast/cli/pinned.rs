//! `explore --pin`, `shrink` and `replay`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::program::{Finished, Place, finish, fixture};

/// A schedule of a scenario under `fixtures/`, in a file of the place.
fn pinned(place: &Place, name: &str, scenario: &str, rest: &str) -> PathBuf {
    let scenario = fixture(scenario);
    place.write(name, &format!("scenario = '{}'\n{rest}\n", scenario.display()))
}

fn run(place: &Place, command: &str, arguments: &[&str], path: &Path) -> Finished {
    let mut run = place.pgbraid();
    run.arg(command).args(arguments).arg(path).env_remove("GITHUB_ACTIONS");
    finish(run)
}

const BOTH_CHECK: &str = r#"order = ["user-1 until check", "user-2 until check", "user-1 to end", "user-2 to end"]"#;

fn fails(rest: &str) -> String {
    format!("expect = \"fails\"\n{rest}\n{BOTH_CHECK}")
}

#[test]
fn what_explore_pins_is_small_and_replay_finds_it_again() {
    let place = Place::new();
    let folder = place.path().join("schedules");
    let explored = run(
        &place,
        "explore",
        &[
            "--strategy",
            "random",
            "--samples",
            "20",
            "--seed",
            "7",
            "--pin",
            folder.to_str().unwrap(),
        ],
        &fixture("counter-10"),
    );
    assert_eq!(explored.code, Some(1), "{explored:?}");
    assert!(explored.stdout.contains("fails 20 of 20 times"), "{}", explored.stdout);
    assert!(
        explored
            .stdout
            .contains("worker-1 and worker-2 race, the 8 others run by themselves")
    );
    let file = folder.join("counter-10.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let order = "order = [\"worker-1 until read\", \"worker-2 to end\", \"worker-1 to end\"]\n";
    assert!(text.ends_with(order), "{text}");
    assert!(
        text.starts_with("# found by: pgbraid explore --strategy random --samples 20 --seed 7 "),
        "{text}"
    );

    let again = run(&place, "replay", &["--format", "json"], &folder);
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""), "{again:?}");
    let report = again.json();
    assert_eq!(report["passed"], 1);
    assert_eq!(
        report["schedules"][0]["failure"]["violations"],
        json!(["no update is lost"])
    );

    // the same schedule is not pinned twice
    let shrunk = run(&place, "shrink", &["--pin", folder.to_str().unwrap()], &file);
    assert_eq!(shrunk.code, Some(1), "{shrunk:?}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    assert_eq!(place.run_folders().len(), 0);
}

#[test]
fn explore_reports_the_smallest_schedule() {
    let place = Place::new();
    let explored = run(&place, "explore", &["--format", "json"], &fixture("counter"));
    assert_eq!(explored.code, Some(1), "{explored:?}");
    let report = explored.json();
    let sessions = ["worker-1", "worker-2", "worker-2", "worker-2", "worker-1", "worker-1"];
    assert_eq!(report["failure"]["order"], json!(sessions));
    assert_eq!(report["failure"]["anomaly"], "lost update");
    let shrink = &report["shrink"];
    assert_eq!(
        shrink["schedule"],
        json!(["worker-1 until read", "worker-2 to end", "worker-1 to end"])
    );
    assert_eq!(
        (&shrink["confirmed"], &shrink["confirmations"]),
        (&json!(20), &json!(20))
    );
    assert_eq!(shrink["minimal"], true);

    let found = run(
        &place,
        "explore",
        &["--format", "json", "--no-shrink"],
        &fixture("counter"),
    )
    .json();
    assert_eq!(found["shrink"], Value::Null);
    assert_ne!(found["failure"]["order"], json!(sessions));
}

#[test]
fn a_fix_is_told_apart_from_another_failure_and_from_a_mistake() {
    let place = Place::new();
    pinned(&place, "1.toml", "seats", &fails("violates = [\"one ticket a seat\"]"));
    pinned(&place, "2.toml", "seats-for-update", &fails(""));
    pinned(&place, "3.toml", "seats", &fails("violates = [\"deadlock\"]"));
    pinned(&place, "4.toml", "seats", &format!("expect = \"holds\"\n{BOTH_CHECK}"));
    let all = run(&place, "replay", &["--format", "json"], place.path());
    assert_eq!((all.code, all.stderr.as_str()), (Some(1), ""), "{all:?}");
    let report = all.json();
    let judged = |index: usize| report["schedules"][index]["judgement"].as_str().unwrap().to_owned();
    assert_eq!(
        [0, 1, 2, 3].map(judged),
        ["met", "now holds", "fails otherwise", "now fails"]
    );
    assert_eq!((&report["passed"], &report["failed"]), (&json!(1), &json!(3)));

    pinned(
        &place,
        "5.toml",
        "seats",
        &fails("").replace("user-2 until check", "user-2 until chekc"),
    );
    pinned(&place, "6.toml", "absent", &fails(""));
    let all = run(&place, "replay", &[], place.path());
    assert_eq!(all.code, Some(2), "{all:?}");
    for part in [
        "PASS",
        "2.toml: holds, but is pinned to fail: if it is fixed, --update",
        "3.toml: fails in another way: one ticket a seat, but is pinned",
        "4.toml: expected to hold, but fails: one ticket a seat",
        "run it again: pgbraid replay",
        "6 schedules in",
        "1 passed, 3 failed, 2 could not be run",
    ] {
        // lines are wrapped
        let said = all.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(part), "no {part:?} in\n{}", all.stdout);
    }
    assert!(all.stderr.contains("did you mean `check`?"), "{}", all.stderr);
    assert!(!all.stdout.contains("does not fit"), "told once: {}", all.stdout);
    assert!(all.stderr.contains("absent.toml"), "{}", all.stderr);
}

#[test]
fn an_order_survives_the_fix_unless_it_is_strict() {
    let place = Place::new();
    let holds = format!("expect = \"holds\"\n{BOTH_CHECK}");
    let file = pinned(&place, "fixed.toml", "seats-for-update", &holds);
    let fixed = run(&place, "replay", &[], &file);
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    let said = fixed.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let left =
        "left the order at entry 2 (user-2 until check): user-2 waited in step check for user-1, and its turn passed";
    assert!(said.contains(left), "{said}");

    let file = pinned(
        &place,
        "strict.toml",
        "seats-for-update",
        &format!("strict = true\n{holds}"),
    );
    let strict = run(&place, "replay", &[], &file);
    assert_eq!(strict.code, Some(1), "{strict:?}");
    assert!(
        strict.stdout.contains("is strict, but left its order; it holds"),
        "{}",
        strict.stdout
    );
}

#[test]
fn update_rewrites_what_is_expected() {
    let place = Place::new();
    let before = fails("violates = [\"one ticket a seat\"] # since May");
    let file = pinned(
        &place,
        "fixed.toml",
        "seats-for-update",
        &before.replace("[\"one ticket a seat\"]", "[]"),
    );
    let updated = run(&place, "replay", &["--update"], &file);
    assert_eq!(updated.code, Some(0), "{updated:?}");
    for part in [
        "-expect = \"fails\"",
        "+expect = \"holds\"",
        "updated: it is now expected to hold",
    ] {
        assert!(updated.stdout.contains(part), "no {part:?} in\n{}", updated.stdout);
    }
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("expect = \"holds\"\nviolates = [] # since May\norder"),
        "{text}"
    );
    let again = run(&place, "replay", &["--update"], &file);
    assert_eq!(
        (again.code, again.stdout.contains("updated")),
        (Some(0), false),
        "{again:?}"
    );
}

#[test]
fn ci_services_are_told() {
    let place = Place::new();
    let file = pinned(&place, "fixed.toml", "seats-for-update", &fails(""));
    let report = place.path().join("report.xml");
    let mut command = place.pgbraid();
    command
        .arg("replay")
        .arg(&file)
        .args(["--format", "junit", "--output", report.to_str().unwrap()]);
    let ran = finish({
        command.env("GITHUB_ACTIONS", "true");
        command
    });
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    let annotation = format!("::error file={},line=2::holds, but is pinned to fail", file.display());
    assert!(ran.stderr.starts_with(&annotation), "{}", ran.stderr);
    let xml = std::fs::read_to_string(&report).unwrap();
    assert!(
        xml.contains("tests=\"1\" skipped=\"0\" errors=\"0\" failures=\"1\""),
        "{xml}"
    );
    assert!(xml.contains("<failure message=\"holds, but is pinned to fail"), "{xml}");
}

#[test]
fn update_says_what_changed_where_only_the_violation_did() {
    let place = Place::new();
    let file = pinned(&place, "otherwise.toml", "seats", &fails("violates = [\"deadlock\"]"));
    let updated = run(&place, "replay", &["--update"], &file);
    assert_eq!(updated.code, Some(0), "{updated:?}");
    let said = updated.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("updated: `violates` is now one ticket a seat"), "{said}");
}

#[test]
fn a_mistake_is_annotated_where_it_is() {
    let place = Place::new();
    let misspelt = fails("").replace("user-2 until check", "user-2 until chekc");
    let file = pinned(&place, "misspelt.toml", "seats", &misspelt);
    let mut command = place.pgbraid();
    command.arg("replay").arg(&file).env("GITHUB_ACTIONS", "true");
    let ran = finish(command);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let line = std::fs::read_to_string(&file).unwrap().lines().count();
    let annotation = format!("::error file={},line={line}::", file.display());
    assert!(ran.stderr.contains(&annotation), "{}", ran.stderr);
}

#[test]
fn the_smallest_scenario_is_written() {
    let place = Place::new();
    let smallest = place.path().join("smallest.toml");
    let explored = run(
        &place,
        "explore",
        &["--smallest-scenario", smallest.to_str().unwrap()],
        &fixture("account-import"),
    );
    assert_eq!(explored.code, Some(1), "{explored:?}");
    let text = std::fs::read_to_string(&smallest).unwrap();
    assert!(!text.contains("\"stats\"") && text.contains("\"account\""), "{text}");
    let again = run(&place, "explore", &["--format", "json"], &smallest);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert_eq!(again.json()["shrink"]["smallest_scenario"], Value::Null);
}

#[test]
fn what_does_not_fail_is_not_shrunk() {
    let place = Place::new();
    let file = pinned(&place, "holds.toml", "seats-for-update", &fails(""));
    run(&place, "shrink", &[], &file).assert_error(2, &["the schedule does not fail"]);
    run(&place, "replay", &[], &place.path().join("absent")).assert_error(2, &["cannot read", "absent"]);
    let empty = place.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    run(&place, "replay", &[], &empty).assert_error(2, &["there is no .toml file in", "empty"]);
}
