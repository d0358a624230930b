use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;

use super::*;
use crate::scenario::{Isolation, Param};
use crate::sql::StatementKind;

fn load(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::from_toml("test", "test.toml", text, Path::new("no/such/folder"))
}

fn loaded(text: &str) -> Scenario {
    load(text).unwrap_or_else(|error| panic!("{}", render(&error)))
}

fn render(error: &ScenarioError) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    let mut rendered = String::new();
    handler
        .render_report(&mut rendered, error)
        .expect("rendering into a string");
    rendered.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The errors of these texts, rendered one below the other.
fn mistakes(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let rendered = texts.into_iter().map(|text| {
        let text = text.as_ref();
        let error = load(text).err().unwrap_or_else(|| panic!("loads:\n{text}"));
        render(&error).trim_matches('\n').to_owned()
    });
    rendered.collect::<Vec<_>>().join("\n\n")
}

/// A scenario with one session that has these steps.
fn session(steps: &str) -> String {
    format!("[[session]]\nname = \"worker\"\nsteps = [\n{steps}\n]\n")
}

const COUNTER: &str = r#"
description = "two workers count a view"
setup = """
CREATE TABLE articles (id text PRIMARY KEY, views integer NOT NULL DEFAULT 0);
INSERT INTO articles VALUES ('a1', 0);
"""
deadlock = "allowed"
ignore = ["articles.updated_at", "audit.log.at"]

[[session]]
name = "worker"
copies = 2
isolation = "Repeatable  Read"
params = [{ user = "alice", n = 1 }, { user = "bob", rate = 1.10, ok = true }]
allow_errors = ["23505"]
retry = { on = ["40001", "40P01"], max = 3 }
steps = [
  "BEGIN",
  { name = "read",  sql = "SELECT views FROM articles WHERE id = 'a1' AND owner = :user" },
  { sql = "UPDATE articles SET views = :views + 1 WHERE id = 'a1'", when = "NOT :booked" },
  "update articles set views = :views",
  { name = "update-2", sql = "UPDATE articles SET views = 1" },
  "COMMIT",
]

[[session]]
name = "reader"
steps = ["SELECT views FROM articles LIMIT 1"]

[[invariant]]
name = "no update is lost"
sql = "SELECT views = 2 FROM articles WHERE id = 'a1'"
"#;

#[test]
fn a_scenario_is_read_whole() {
    let scenario = loaded(COUNTER);
    assert_eq!(scenario.deadlock, DeadlockPolicy::Allowed);
    let ignored: Vec<_> = scenario
        .ignore
        .iter()
        .map(|c| (c.table.as_str(), c.column.as_str()))
        .collect();
    assert_eq!(ignored, [("articles", "updated_at"), ("audit.log", "at")]);
    assert_eq!(
        scenario.warnings,
        ["step `select` of session `reader` takes rows without ORDER BY: which ones is up to the server"]
    );
    assert_eq!(scenario.invariants[0].name, "no update is lost");

    let names: Vec<_> = scenario
        .sessions
        .iter()
        .map(|session| (session.name.as_str(), session.entry))
        .collect();
    assert_eq!(names, [("worker-1", 0), ("worker-2", 0), ("reader", 1)]);
    let bob = &scenario.sessions[1];
    assert_eq!(bob.isolation, Isolation::RepeatableRead);
    assert_eq!(bob.allow_errors, ["23505"]);
    assert_eq!(
        bob.retry.as_ref().map(|retry| (retry.on.len(), retry.max)),
        Some((2, 3))
    );
    assert_eq!(bob.params["user"], Param::Text("bob".to_owned()));
    assert_eq!(bob.params["rate"], Param::Numeric("1.10".to_owned()));
    assert_eq!(bob.params["ok"], Param::Boolean(true));
    assert_eq!(scenario.sessions[0].params["n"], Param::Integer(1));

    let steps: Vec<_> = bob.steps.iter().map(|step| (step.name.as_str(), step.named)).collect();
    assert_eq!(
        steps,
        [
            ("begin", false),
            ("read", true),
            ("update", false),
            ("update-3", false),
            ("update-2", true),
            ("commit", false)
        ]
    );
    assert_eq!(bob.steps[0].statement.kind, StatementKind::Begin);
    assert_eq!(
        bob.steps[2].template.text,
        "UPDATE articles SET views = $1 + 1 WHERE id = 'a1'"
    );
    assert_eq!(
        bob.steps[2].when.as_ref().map(|when| when.template.text.as_str()),
        Some("NOT $1")
    );
}

#[test]
fn parameters_can_be_shared_and_copies_left_out() {
    let scenario = loaded(
        "[[session]]\nname = \"a\"\ncopies = 2\nparams = { x = 1 }\nsteps = [\"SELECT :x\"]\n\
         [[session]]\nname = \"b\"\nparams = [{ x = 1 }, { x = 2 }, { x = 3 }]\nsteps = [\"SELECT :x\"]\n\
         [[session]]\nname = \"c\"\ncopies = 1\nsteps = [\"SELECT 1\"]\n",
    );
    let names: Vec<_> = scenario.sessions.iter().map(|session| session.name.as_str()).collect();
    assert_eq!(names, ["a-1", "a-2", "b-1", "b-2", "b-3", "c"]);
    assert_eq!(scenario.sessions[1].params["x"], Param::Integer(1));
    assert_eq!(
        scenario.warnings,
        ["there are no invariants: only errors and deadlocks can fail a schedule"]
    );
}

#[test]
fn line_ends_and_byte_order_marks_do_not_matter() {
    let crlf = format!("\u{feff}{}", COUNTER.replace('\n', "\r\n"));
    let (unix, windows) = (loaded(COUNTER), loaded(&crlf));
    let setup = windows.setup.expect("there is a setup");
    assert_eq!(setup.text, unix.setup.expect("there is a setup").text);
    let step = &windows.sessions[0].steps[1];
    let origin = step.sql.origin.as_ref().expect("read from a file");
    for sql in [&setup, &step.sql] {
        for (index, byte) in sql.text.bytes().enumerate().filter(|(_, byte)| *byte != b'\n') {
            let offset = sql.origin.as_ref().map(|origin| origin.offsets[index]);
            assert_eq!(offset.and_then(|offset| crlf.as_bytes().get(offset)), Some(&byte));
        }
    }
    assert_eq!(origin.offsets.len(), step.sql.text.len() + 1);
    let late = format!("\u{feff}# é\r\n{}", session("\"SELEC :x\"").replace('\n', "\r\n"));
    let rendered = mistakes([late]);
    insta::assert_snapshot!(rendered.trim(), @r#"
    × unknown variable `:x`
       ╭─[test.toml:5:8]
     4 │ steps = [
     5 │ "SELEC :x"
       ·        ─┬
       ·         ╰── not defined
     6 │ ]
       ╰────
      help: variables are the session's `params` and the columns of its earlier steps' rows; there are
            none here
    "#);
}

#[test]
fn transactions_that_depend_on_conditions_are_taken() {
    for steps in [
        r#""BEGIN", "SELECT 1 AS ok", { sql = "COMMIT", when = ":ok = 1" }, { sql = "ROLLBACK", when = ":ok = 2" }"#,
        r#""BEGIN", "SELECT 1 AS ok", { sql = "ROLLBACK", when = ":ok = 2" }, "SELECT 1", "COMMIT""#,
        r#""BEGIN", "SELECT 1 AS ok", { sql = "ROLLBACK", when = ":ok = 2" }, "BEGIN", "COMMIT""#,
        r#""SELECT 1 AS ok", { sql = "BEGIN", when = ":ok = 1" }, "SELECT 1", { sql = "COMMIT", when = ":ok = 1" }"#,
        r#""BEGIN", "COMMIT AND CHAIN", "ROLLBACK""#,
        r#""BEGIN", "PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'""#,
        r#""VACUUM", "BEGIN", "SAVEPOINT s", "ROLLBACK TO s", "LOCK t", "END""#,
        r#""PREPARE p AS SELECT $1::int", "EXECUTE p(1)""#,
        r#"{ sql = "SELECT :t", when = ":t::timestamp with time zone > now() AND 'SELECT' <> ''" }"#,
    ] {
        let params = "params = { t = 2020-01-01T00:00:00Z }\n";
        loaded(&session(steps).replace("steps", &format!("{params}steps")));
    }
}

#[test]
fn mistakes_of_the_file() {
    let rendered = mistakes([
        "".to_owned(),
        "setup = \"\"\"\nCREATE".to_owned(),
        "[[session]\nname = 1".to_owned(),
        "[session]\nname = \"worker\"".to_owned(),
        "setup = \"SELECT 1\"\nsetup = \"\"\n".to_owned(),
        "setup = \"SELECT '\\u0000'\"\n".to_owned(),
        "setpu = \"\"\n".to_owned() + &session("\"SELECT 1\""),
        "scenario = \"a.toml\"\nexpect = \"fails\"\norder = [\"a to end\"]\n".to_owned(),
        "timeout = 5\n".to_owned() + &session("\"SELECT 1\""),
        "deadlock = \"alowed\"\n".to_owned() + &session("\"SELECT 1\""),
        "setup = \"\"\nsetup_file = \"schema.sql\"\n".to_owned() + &session("\"SELECT 1\""),
        "setup_file = \"schema.sql\"\n".to_owned() + &session("\"SELECT 1\""),
        "setup = \"\"\"\nCREATE TABLE t (a int);\nCOPY t FROM stdin;\n1\n\\\\.\n\"\"\"\n".to_owned(),
        "ignore = [\"updated_at\"]\n".to_owned() + &session("\"SELECT 1\""),
    ]);
    insta::assert_snapshot!(rendered);
}

#[test]
fn mistakes_of_sessions() {
    let with = |lines: &str| format!("[[session]]\nname = \"worker\"\n{lines}\nsteps = [\"SELECT 1\"]\n");
    let rendered = mistakes([
        "[[session]]\nsteps = [\"SELECT 1\"]\n".to_owned(),
        "[[session]]\nname = \"\"\nsteps = [\"SELECT 1\"]\n".to_owned(),
        "[[session]]\nname = \"worker\"\n".to_owned(),
        with("isolaton = \"serializable\""),
        with("isolation = \"serialisable\""),
        with("isolation = \"snapshot\""),
        with("copies = \"two\""),
        with("retries = 3"),
        with("allow_errors = \"40001\""),
        with("copies = 0"),
        with("copies = 1000000000000"),
        with("copies = 3\nparams = [{ user = 1 }, { user = 2 }]"),
        with("params = []"),
        with("params = 3"),
        with("params = { \"user name\" = 1 }"),
        with("params = { user = [1] }"),
        with("params = { user = nan }"),
        with("allow_errors = [\"unique_violaton\"]"),
        with("allow_errors = [\"40p01\"]"),
        with("allow_errors = [\"2350\"]"),
        with("retry = { on = [], max = 3 }"),
        with("retry = { on = [\"40001\"], max = 0 }"),
        with("retry = { on = [\"40001\"] }"),
        with("retry = 3"),
        with("") + &with(""),
        with("copies = 2") + &with("").replace("worker", "worker-2"),
    ]);
    insta::assert_snapshot!(rendered);
}

#[test]
fn mistakes_of_steps() {
    let rendered = mistakes([
        session("\"SELECT 1\", 2"),
        session("{ name = \"read\" }"),
        session("{ sql = \"SELECT 1\", whn = \"true\" }"),
        session("{ name = \"a\", sql = \"SELECT 1\" },\n{ name = \"a\", sql = \"SELECT 2\" }"),
        session("{ name = \" \", sql = \"SELECT 1\" }"),
        session("\"BEGIN; SELECT 1\""),
        session("\"-- later\""),
        session("\"COPY t FROM STDIN\""),
        session("\"UPDATE t SET a = $1\""),
        session("{ sql = \"SELECT 1\", when = \"EXISTS (SELECT 1 FROM t)\" }"),
        session("{ sql = \"SELECT 1\", when = \"\" }"),
        session("\"UPDATE t SET a = :a\""),
        session("'''\n  UPDATE t -- é\n  SET a = :a\n'''").replace("steps", "params = { b = 1, long = 2 }\nsteps"),
        session("{ sql = \"SELECT 1\", when = \"NOT :usr\" }").replace("steps", "params = { user = 1 }\nsteps"),
        session("\"SELECT :a\"").replace("steps", "params = [{ a = 1 }, { b = 1 }]\nsteps"),
        session("\"SELECT :guest\"").replace("steps", "params = [{ guest = 1 }, { gust = 1 }]\nsteps"),
    ]);
    insta::assert_snapshot!(rendered);
}

#[test]
fn mistakes_of_transactions() {
    let rendered = mistakes(
        [
            "\"BEGIN\",\n\"UPDATE t SET a = 1\"",
            "\"BEGIN\", \"COMMIT AND CHAIN\"",
            "\"BEGIN\",\n\"UPDATE t SET a = 1\",\n\"BEGIN\", \"COMMIT\"",
            "\"UPDATE t SET a = 1\",\n\"COMMIT\"",
            "\"SAVEPOINT s\"",
            "\"BEGIN\",\n\"VACUUM t\",\n\"COMMIT\"",
        ]
        .map(session),
    );
    insta::assert_snapshot!(rendered);
}

#[test]
fn mistakes_of_invariants() {
    let with = |lines: &str| session("\"SELECT 1\"") + lines;
    let rendered = mistakes([
        with("[[invariant]]\nname = \"a\"\nsql = \"\""),
        with("[[invariant]]\nname = \"a\"\nsql = \"SELECT true; SELECT false\""),
        with("[[invariant]]\nname = \"a\"\nsql = \"SELECT :views = 2\""),
        with("[[invariant]]\nname = \"a\"\nsql = \"SELECT 1\"\n[[invariant]]\nname = \"a\"\nsql = \"SELECT 1\""),
    ]);
    insta::assert_snapshot!(rendered);
}

#[test]
fn mistakes_that_the_server_finds() {
    let scenario = loaded(&session("'''\nUPDATE articles -- é\nSET view = 1\n'''"));
    let sql = &scenario.sessions[0].steps[0].sql;
    let position = sql.text.chars().position(|c| c == 'v').map(|index| index as u32 + 1);
    let message = "column \"view\" of relation \"articles\" does not exist";
    let rejected = ScenarioError::rejected_sql(
        sql,
        position,
        "42703",
        message,
        Some("there is \"views\""),
        "step `update`",
    );
    let unplaced = SqlText::unplaced("SELECT nope");
    let far = ScenarioError::rejected_sql(
        &unplaced,
        Some(99),
        "42601",
        "syntax error at end of input",
        None,
        "the setup",
    );
    let whole = ScenarioError::rejected_sql(&unplaced, None, "42501", "permission denied", None, "the setup");
    let rendered = [rejected, far, whole].iter().map(render).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(rendered);
}

#[test]
fn files_are_read_and_setup_files_beside_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("counter.toml");
    std::fs::write(folder.path().join("schema.sql"), "CREATE TABLE t (a int);\r\n").expect("writing a file");
    std::fs::write(
        &path,
        "setup_file = \"schema.sql\"\n".to_owned() + &session("\"SELECT 1\""),
    )
    .expect("writing a file");

    let scenario = Scenario::from_file(&path).expect("the file is right");
    assert_eq!(scenario.name, "counter");
    assert_eq!(scenario.path.as_deref(), Some(path.as_path()));
    assert_eq!(
        scenario.setup.map(|setup| setup.text).as_deref(),
        Some("CREATE TABLE t (a int);\r\n")
    );

    let missing = Scenario::from_file(folder.path().join("none.toml")).expect_err("there is no such file");
    assert!(matches!(*missing.mistake, Mistake::Unreadable { .. }));
}

proptest! {
    #[test]
    fn any_text_loads_or_says_why_not(text in any::<String>()) {
        if let Err(error) = load(&text) {
            render(&error);
        }
    }

    #[test]
    fn scenario_like_text_loads_or_says_why_not(
        lines in prop::collection::vec(prop::sample::select(vec![
            "[[session]]", "[[invariant]]", "name = \"a\"", "name = 'é'", "copies = 2", "copies = -1", "steps = [",
            "]", "\"BEGIN\",", "\"COMMIT\",", "'''", "\"\"\"", "SELECT :a -- é \\", "sql = \"SELECT :é\"", "\r",
            "{ name = \"b\", sql = \"SELECT 1; SELECT $1\", when = \"\\u00e9 (SELECT\" },", "params = { a = 1.5 }",
            "allow_errors = [\"é\"]", "isolation = \"seriaé\"", "setup = \"\"\"", "COPY t FROM STDIN;", "unknöwn = 1",
            "retry = { on = [\"40001\"], max = -3 }", "params = [{ a = 1 }, { é = 2 }]", "ignore = [\".é\"]",
        ]), 0..14),
        newline in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        if let Err(error) = load(&lines.join(newline)) {
            render(&error);
        }
    }

    #[test]
    fn any_statement_loads_or_says_why_not(sql in "[^']{0,20}", when in any::<String>()) {
        let when = toml::Value::String(when);
        if let Err(error) = load(&session(&format!("'''{sql}''', {{ sql = '''SELECT {sql}''', when = {when} }}"))) {
            render(&error);
        }
    }
}

#[test]
fn of_a_long_line_the_part_with_the_mistake_is_shown() {
    let long = "x".repeat(100_000);
    let shown = mistakes([
        session(&format!("\"SELECT '{long}'\", 5 6")),
        session(&format!(
            "{{ name = \"a\", sql = \"SELECT 1\" }}, {{ name = \"a\", sql = \"SELECT '{long}'\", x = 1 }}"
        )),
        session(&format!("\"SELECT '{long}'; SELECT 2\"")),
    ]);
    assert!(shown.len() < 5_000, "{} bytes", shown.len());
    assert!(shown.contains("test.toml:4:1000"), "{shown}");
}

#[test]
fn too_many_steps_are_refused() {
    let steps = |count: usize, copies: usize| {
        let steps = "\"SELECT 1\",\n".repeat(count);
        load(&format!(
            "[[session]]\nname = \"a\"\ncopies = {copies}\nsteps = [\n{steps}]\n"
        ))
    };
    assert!(steps(1_000, 2).is_ok());
    for (count, copies) in [(2_001, 1), (1_001, 2), (100_000, 90)] {
        let error = steps(count, copies).expect_err("too many");
        assert!(matches!(*error.mistake, Mistake::TooManySteps(total) if total == count * copies));
    }
}
