//! Each exit code, and what is said with it.

use crate::common::program::{Place, finish, fixture};

#[test]
fn a_scenario_that_holds_gives_0() {
    let place = Place::new();
    let run = finish(place.explore(&fixture("counter-atomic")));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("HOLDS  counter-atomic"), "{}", run.stdout);
    assert_eq!(run.stderr, "");
    assert_eq!(place.run_folders().len(), 0);
}

#[test]
fn a_schedule_that_fails_gives_1() {
    let place = Place::new();
    let run = finish(place.explore(&fixture("counter")));
    assert_eq!(run.code, Some(1), "{run:?}");
    for part in [
        "FAILS  counter",
        "invariant broken: no update is lost",
        "waits for worker-1",
    ] {
        assert!(run.stdout.contains(part), "{}", run.stdout);
    }
    assert_eq!(run.stderr, "");
    assert_eq!(place.run_folders().len(), 0);
}

#[test]
fn a_bound_that_is_reached_gives_4() {
    let place = Place::new();
    let explore = |arguments: &[&str]| {
        let mut command = place.explore(&fixture("dirty-read"));
        command.args(arguments);
        finish(command)
    };
    let run = explore(&["--max-schedules", "3"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(
        run.stdout.contains("the bound of 3 schedules was reached"),
        "{}",
        run.stdout
    );
    assert_eq!(explore(&["--timeout", "0.000001"]).code, Some(4));
    // it has six
    assert_eq!(explore(&["--max-schedules", "6"]).code, Some(0));
}

#[test]
fn a_sample_without_a_failure_gives_4() {
    let place = Place::new();
    let mut command = place.pgbraid();
    command
        .arg("explore")
        .arg(fixture("dirty-read"))
        .args(["--strategy", "random", "--samples", "5", "--seed", "77"]);
    let run = finish(command);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stdout.contains("77"), "the seed: {}", run.stdout);
}

#[test]
fn options_that_are_wrong_give_2() {
    let place = Place::new();
    for arguments in [
        &["--no-such-option"][..],
        &["--strategy", "clever"],
        &["--samples", "0"],
        &["--max-schedules", "0"],
        &["--timeout", "0"],
        &["--step-timeout", "soon"],
        &["--jobs", "0"],
        &["--format", "xml"],
    ] {
        let mut command = place.explore(&fixture("counter"));
        command.args(arguments);
        finish(command).assert_error(2, &[arguments[0]]);
    }
    finish(place.pgbraid()).assert_error(2, &["Usage"]);
}

#[test]
fn a_file_that_is_missing_gives_2() {
    let place = Place::new();
    finish(place.explore(&place.path().join("absent.toml"))).assert_error(2, &["cannot read", "absent.toml"]);
}

#[test]
fn mistakes_in_a_file_give_2_with_their_place() {
    let place = Place::new();
    let session = "[[session]]\nname = \"a\"\n";
    for (name, text, words) in [
        ("toml.toml", "setup = \n".to_owned(), &["toml.toml:1:", "not TOML"][..]),
        (
            "key.toml",
            format!("{session}stepz = [\"SELECT 1\"]\n"),
            &["key.toml:3:1", "stepz", "did you mean `steps`?"],
        ),
        (
            "setup.toml",
            format!(
                "setup = \"\"\"\nCREATE TABLE t (id integer);\nCREATE TABLE u (id integr);\n\"\"\"\n{session}steps = [\"SELECT 1\"]\n"
            ),
            &[
                "setup.toml:3:",
                "CREATE TABLE u (id integr);",
                "type \"integr\" does not exist",
            ],
        ),
        (
            "step.toml",
            format!("{session}steps = [\n  \"SELECT 1\",\n  \"SELECT missing\",\n]\n"),
            &["step.toml:5:", "column \"missing\" does not exist", "SELECT missing"],
        ),
        (
            "variable.toml",
            format!(
                "setup = \"CREATE TABLE t (v integer)\"\n{session}steps = [\n  \"SELECT * FROM t\",\n  \"UPDATE t SET v = :w\",\n]\n"
            ),
            &["variable.toml:6:", ":w", "UPDATE t SET v = :w"],
        ),
        (
            "invariant.toml",
            format!("{session}steps = [\"SELECT 1\"]\n[[invariant]]\nname = \"i\"\nsql = \"SELECT 1\"\n"),
            &["invariant.toml:6:", "not a boolean"],
        ),
        (
            "rows.toml",
            format!("{session}steps = [\"SELECT 1 AS x UNION SELECT 2\", \"SELECT :x\"]\n"),
            &[
                "rows.toml:3:",
                "variable :x has no single value",
                "returned 2 rows",
                "used here",
            ],
        ),
        (
            "typo.toml",
            format!(
                "setup = \"CREATE TABLE t (v integer)\"\n{session}steps = [\n  \"SELCT v FROM t\",\n  \"UPDATE t SET v = :v\",\n]\n"
            ),
            &["typo.toml:5:", "syntax error at or near \"SELCT\""],
        ),
        (
            "colon.toml",
            format!("{session}steps = [\"SELECT 1 AS used\", {{ sql = \"SELECT 2\", when = \"used = 1\" }}]\n"),
            &[
                "colon.toml:3:",
                "column \"used\" does not exist",
                "did you mean `:used`?",
            ],
        ),
    ] {
        let file = place.write(name, &text);
        finish(place.explore(&file)).assert_error(2, words);
        assert_eq!(place.run_folders().len(), 0);
    }
}

#[test]
fn no_server_to_start_gives_3_and_says_what_to_install() {
    let place = Place::new();
    let empty = place.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let mut command = place.explore(&fixture("counter"));
    command.env("PGBRAID_PG_BINDIR", &empty);
    finish(command).assert_error(3, &["PGBRAID_PG_BINDIR", "help"]);

    let mut command = place.explore(&fixture("counter"));
    command.env("PATH", &empty).env_remove("PGBRAID_PG_BINDIR");
    let run = finish(command);
    // where a distribution's usual folder has one, that is found
    if run.code != Some(1) {
        run.assert_error(3, &["apt install postgresql", "dnf install", "brew install"]);
    }
}

#[test]
fn a_step_that_takes_too_long_gives_3() {
    let place = Place::new();
    let file = place.write(
        "slow.toml",
        "[[session]]\nname = \"a\"\nsteps = [{ name = \"sleep\", sql = \"SELECT pg_sleep(60)\" }]\n",
    );
    let mut command = place.explore(&file);
    command.args(["--step-timeout", "0.3"]);
    finish(command).assert_error(3, &["session a, step sleep", "within 300ms", "--step-timeout"]);
    assert_eq!(place.run_folders().len(), 0);
}

#[test]
fn help_and_version_give_0() {
    let place = Place::new();
    for (argument, part) in [("--help", "Exit codes"), ("--version", env!("CARGO_PKG_VERSION"))] {
        let mut command = place.pgbraid();
        command.arg(argument);
        let run = finish(command);
        assert_eq!(run.code, Some(0));
        assert!(run.stdout.contains(part), "{}", run.stdout);
    }
    let mut command = place.pgbraid();
    command.args(["help", "replay"]);
    let run = finish(command);
    assert_eq!(run.code, Some(0));
    assert!(run.stdout.contains("pgbraid replay schedules/"), "{}", run.stdout);
}
