//! What a run amounts to: its outcome's id, what the invariants see, and what is not under control.

use pgbraid::explore::{Exhaustive, Verdict};
use pgbraid::run::{Run, RunError};
use pgbraid::verdict::outcome::Violation;

use super::on_rows;
use crate::common::lab::{Lab, exhaustive, scenario};
use crate::common::transcript::{results, transcript};

#[test]
fn invariants_see_how_the_sessions_ended() {
    let text = on_rows(
        r#"
        [[session]]
        name = "good"
        params = { who = "me" }
        steps = ["SELECT v, NULL AS nothing FROM t WHERE id = 1"]
        [[session]]
        name = "bad"
        allow_errors = ["23505"]
        steps = ["INSERT INTO t VALUES (1)"]
        [[session]]
        name = "undone"
        steps = ["BEGIN", "UPDATE t SET v = 1", "ROLLBACK"]
        [[invariant]]
        name = "all of it"
        sql = """
        SELECT false, string_agg(concat_ws(' ', name, committed, coalesce(sqlstate, '-'), variables), '; ' ORDER BY name)
        FROM pgbraid.sessions"""
        "#,
    );
    let lab = Lab::new();
    match lab.bench(&text).run("").violations.as_slice() {
        [Violation::Invariant { name, rows, .. }] => {
            assert_eq!(name, "all of it");
            let expected = r#"bad f 23505 {}; good t - {"v": 0, "who": "me", "nothing": null}; undone f - {}"#;
            assert_eq!(rows[0][1].as_deref(), Some(expected));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invariant_holds_only_with_exactly_one_true() {
    let answers = [
        ("SELECT v = 0 FROM t WHERE id = 1", true),
        ("SELECT v = 1 FROM t WHERE id = 1", false),
        ("SELECT NULL::boolean", false),
        ("SELECT v = 0 FROM t", false),
        ("SELECT v = 0 FROM t WHERE id = 99", false),
        ("SELECT 1 / v = 1 FROM t WHERE id = 1", false),
    ];
    let invariants = answers
        .iter()
        .map(|(sql, _)| format!("[[invariant]]\nname = \"{sql}\"\nsql = \"{sql}\"\n"))
        .collect::<String>();
    let text = on_rows(&format!(
        "[[session]]\nname = \"a\"\nsteps = [\"SELECT 1\"]\n{invariants}"
    ));
    let lab = Lab::new();
    let run = lab.bench(&text).run("");
    let broken: Vec<String> = run.violations.iter().map(Violation::name).collect();
    let expected: Vec<&str> = answers
        .iter()
        .filter(|(_, holds)| !holds)
        .map(|(sql, _)| *sql)
        .collect();
    assert_eq!(broken, expected);
    assert!(matches!(run.violations.last(), Some(Violation::InvariantError { sqlstate, .. }) if sqlstate == "22012"));
}

#[test]
fn times_and_numbers_of_transactions_and_objects_are_no_part_of_an_outcome() {
    let text = r#"
        setup = """
        CREATE TABLE t (id integer, at timestamptz DEFAULT now(), day date DEFAULT current_date, local timestamp,
                        x xid8, fixed timestamptz DEFAULT '2020-01-01');
        INSERT INTO t VALUES (0);
        """
        [[session]]
        name = "a"
        copies = 2
        steps = [
          { name = "write", sql = "INSERT INTO t VALUES (1, clock_timestamp(), current_date, localtimestamp, pg_current_xact_id())" },
          { name = "read", sql = "SELECT at, day, local, fixed, ctid, xmin, tableoid FROM t WHERE id = 1 ORDER BY at LIMIT 1" },
        ]
        "#;
    let lab = Lab::new();
    let scenario = scenario(text);
    let mut ids = Vec::new();
    for jobs in [1, 2] {
        let exploration = lab.explore(&scenario, &mut Exhaustive::new(), &exhaustive(jobs));
        assert_eq!(exploration.verdict, Verdict::Holds, "{:?}", exploration.reasons);
        ids.push(
            exploration
                .outcomes
                .into_iter()
                .map(|tally| tally.id)
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(ids[0], ids[1]);
    let run = lab.bench(text).run("a-1");
    let row: Vec<String> = results(&run, "a-1", "read").remove(0).into_iter().flatten().collect();
    assert_eq!(
        row,
        [
            "<now>",
            "<today>",
            "<now>",
            "2020-01-01 00:00:00+00",
            "<number>",
            "<number>",
            "<number>"
        ]
    );
}

#[test]
fn an_ignored_column_is_no_part_of_an_outcome() {
    let text = r#"
        ignore = ["t.token"]
        setup = "CREATE TABLE t (id integer, token text)"
        [[session]]
        name = "a"
        copies = 2
        steps = ["INSERT INTO t VALUES (1, gen_random_uuid()::text) RETURNING token"]
        "#;
    let lab = Lab::new();
    let exploration = lab.explore_all(text);
    assert_eq!(exploration.verdict, Verdict::Holds, "{:?}", exploration.reasons);
    assert_eq!(exploration.outcomes.len(), 1);
}

#[test]
fn a_column_to_ignore_that_is_not_there_is_a_mistake() {
    let text = on_rows("[[session]]\nname = \"a\"\nsteps = [\"SELECT 1\"]");
    let text = format!("ignore = [\"t.token\"]\n{text}");
    match Lab::new().try_prepare(&scenario(&text)) {
        Err(RunError::NothingToIgnore { table, column, .. }) => {
            assert_eq!((table.as_str(), column.as_str()), ("t", "token"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_without_an_order_compare_as_a_multiset() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = ["UPDATE t SET v = 1 WHERE id = 1"]
        [[session]]
        name = "b"
        steps = ["SELECT id FROM t"]
        [[session]]
        name = "c"
        steps = ["SELECT id FROM t ORDER BY id DESC"]
        "#,
    );
    // the update moves row 1 behind the others
    let lab = Lab::new();
    let mut bench = lab.bench(&text);
    let (first, last) = (bench.run("a a b b c c"), bench.run("b b c c a a"));
    for run in [&first, &last] {
        let lines = transcript(run);
        assert!(
            lines.contains(&"b.select: SELECT 3 [1 | 2 | 3]".to_owned()),
            "{lines:?}"
        );
        assert!(
            lines.contains(&"c.select: SELECT 3 [3 | 2 | 1]".to_owned()),
            "{lines:?}"
        );
    }
    assert_eq!(first.outcome.id, last.outcome.id);
}

#[test]
fn chance_that_a_step_sees_makes_the_verdict_inconclusive() {
    let text = r#"
        [[session]]
        name = "a"
        copies = 2
        steps = ["SELECT random() AS chance"]
        "#;
    let exploration = Lab::new().explore_all(text);
    assert_eq!(exploration.verdict, Verdict::Inconclusive);
    assert!(!exploration.reasons.is_empty());
}

#[test]
fn chance_that_only_a_table_sees_makes_the_verdict_inconclusive() {
    let text = r#"
        setup = "CREATE TABLE t (x double precision)"
        [[session]]
        name = "a"
        copies = 2
        steps = ["INSERT INTO t VALUES (random())"]
        [[invariant]]
        name = "small"
        sql = "SELECT bool_and(x < 1) FROM t"
        "#;
    let exploration = Lab::new().explore_all(text);
    assert_eq!(exploration.verdict, Verdict::Inconclusive);
    assert!(!exploration.reasons.is_empty());
}

#[test]
fn a_failure_by_chance_is_no_failing_schedule() {
    let text = r#"
        setup = "CREATE TABLE t (x text)"
        [[session]]
        name = "a"
        steps = ["INSERT INTO t VALUES (gen_random_uuid()::text)"]
        [[invariant]]
        name = "never"
        sql = "SELECT false, x FROM t"
        "#;
    let exploration = Lab::new().explore_all(text);
    assert_eq!(exploration.verdict, Verdict::Inconclusive);
    assert!(!exploration.reasons.is_empty());
}

/// A table's rows, the values of each with blanks between.
fn table(run: &Run, name: &str) -> Vec<String> {
    let tables = run.outcome.tables.iter().filter(|table| table.name == name);
    tables
        .flat_map(|table| &table.rows)
        .map(|row| {
            let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
            values.join(" ")
        })
        .collect()
}

#[test]
fn an_outcome_shows_what_a_materialized_view_was_refreshed_with() {
    let text = on_rows(
        r#"
        [[session]]
        name = "writer"
        steps = ["UPDATE t SET v = 1 WHERE id = 1"]
        [[session]]
        name = "refresher"
        steps = ["REFRESH MATERIALIZED VIEW total"]
        "#,
    )
    .replace(
        "INSERT INTO t",
        "CREATE MATERIALIZED VIEW total AS SELECT sum(v) FROM t; INSERT INTO t",
    );
    let lab = Lab::new();
    let mut bench = lab.bench(&text);
    let after = bench.run_repeatedly(2, "writer writer refresher refresher");
    let before = bench.run_repeatedly(2, "refresher refresher writer writer");
    assert_eq!(table(&after, "total"), ["1"]);
    assert_eq!(table(&before, "total"), ["0"]);
    assert_ne!(after.outcome.id, before.outcome.id);
}

#[test]
fn an_outcome_shows_a_materialized_view_that_nothing_refreshes() {
    let text = on_rows("[[session]]\nname = \"a\"\nsteps = [\"SELECT 1\"]").replace(
        "INSERT INTO t VALUES (1), (2), (3)",
        "INSERT INTO t VALUES (1), (2); CREATE MATERIALIZED VIEW filled AS SELECT count(*) FROM t; \
         CREATE MATERIALIZED VIEW empty AS SELECT 1 WITH NO DATA",
    );
    let run = Lab::new().bench(&text).run("");
    assert_eq!(table(&run, "filled"), ["2"]);
    let names: Vec<&str> = run.outcome.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["t", "filled", "empty"]);
}

#[test]
fn an_outcome_shows_large_objects_by_their_content_and_by_a_number_that_the_scenario_chose() {
    let text = r#"
        setup = "SELECT lo_from_bytea(0, 'of setup')"
        [[session]]
        name = "a"
        steps = ["SELECT lo_from_bytea(0, 'a')", "SELECT lo_from_bytea(70000, 'b')"]
        "#;
    let lab = Lab::new();
    let run = lab.bench(text).run_repeatedly(2, "");
    let md5 = |text: &str| match text {
        "of setup" => "setup 1 8 56a5ff6d4915e70d08b6b04fe71e47be",
        "a" => "<number> 1 0cc175b9c0f1b6a831c399e269772661",
        _ => "70000 1 92eb5ffee6ae2fec3ad71c777531578f",
    };
    assert_eq!(table(&run, "pg_largeobject"), [md5("b"), md5("a"), md5("of setup")]);
    // two setups draw different numbers
    assert_eq!(lab.bench(text).run("").outcome.id, run.outcome.id);
    let without = "[[session]]\nname = \"a\"\nsteps = [\"SELECT 1\"]";
    assert_eq!(lab.bench(without).run("").outcome.tables, []);
}
