//! Every run starts from the state after setup, whatever the run before did.

use pgbraid::explore::{Reason, Verdict};
use pgbraid::history::Uncontrolled;

use super::on_rows;
use crate::common::lab::{Bench, Lab, scenario};
use crate::common::transcript::{results, transcript};

/// Three runs, all alike.
fn thrice(bench: &mut Bench<'_>) -> pgbraid::run::Run {
    bench.run_repeatedly(3, "")
}

#[test]
fn tables_with_all_that_can_hang_on_them_come_back() {
    let text = r#"
        setup = """
        CREATE SEQUENCE counter START 100 INCREMENT 5;
        SELECT nextval('counter');
        CREATE TABLE parent (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE);
        CREATE TABLE child (id serial PRIMARY KEY, parent integer NOT NULL REFERENCES parent ON DELETE CASCADE,
                            doubled integer GENERATED ALWAYS AS (parent * 2) STORED);
        CREATE TABLE log (entry text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN INSERT INTO log VALUES (TG_OP || ' ' || TG_TABLE_NAME); RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON child FOR EACH ROW EXECUTE FUNCTION note();
        CREATE TABLE parts (id integer, v text) PARTITION BY RANGE (id);
        CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10);
        CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (20);
        CREATE SCHEMA "Other one";
        CREATE TABLE "Other one"."odd ""name" ("a column" integer);
        INSERT INTO parent (name) VALUES ('p1'), ('p2');
        INSERT INTO child (parent) VALUES (1), (2);
        INSERT INTO parts VALUES (1, 'low'), (11, 'high');
        INSERT INTO "Other one"."odd ""name" VALUES (1);
        """
        [[session]]
        name = "a"
        steps = [
          { name = "start", sql = """
            SELECT (SELECT count(*) FROM parent) AS parents, (SELECT count(*) FROM child) AS children,
              (SELECT count(*) FROM log) AS entries, (SELECT string_agg(v, ',' ORDER BY id) FROM parts) AS parts,
              (SELECT sum("a column") FROM "Other one"."odd ""name") AS odd, nextval('counter') AS counter""" },
          { name = "parent", sql = "INSERT INTO parent (name) VALUES ('p3') RETURNING id" },
          { name = "child", sql = "INSERT INTO child (parent) VALUES (1) RETURNING id, doubled" },
          "DELETE FROM parent WHERE name = 'p2'",
          "UPDATE parts SET id = 15 WHERE id = 1",
          'UPDATE "Other one"."odd ""name" SET "a column" = 9',
          "TRUNCATE log",
        ]
        "#;
    let lab = Lab::new();
    let run = thrice(&mut lab.bench(text));
    let row = |step| -> Vec<String> { results(&run, "a", step).remove(0).into_iter().flatten().collect() };
    assert_eq!(row("start"), ["2", "2", "2", "low,high", "1", "105"]);
    assert_eq!(row("parent"), ["3"]);
    assert_eq!(row("child"), ["3", "2"]);
    assert_eq!(run.violations, []);
    let tables: Vec<(&str, usize)> = run
        .outcome
        .tables
        .iter()
        .map(|table| (table.name.as_str(), table.rows.len()))
        .collect();
    assert_eq!(
        tables,
        [
            ("Other one.odd \"name", 1),
            ("child", 2),
            ("log", 0),
            ("parent", 2),
            ("parts_high", 2),
            ("parts_low", 0)
        ]
    );
}

#[test]
fn a_schema_that_steps_change_comes_back() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = [
          "CREATE TABLE made (x integer)",
          "INSERT INTO made VALUES (1)",
          "ALTER TABLE t ADD COLUMN more integer",
          "CREATE INDEX ON t (more)",
          "DROP TABLE made",
        ]
        "#,
    );
    let lab = Lab::new();
    let run = thrice(&mut lab.bench(&text));
    assert_eq!(run.violations, []);
}

#[test]
fn a_schema_that_a_function_changes_comes_back() {
    let text = r#"
        setup = """
        CREATE FUNCTION make() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'CREATE TABLE made (x integer)'; END $$;
        """
        [[session]]
        name = "a"
        steps = ["SELECT make()"]
        "#;
    let lab = Lab::new();
    assert_eq!(thrice(&mut lab.bench(text)).violations, []);
}

#[test]
fn what_setup_has_had_analysed_is_planned_so_in_every_run() {
    let text = r#"
        setup = """
        CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 3); ANALYZE t;
        CREATE TABLE u (id integer PRIMARY KEY); INSERT INTO u VALUES (1);
        """
        [[session]]
        name = "a"
        steps = [
          { name = "size", sql = """
            SELECT relname, relpages, reltuples FROM pg_class WHERE relname IN ('t', 'u') AND reltuples > 0""" },
          "DELETE FROM t WHERE id > 1",
        ]
        "#;
    let lab = Lab::new();
    let run = thrice(&mut lab.bench(text));
    let rows: Vec<Vec<String>> = results(&run, "a", "size")
        .into_iter()
        .map(|row| row.into_iter().flatten().collect())
        .collect();
    assert_eq!(rows, [["t", "1", "3"]]);
}

#[test]
fn a_scenario_may_do_without_setup() {
    let text = r#"
        [[session]]
        name = "a"
        steps = ["SELECT 1 AS one"]
        "#;
    let lab = Lab::new();
    let run = thrice(&mut lab.bench(text));
    assert_eq!(run.outcome.tables, []);
}

#[test]
fn what_setup_leaves_in_a_transaction_counts() {
    let text = r#"
        setup = "BEGIN; CREATE TABLE t (id integer); INSERT INTO t VALUES (1)"
        [[session]]
        name = "a"
        steps = ["SELECT id FROM t"]
        "#;
    let lab = Lab::new();
    let run = thrice(&mut lab.bench(text));
    assert_eq!(transcript(&run)[0], "a.select: SELECT 1 [1]");
}

#[test]
fn nothing_of_a_session_is_left_for_the_next_run() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = [
          { name = "before", sql = """
            SELECT current_setting('work_mem') AS work_mem, current_setting('my.own', true) AS own,
              (SELECT count(*) FROM pg_prepared_statements WHERE NOT name LIKE 'pgbraid%') AS statements,
              (SELECT count(*) FROM pg_listening_channels()) AS channels,
              (SELECT count(*) FROM pg_cursors WHERE name <> '') AS cursors,
              current_user::text AS who, to_regclass('mine')::text AS mine""" },
          "SET work_mem = '7MB'",
          "SELECT set_config('my.own', 'x', false)",
          "PREPARE p AS SELECT 1",
          "LISTEN news",
          "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
          "SELECT pg_advisory_lock(1)",
          "SELECT nextval('s')",
          "SET ROLE pg_read_all_data",
        ]
        [[session]]
        name = "b"
        steps = [{ name = "try", sql = "SELECT pg_try_advisory_lock(1) AS free" }, "SELECT pg_advisory_unlock_all()"]
        "#,
    )
    .replace("INSERT INTO t", "CREATE SEQUENCE s; INSERT INTO t");
    let lab = Lab::new();
    let mut bench = lab.bench(&text);
    // in the first runs `b` tries after all steps of `a`, whose connection has not ended, and in the last it tries first
    let first = bench.run_repeatedly(3, &format!("{} b", "a ".repeat(16)));
    assert_eq!(results(&first, "b", "try"), [[Some("f".to_owned())]]);
    let second = bench.run("b b b b");
    assert_eq!(results(&second, "b", "try"), [[Some("t".to_owned())]]);
    for run in [&first, &second] {
        let before: Vec<Option<String>> = results(run, "a", "before").remove(0);
        let before: Vec<&str> = before.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
        assert_eq!(before, ["4MB", "NULL", "0", "0", "0", "postgres", "NULL"]);
    }
}

#[test]
fn temporary_tables_are_not_left_for_the_next_run() {
    let text = r#"
        [[session]]
        name = "a"
        steps = ["CREATE TEMP TABLE mine (x integer)", "INSERT INTO mine VALUES (1)"]
        [[session]]
        name = "b"
        steps = ["SELECT 1 AS x INTO TEMP mine"]
        "#;
    let lab = Lab::new();
    let run = thrice(&mut lab.bench(text));
    assert_eq!(run.violations, []);
    assert_eq!(run.outcome.tables, []);
}

#[test]
fn an_open_transaction_is_rolled_back_before_the_next_run() {
    let text = on_rows(
        r#"
        [[session]]
        name = "a"
        allow_errors = ["23505"]
        steps = ["BEGIN", "UPDATE t SET v = 1", "SAVEPOINT s", "INSERT INTO t VALUES (1)", "COMMIT"]
        "#,
    );
    let lab = Lab::new();
    let run = thrice(&mut lab.bench(&text));
    assert!(
        run.outcome.tables[0]
            .rows
            .iter()
            .all(|row| row[1].as_deref() == Some("0"))
    );
}

#[test]
fn large_objects_that_steps_make_are_not_left_for_the_next_run() {
    let text = r#"
        setup = "SELECT lo_from_bytea(0, 'kept')"
        [[session]]
        name = "a"
        steps = [
          { name = "before", sql = "SELECT count(*) FROM pg_largeobject_metadata" },
          { name = "content", sql = "SELECT convert_from(lo_get(oid), 'UTF8') AS text FROM pg_largeobject_metadata" },
          "SELECT lo_from_bytea(0, 'made')",
          "SELECT lo_put(oid, 0, 'KEPT') FROM pg_largeobject_metadata WHERE lo_get(oid) = 'kept'",
        ]
        "#;
    let lab = Lab::new();
    let run = thrice(&mut lab.bench(text));
    assert_eq!(results(&run, "a", "before"), [[Some("1".to_owned())]]);
    assert_eq!(results(&run, "a", "content"), [[Some("kept".to_owned())]]);
}

/// A function whose name is hidden in escapes, so that nothing tells that large objects are touched.
const HIDDEN: &str = r#"
    [[session]]
    name = "a"
    steps = ['SELECT U&"\006Co_create"(0) > 0 AS made']
    [[session]]
    name = "b"
    steps = ["SELECT 1 AS one"]
    "#;

fn left_behind() -> Uncontrolled {
    Uncontrolled::LeftBehind(vec!["pg_largeobject_metadata".to_owned()])
}

#[test]
fn what_a_run_leaves_behind_is_noticed_before_the_next() {
    let lab = Lab::new();
    let mut bench = lab.bench(HIDDEN);
    assert_eq!(bench.run("").uncontrolled, []);
    assert_eq!(bench.run("").uncontrolled, [left_behind()]);
    assert_eq!(bench.run("").uncontrolled, [left_behind()]);
}

#[test]
fn what_the_last_run_leaves_behind_makes_the_verdict_inconclusive() {
    let one_schedule = HIDDEN
        .split("[[session]]")
        .take(2)
        .collect::<Vec<_>>()
        .join("[[session]]");
    let exploration = Lab::new().explore_all(&one_schedule);
    assert_eq!(exploration.schedules_run, 1);
    assert_eq!(exploration.verdict, Verdict::Inconclusive);
    assert_eq!(exploration.reasons, [Reason::Uncontrolled(left_behind())]);
}

#[test]
fn rows_sequences_objects_and_settings_that_are_left_behind_are_noticed() {
    let text = on_rows("[[session]]\nname = \"a\"\nsteps = [\"SELECT 1\"]").replace(
        "INSERT INTO t",
        "CREATE SEQUENCE s; CREATE MATERIALIZED VIEW m AS SELECT 1 AS x; CREATE FUNCTION f() RETURNS integer \
         LANGUAGE sql AS 'SELECT 1'; INSERT INTO t",
    );
    let lab = Lab::new();
    let template = lab.prepare(&scenario(&text));
    for (sql, expected) in [
        ("SELECT 1", vec![]),
        ("UPDATE t SET v = v WHERE id = 1", vec!["table public.t"]),
        ("SELECT nextval('s')", vec!["sequence public.s"]),
        ("REFRESH MATERIALIZED VIEW m", vec![]),
        (
            "TRUNCATE t; INSERT INTO t VALUES (1), (2), (3); VACUUM ANALYZE t",
            vec![],
        ),
        ("TRUNCATE t; INSERT INTO t VALUES (2), (1), (3)", vec!["table public.t"]),
        ("COMMENT ON FUNCTION now() IS 'x'", vec!["pg_description"]),
        ("ALTER FUNCTION f() VOLATILE COST 7", vec!["pg_proc"]),
        ("GRANT SELECT ON t TO PUBLIC", vec!["pg_class"]),
        (
            "CREATE STATISTICS st ON id, v FROM t",
            vec!["pg_depend", "pg_statistic_ext"],
        ),
    ] {
        let found = lab.runtime.block_on(async {
            let database = lab.server.create_scratch(Some(template.database())).await.unwrap();
            let mut control = lab.server.control(&database).await.unwrap();
            for command in sql.split("; ") {
                let reply = control.simple(command).await.unwrap();
                assert!(reply.error.is_none(), "{command}: {:?}", reply.error);
            }
            template.probe().differences(&mut control).await.unwrap()
        });
        assert_eq!(found, expected, "{sql}");
    }
}
