//! A scenario as the text of its file.

use std::collections::BTreeMap;

use toml::Value;

use crate::scenario::{
    DeadlockPolicy, Isolation, Param, ProgramCommand, RequestBody, Scenario, Service, ServiceRequest, Session,
    SessionProgram, Step,
};
use crate::sql::StatementKind;
use crate::sql::classify::first_word;
use crate::terminal::{is_hidden, visible};

/// Comments of a scenario's file: paragraphs, each wrapped where it is too long for a line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remarks {
    /// At its beginning.
    pub head: Vec<String>,
    /// By `[[session]]` entry: before its steps.
    pub sessions: BTreeMap<usize, Vec<String>>,
    /// By entry and step, by index: before the step.
    pub steps: BTreeMap<(usize, usize), Vec<String>>,
    /// By invariant, by index.
    pub invariants: BTreeMap<usize, Vec<String>>,
    /// At its end.
    pub end: Vec<String>,
}

/// The width of a line of comments.
const WIDTH: usize = 120;

/// Paragraphs as lines of comments. Lines of a paragraph stay apart.
fn comment(paragraphs: &[String], indent: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in paragraphs.iter().flat_map(|paragraph| paragraph.lines()) {
        let mut full = format!("{indent}#");
        for word in visible(line).split(' ') {
            if full.len() > indent.len() + 1 && full.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(std::mem::replace(&mut full, format!("{indent}#")));
            }
            full.push(' ');
            full += word;
        }
        lines.push(full);
    }
    lines
}

/// A closure as a file shows it, which has none.
pub(super) const CLOSURE: &str = "command = [\"(a closure)\"]";

impl Scenario {
    /// The text of a file for this scenario. Reading it gives the same sessions, steps and invariants; the content of a
    /// `setup_file` is written into it.
    pub fn to_toml(&self) -> String {
        self.to_toml_with(&Remarks::default())
    }

    /// The same with comments.
    pub(crate) fn to_toml_with(&self, remarks: &Remarks) -> String {
        let mut parts = Vec::new();
        if !remarks.head.is_empty() {
            parts.push(comment(&remarks.head, "").join("\n"));
        }
        let mut head = Vec::new();
        if self.deadlock == DeadlockPolicy::Allowed {
            head.push("deadlock = \"allowed\"".to_owned());
        }
        if self.serializable {
            head.push("serializable = true".to_owned());
        }
        if !self.ignore.is_empty() {
            let columns = self
                .ignore
                .iter()
                .map(|ignored| text(&format!("{}.{}", ignored.table, ignored.column)));
            head.push(format!("ignore = [{}]", columns.collect::<Vec<_>>().join(", ")));
        }
        if let Some(database) = &self.setup_database {
            head.push(format!("setup_database = {}", text(database)));
        }
        if let Some(setup) = &self.setup {
            head.push(format!("setup = {}", long_text(&setup.text)));
        }
        if let Some(program) = &self.setup_command {
            head.push(format!("setup_command = {}", texts(&program.command)));
        }
        if self.schedules_prelude {
            head.push("prelude = \"scheduled\"".to_owned());
        }
        if !head.is_empty() {
            parts.push(head.join("\n"));
        }
        parts.extend(self.services.iter().map(service));
        // the first connection of a program stands for the others
        let is_first = |session: &&Session| session.connection.is_none_or(|number| number == 1);
        let firsts: Vec<&Session> = self.sessions.iter().filter(is_first).collect();
        let mut rest = firsts.as_slice();
        while let Some(first) = rest.first() {
            let copies = copies(rest);
            parts.push(session(first, &rest[..copies], remarks));
            rest = &rest[copies..];
        }
        for (index, invariant) in self.invariants.iter().enumerate() {
            let (name, sql) = (text(&invariant.name), long_text(&invariant.sql.text));
            let own = remarks.invariants.get(&index);
            let mut lines: Vec<String> = own.into_iter().flat_map(|own| comment(own, "")).collect();
            lines.push(format!("[[invariant]]\nname = {name}\nsql = {sql}"));
            parts.push(lines.join("\n"));
        }
        if !remarks.end.is_empty() {
            parts.push(comment(&remarks.end, "").join("\n"));
        }
        parts.join("\n\n") + "\n"
    }
}

/// How many of these sessions, starting with the first, are copies that one `[[session]]` entry describes.
fn copies(sessions: &[&Session]) -> usize {
    let first = sessions[0];
    let is_copy = |(index, session): &(usize, &&Session)| {
        session.entry == first.entry && session.copy == Some(index + 1) && same_steps(first, session)
    };
    match sessions.iter().enumerate().take_while(is_copy).count() {
        // a single copy would get a different name
        0 | 1 => 1,
        count => count,
    }
}

fn same_steps(one: &Session, other: &Session) -> bool {
    let key = |session: &Session| -> Vec<(String, String)> {
        session
            .steps
            .iter()
            .map(|step| (step.name.clone(), step.sql.text.clone()))
            .collect()
    };
    key(one) == key(other) && one.program == other.program
}

fn session(first: &Session, copies: &[&Session], remarks: &Remarks) -> String {
    let is_one = copies.len() == 1;
    let name = if is_one {
        first.program_name()
    } else {
        first.entry_name()
    };
    let own = remarks.sessions.get(&first.entry);
    let mut lines: Vec<String> = own.into_iter().flat_map(|own| comment(own, "")).collect();
    lines.extend(["[[session]]".to_owned(), format!("name = {}", text(name))]);
    let all_alike = copies.iter().all(|copy| copy.params == first.params);
    if !is_one && all_alike {
        lines.push(format!("copies = {}", copies.len()));
    }
    if all_alike && !first.params.is_empty() {
        lines.push(format!("params = {}", params(&first.params)));
    } else if !all_alike {
        let tables: Vec<String> = copies.iter().map(|copy| params(&copy.params)).collect();
        lines.push(format!("params = [{}]", tables.join(", ")));
    }
    if first.isolation != Isolation::default() {
        lines.push(format!("isolation = {}", text(first.isolation.as_sql())));
    }
    if !first.allow_errors.is_empty() {
        lines.push(format!("allow_errors = {}", texts(&first.allow_errors)));
    }
    if let Some(retry) = &first.retry {
        lines.push(format!("retry = {{ on = {}, max = {} }}", texts(&retry.on), retry.max));
    }
    match &first.program {
        Some(program) => match &**program {
            SessionProgram::Command(program) => lines.extend(program_lines(program)),
            SessionProgram::Request(request) => lines.extend(request_lines(request)),
            SessionProgram::Closure(_) => lines.push(CLOSURE.to_owned()),
        },
        None => {
            lines.push("steps = [".to_owned());
            for (index, one) in first.steps.iter().enumerate() {
                let own = remarks.steps.get(&(first.entry, index));
                lines.extend(own.into_iter().flat_map(|own| comment(own, "  ")));
                lines.push(format!("  {},", step(one)));
            }
            lines.push("]".to_owned());
        }
    }
    lines.join("\n")
}

fn service(service: &Service) -> String {
    let mut lines = vec!["[[service]]".to_owned(), format!("name = {}", text(&service.name))];
    if service.instances != 1 {
        lines.push(format!("instances = {}", service.instances));
    }
    lines.extend(program_lines(&service.program));
    lines.extend(service.ready.iter().map(|ready| format!("ready = {}", text(ready))));
    if service.restart {
        lines.push("restart = \"each run\"".to_owned());
    }
    lines.join("\n")
}

fn request_lines(request: &ServiceRequest) -> Vec<String> {
    let mut keys = vec![format!("service = {}", text(&request.service))];
    keys.extend(request.instance.iter().map(|number| format!("instance = {number}")));
    keys.push(format!("method = {}", text(&request.method)));
    keys.push(format!("path = {}", text(&request.path)));
    if !request.headers.is_empty() {
        keys.push(format!("headers = {}", table_of(&request.headers)));
    }
    match &request.body {
        RequestBody::Nothing => {}
        RequestBody::Json(value) => keys.push(format!("json = {}", inline(value))),
        RequestBody::Text(body) => keys.push(format!("body = {}", text(body))),
    }
    let mut lines = vec![format!("request = {{ {} }}", keys.join(", "))];
    if !request.allow_status.is_empty() {
        lines.push(format!("allow_status = {:?}", request.allow_status));
    }
    lines
}

fn table_of(texts: &BTreeMap<String, String>) -> String {
    let entries: Vec<String> = texts
        .iter()
        .map(|(name, value)| format!("{} = {}", text(name), text(value)))
        .collect();
    format!("{{ {} }}", entries.join(", "))
}

/// A value on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::String(written) => text(written),
        Value::Array(values) => format!("[{}]", values.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Table(table) => {
            let entries = table.iter();
            let entries: Vec<String> = entries
                .map(|(name, value)| format!("{} = {}", text(name), inline(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

fn program_lines(program: &ProgramCommand) -> Vec<String> {
    let mut lines = vec![format!("command = {}", texts(&program.command))];
    lines.extend(
        program
            .stdin
            .iter()
            .map(|stdin| format!("stdin = {}", long_text(stdin))),
    );
    if !program.env.is_empty() {
        lines.push(format!("env = {}", table_of(&program.env)));
    }
    lines.push(format!("cwd = {}", text(&program.cwd.to_string_lossy())));
    if !program.allow_exit.is_empty() {
        lines.push(format!("allow_exit = {:?}", program.allow_exit));
    }
    lines.extend(
        program
            .connections
            .map(|connections| format!("connections = {connections}")),
    );
    lines
}

/// A step that the file did not name is given its name, since among fewer steps it might be numbered differently; a
/// plain `BEGIN` or `COMMIT` needs none.
fn step(step: &Step) -> String {
    let sql = long_text(&step.sql.text);
    let is_bare = matches!(
        step.statement.kind,
        StatementKind::Begin | StatementKind::Commit { .. } | StatementKind::Rollback { .. }
    );
    if is_bare && !step.named && step.when.is_none() && first_word(&step.sql.text).as_ref() == Some(&step.name) {
        return sql;
    }
    let name = text(&step.name);
    match &step.when {
        Some(when) => format!("{{ name = {name}, sql = {sql}, when = {} }}", text(&when.sql.text)),
        None => format!("{{ name = {name}, sql = {sql} }}"),
    }
}

pub(super) fn params(params: &BTreeMap<String, Param>) -> String {
    let entries: Vec<String> = params
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Param::Text(value) => text(value),
                Param::Integer(value) => value.to_string(),
                Param::Numeric(value) => value.clone(),
                Param::Boolean(value) => value.to_string(),
            };
            format!("{name} = {value}")
        })
        .collect();
    match entries.as_slice() {
        [] => "{}".to_owned(),
        entries => format!("{{ {} }}", entries.join(", ")),
    }
}

pub(super) fn texts(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| text(value)).collect();
    format!("[{}]", values.join(", "))
}

/// A string of TOML. What is invisible, or would steer a terminal that shows the file, is escaped.
pub(crate) fn text(value: &str) -> String {
    if !value.chars().any(is_hidden) {
        return Value::String(value.to_owned()).to_string();
    }
    let character = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        _ if is_hidden(c) && u32::from(c) > 0xffff => format!("\\U{:08x}", u32::from(c)),
        _ if is_hidden(c) => format!("\\u{:04x}", u32::from(c)),
        _ => c.to_string(),
    };
    format!("\"{}\"", value.chars().map(character).collect::<String>())
}

/// Text of several lines is written on several lines where that needs no escapes.
pub(super) fn long_text(value: &str) -> String {
    let plain = |c: char| !is_hidden(c) || matches!(c, '\n' | '\t');
    if value.contains('\n') && value.chars().all(plain) && !value.contains("'''") && !value.ends_with('\'') {
        let quotes = if value.contains('\\') || value.contains("\"\"\"") || value.ends_with('"') {
            "'''"
        } else {
            "\"\"\""
        };
        return format!("{quotes}\n{value}{quotes}");
    }
    text(value)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use insta::assert_snapshot;

    use super::*;

    fn read(text: &str) -> Scenario {
        Scenario::from_toml("test", "test.toml", text, Path::new("fixtures")).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Everything but the places in the file.
    fn content(scenario: &Scenario) -> String {
        let sessions: Vec<String> = scenario
            .sessions
            .iter()
            .map(|session| {
                let steps: Vec<_> = session
                    .steps
                    .iter()
                    .map(|step| {
                        (
                            &step.name,
                            &step.sql.text,
                            step.when.as_ref().map(|when| &when.sql.text),
                        )
                    })
                    .collect();
                format!(
                    "{} {:?} {:?} {:?} {:?} {:?} {steps:?}",
                    session.name,
                    session.isolation,
                    session.params,
                    session.allow_errors,
                    session.retry,
                    session.program
                )
            })
            .collect();
        let invariants: Vec<_> = scenario
            .invariants
            .iter()
            .map(|invariant| (&invariant.name, &invariant.sql.text))
            .collect();
        let setup = scenario.setup.as_ref().map(|setup| &setup.text);
        format!(
            "{setup:?} {sessions:#?} {invariants:?} {:?} {:?} {}",
            scenario.deadlock, scenario.ignore, scenario.serializable
        )
    }

    #[test]
    fn programs_are_read_as_the_same_wherever_they_are_written_to() {
        let scenario = read(
            r#"
            prelude = "scheduled"
            setup_command = ["true"]
            setup_database = "shop"
            [[session]]
            name = "import"
            params = [{ id = 1 }, { id = 2 }]
            command = ["php", "import.php", "{id}"]
            stdin = '{"id": {id}}'
            env = { APP_ENV = "test", "A B" = "{id}" }
            cwd = "apps"
            allow_exit = [1, 2]
            "#,
        );
        let text = scenario.to_toml();
        let again = Scenario::from_toml("test", "test.toml", &text, Path::new("elsewhere")).expect("a scenario");
        assert_eq!(content(&again), content(&scenario), "{text}");
        assert!(again.schedules_prelude && again.setup_command.is_some());
        assert_eq!(again.setup_database.as_deref(), Some("shop"));
        let Some(SessionProgram::Command(program)) = again.sessions[1].program.as_deref() else {
            panic!("no program");
        };
        let cwd = &program.cwd;
        assert!(cwd.is_absolute() && cwd.ends_with("fixtures/apps"), "{cwd:?}");
    }

    #[test]
    fn every_fixture_is_read_as_the_same() {
        let files = std::fs::read_dir("fixtures").expect("the fixtures");
        for file in files.map(|entry| entry.expect("a file").path()) {
            if file.extension().is_some_and(|extension| extension == "toml") {
                let scenario = Scenario::from_file(&file).unwrap_or_else(|error| panic!("{error}"));
                let text = scenario.to_toml();
                assert_eq!(content(&read(&text)), content(&scenario), "{}\n{text}", file.display());
            }
        }
    }

    #[test]
    fn a_scenario_is_written_as_one_would_write_it() {
        let scenario = read(
            r#"
            deadlock = "allowed"
            ignore = ["t.at"]
            setup = "CREATE TABLE t (id integer, at timestamptz)"
            [[session]]
            name = "worker"
            params = [{ user = "al'ice", rate = 1.10 }, { user = "bob", ok = true }]
            isolation = "serializable"
            allow_errors = ["23505"]
            retry = { on = ["40001"], max = 3 }
            steps = ["BEGIN", "SELECT 1", { sql = "SELECT '\\\\'\nFROM t", when = ":ok" }, "COMMIT"]
            [[session]]
            name = "reader"
            steps = [{ name = "look", sql = "SELECT \"id\" FROM t" }]
            [[invariant]]
            name = "nothing"
            sql = "SELECT true"
            "#,
        );
        let written = scenario.to_toml();
        assert_eq!(content(&read(&written)), content(&scenario));
        assert_snapshot!(written);
    }
}
