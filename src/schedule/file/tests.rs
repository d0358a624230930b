use insta::assert_snapshot;
use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;

use super::*;
use crate::schedule::{Entry, Extent};

fn read(text: &str) -> Result<PinnedFile, ScheduleError> {
    PinnedFile::from_toml(Path::new("schedules/counter.toml"), text)
}

fn render(error: &ScheduleError) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    let mut rendered = String::new();
    handler
        .render_report(&mut rendered, error)
        .expect("rendering into a string");
    let lines: Vec<&str> = rendered.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

fn counter() -> Scenario {
    let text = r#"
        [[session]]
        name = "worker"
        copies = 2
        steps = ["BEGIN", { name = "read", sql = "SELECT 1" }, { name = "write", sql = "SELECT 2" }, "COMMIT"]
        [[session]]
        name = "report"
        steps = ["SELECT 3"]
        [[invariant]]
        name = "no update is lost"
        sql = "SELECT true"
    "#;
    Scenario::from_toml("counter", "counter.toml", text, Path::new(".")).expect("it is a scenario")
}

const PINNED: &str = r#"# found by: pgbraid explore fixtures/counter.toml
scenario = "../fixtures/counter.toml"
expect = "fails"
violates = ["no update is lost"]
order = ["worker-1 until read", "worker-2 to end", "worker-1"]
"#;

#[test]
fn a_file_is_read() {
    let file = read(PINNED).expect("it is a pinned schedule");
    assert_eq!(file.pinned.scenario, Path::new("../fixtures/counter.toml"));
    assert_eq!(file.pinned.expect, Expectation::Fails);
    assert_eq!(file.pinned.violates, ["no update is lost"]);
    assert_eq!(
        file.pinned.order.to_string(),
        "worker-1 until read, worker-2 to end, worker-1"
    );
    assert!(!file.pinned.strict);
    assert_eq!(file.line(), 3);
    let plan = file.fit(&counter()).expect("it fits");
    assert_eq!(plan.entries[1], (1, Extent::ToEnd));
}

#[test]
fn a_file_is_written_as_one_would_write_it() {
    let file = read(PINNED).expect("it is a pinned schedule");
    let found_by = "pgbraid explore fixtures/counter.toml";
    assert_eq!(file.pinned.to_toml(Some(found_by)), PINNED);
    let mut long = file.pinned;
    long.strict = true;
    long.reading.serializable = true;
    long.order.entries = (1..=4)
        .map(|n| Entry::new(format!("a session with a long name {n}"), Extent::ToEnd))
        .collect();
    assert_snapshot!(long.to_toml(None), @r#"
    scenario = "../fixtures/counter.toml"
    serializable = true
    expect = "fails"
    violates = ["no update is lost"]
    strict = true
    order = [
      "a session with a long name 1 to end",
      "a session with a long name 2 to end",
      "a session with a long name 3 to end",
      "a session with a long name 4 to end",
    ]
    "#);
}

#[test]
fn mistakes_are_shown_in_their_place() {
    let mistakes = [
        PINNED.replace("expect = \"fails\"", "expect = \"failing\""),
        PINNED.replace("expect = \"fails\"", "expect = \"red\""),
        PINNED.replace("violates", "violated"),
        PINNED.replace("[\"no update is lost\"]", "\"no update is lost\""),
        PINNED.replace("expect", "strict = \"yes\"\nexpect"),
        "setup = \"\"\n[[session]]\nname = \"a\"\nsteps = [\"SELECT 1\"]\n".to_owned(),
        PINNED.replace("\"worker-1\"]", "\"\"]"),
        PINNED.replace(
            "\"worker-1\"]",
            "{ session = \"worker-1\", until = \"a\", to_end = true }]",
        ),
        PINNED.replace("\"worker-1\"]", "7]"),
        PINNED.replace("../fixtures/counter.toml\"\ne", "\"\ne"),
        PINNED
            .lines()
            .filter(|line| !line.starts_with("order"))
            .collect::<Vec<_>>()
            .join("\n"),
    ];
    let rendered: Vec<String> = mistakes
        .iter()
        .map(|text| render(&read(text).err().unwrap_or_else(|| panic!("is read:\n{text}"))))
        .collect();
    assert_snapshot!(rendered.join("\n\n"));
}

#[test]
fn what_no_longer_fits_is_said_in_words() {
    let misfits = [
        "\"worker-3 until read\", \"worker-2 until reed\", \"worker-1 to end\"",
        "\"worker-1 untill read\"",
        "\"worker-1 till read\"",
        "\"worker-1 until end\", \"worker-1 till end\", \"worker-1 first\"",
        "\"worker-1 until BEGIN\"",
        "\"clerk\"",
        "\"worker-1 before select\"",
        "\"worker-1 until write\", \"worker-1 until read\"",
        "\"report until comit of select\"",
    ];
    let order = "\"worker-1 until read\", \"worker-2 to end\", \"worker-1\"";
    let mut texts: Vec<String> = misfits.iter().map(|misfit| PINNED.replace(order, misfit)).collect();
    texts.push(PINNED.replace("no update is lost", "no update is lots"));
    texts.push(PINNED.replace("no update is lost", "dead lock"));
    texts.push(PINNED.replace("no update is lost", "error 23505 in worker-9"));
    let rendered: Vec<String> = texts
        .iter()
        .map(|text| {
            let file = read(text).unwrap_or_else(|error| panic!("{}", render(&error)));
            render(&file.fit(&counter()).err().unwrap_or_else(|| panic!("fits:\n{text}")))
        })
        .collect();
    assert_snapshot!(rendered.join("\n\n"));
}

#[test]
fn what_can_be_violated_fits() {
    for name in [
        "no update is lost",
        "deadlock",
        "not serializable",
        "error 23505 in worker-2",
        "exit code 1 of worker-1",
        "signal 9 of worker-1",
        "status 500 of worker-2",
        "no answer to worker-2",
    ] {
        let file = read(&PINNED.replace("no update is lost", name)).expect("it is a pinned schedule");
        file.fit(&counter())
            .unwrap_or_else(|error| panic!("{}", render(&error)));
    }
}

/// Any one line of text, including words of the format.
fn name() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[a-z0-9-]{1,6}",
        Just("until".to_owned()),
        Just("before".to_owned()),
        Just("to end".to_owned()),
        Just("resumes".to_owned()),
        Just("times out".to_owned()),
        "[ -~äß\"']{1,8}",
    ];
    proptest::collection::vec(word, 1..4)
        .prop_map(|words| words.join(" "))
        .prop_filter("a name is not blank", |name| !name.trim().is_empty())
}

fn extent() -> impl Strategy<Value = Extent> {
    prop_oneof![
        Just(Extent::OneStep),
        Just(Extent::ToEnd),
        Just(Extent::Resumes),
        Just(Extent::TimesOut),
        name().prop_map(Extent::Until),
        name().prop_map(Extent::Before),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(
        scenario in name(),
        serializable: bool,
        permutation in proptest::option::of(1..99usize),
        fails: bool,
        violates in proptest::collection::vec(name(), 0..3),
        strict: bool,
        order in proptest::collection::vec((name(), extent()), 0..12),
        found_by in proptest::option::of(any::<String>()),
    ) {
        let pinned = PinnedSchedule {
            scenario: PathBuf::from(scenario),
            reading: Reading { serializable, permutation },
            expect: if fails { Expectation::Fails } else { Expectation::Holds },
            violates,
            strict,
            order: order.into_iter().map(|(session, extent)| Entry::new(session, extent)).collect(),
        };
        let text = pinned.to_toml(found_by.as_deref());
        let file = read(&text).map_err(|error| TestCaseError::fail(render(&error)))?;
        prop_assert_eq!(file.pinned, pinned);
    }
}
