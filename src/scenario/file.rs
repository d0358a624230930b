//! Reads a scenario file: TOML, checked as far as possible without a server.

mod program;
mod raw;
mod service;
pub(crate) mod session;
pub(crate) mod sqlstate;
mod steps;
mod toml_string;
pub(crate) mod transactions;
mod variables;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::Spanned;

use crate::scenario::bounded;
use crate::scenario::error::{Mistake, ScenarioError};
use crate::scenario::located::first_line;
use crate::scenario::source::{Placement, Source, SqlText};
use crate::scenario::{DeadlockPolicy, IgnoredColumn, Invariant, ProgramCommand, Scenario};
use crate::sql::classify::copies_to_client;
use crate::sql::commands::split;
use crate::sql::lexer::{TokenKind, tokens};
use crate::sql::{Template, commands};
use crate::suggest;
use raw::{RawInvariant, RawScenario, Text};
pub(crate) use sqlstate::concurrency_errors;

impl Scenario {
    /// Reads a file in TOML.
    ///
    /// # Errors
    ///
    /// The first mistake in the file, or a file (this one or its `setup_file`) that cannot be read.
    pub(crate) fn from_toml_file(path: &Path) -> Result<Scenario, ScenarioError> {
        let source_name = path.display().to_string();
        let text = bounded::read_text(path).map_err(|cause| {
            ScenarioError::new(Mistake::Unreadable {
                path: source_name.clone(),
                cause,
            })
        })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let base_dir = path.parent().unwrap_or(Path::new(""));
        Scenario::from_toml(&name, &source_name, &text, base_dir)
    }

    /// Reads a scenario from the text of its file. `source_name` names the text in errors, and `setup_file` is relative
    /// to `base_dir`.
    ///
    /// # Errors
    ///
    /// The first mistake in the text, or a `setup_file` that cannot be read.
    pub fn from_toml(name: &str, source_name: &str, text: &str, base_dir: &Path) -> Result<Scenario, ScenarioError> {
        let document = Document::new(source_name, text);
        let raw: RawScenario = document.parse()?;

        let setup = document.setup(raw.setup, raw.setup_file, base_dir)?;
        let setup_command = raw
            .setup_command
            .map(|command| document.setup_command(&command, base_dir))
            .transpose()?;
        let deadlock = raw
            .deadlock
            .map_or(Ok(DeadlockPolicy::default()), |value| document.deadlock(&value))?;
        let schedules_prelude = raw.prelude.map_or(Ok(false), |value| document.prelude(&value))?;
        let ignore = raw
            .ignore
            .iter()
            .map(|column| document.ignored(column))
            .collect::<Result<_, _>>()?;
        let mut warnings = Vec::new();
        let services = service::read(&document, raw.service, base_dir)?;
        let sessions = session::read(&document, raw.session, &services, base_dir, &mut warnings)?;
        let invariants = document.invariants(raw.invariant)?;
        let mut scenario = Scenario {
            name: name.to_owned(),
            path: None,
            setup_database: raw.setup_database,
            setup,
            setup_command,
            services,
            sessions,
            invariants,
            deadlock,
            schedules_prelude,
            ignore,
            serializable: raw.serializable,
            warnings,
        };
        scenario.warn_if_nothing_must_hold();
        Ok(scenario)
    }
}

/// serde's words, and what TOML calls the same.
const SERDE_WORDS: [(&str, &str); 5] = [
    ("missing field", "missing key"),
    ("type: map", "type: table"),
    ("type: sequence", "type: array"),
    ("expected a sequence", "expected an array"),
    ("expected i64", "expected an integer"),
];

/// The file that is being read.
pub(crate) struct Document {
    pub(crate) source: Arc<Source>,
}

impl Document {
    pub(crate) fn new(name: &str, text: &str) -> Document {
        Document {
            source: Arc::new(Source {
                name: name.to_owned(),
                text: text.to_owned(),
            }),
        }
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, ScenarioError> {
        let deserializer = toml::Deserializer::parse(&self.source.text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            let hint = match error.message() {
                "duplicate key" => "a key is given once; many sessions are many [[session]] tables",
                message if message.contains("string") => {
                    "SQL of several lines goes between \"\"\" and \"\"\", or ''' and '''"
                }
                _ => "the format is TOML: strings are in quotes, table names in brackets",
            };
            self.error(Mistake::Syntax(error.message().to_owned()), span, "here")
                .hint(hint)
        })?;
        T::deserialize(deserializer).map_err(|error| self.shape_error(&error))
    }

    /// Turns serde's message into a mistake. It names the unknown key and the known ones only as text, in backquotes.
    fn shape_error(&self, error: &toml::de::Error) -> ScenarioError {
        let span = error.span().unwrap_or_default();
        let Some(fields) = error.message().strip_prefix("unknown field ") else {
            let message = SERDE_WORDS
                .iter()
                .fold(error.message().to_owned(), |text, (serde, own)| {
                    text.replace(serde, own)
                });
            let hint = if message.starts_with("missing key") {
                "this table cannot do without it"
            } else if message.contains("table, expected an array") {
                "[[session]], [[service]] and [[invariant]] are written with two brackets"
            } else {
                "strings are in quotes, integers and booleans are not, and arrays are in brackets"
            };
            let hint = self.form_hint(&span).unwrap_or_else(|| hint.to_owned());
            return self.error(Mistake::Shape(message), span, "here").hint(hint);
        };
        let mut names = fields.split('`').skip(1).step_by(2);
        let key = names.next().unwrap_or_default();
        let known: Vec<&str> = names.collect();
        let hint = match (
            self.other_kind_hint(&known),
            suggest::one_of(key, known.iter().copied()),
        ) {
            (Some(hint), _) => hint,
            (None, Some(name)) => format!("did you mean `{name}`?"),
            (None, None) => format!("the keys here are {}", known.join(", ")),
        };
        self.error(Mistake::UnknownKey(key.to_owned()), span, "not a key here")
            .hint(hint)
    }

    /// A hint where the file is of the other kind. `known` are the keys of the kind that was expected.
    fn other_kind_hint(&self, known: &[&str]) -> Option<String> {
        let file: toml::Table = self.source.text.parse().ok()?;
        let has = |key: &str| file.contains_key(key);
        let name = &self.source.name;
        if known.contains(&"invariant") && has("order") && has("scenario") {
            Some(format!("this is a pinned schedule: `pgbraid replay {name}`"))
        } else if known.contains(&"order") && (has("session") || has("invariant")) {
            Some(format!("this is a scenario: `pgbraid explore {name}`"))
        } else {
            None
        }
    }

    /// How to write the value of the key before `span`, where it has the wrong type.
    fn form_hint(&self, span: &Range<usize>) -> Option<String> {
        let written = self.source.text.get(span.clone())?;
        let key = self
            .source
            .text
            .get(..span.start)?
            .trim_end()
            .strip_suffix('=')?
            .trim_end();
        let key = key
            .rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
            .next()?;
        let is_string = written.starts_with(['"', '\'']) && !written.contains('\n');
        match key {
            "allow_errors" | "ignore" | "on" | "steps" | "order" | "violates" if is_string => {
                Some(format!("it is an array: `{key} = [{written}]`"))
            }
            "copies" | "max" => Some(format!("it is an integer: `{key} = 2`")),
            "retry" => {
                let max = written.parse::<u32>().unwrap_or(3).max(1);
                Some(format!("it is a table: `retry = {{ on = [\"40001\"], max = {max} }}`"))
            }
            "serializable" | "strict" | "to_end" => Some(format!("it is a boolean, without quotes: `{key} = true`")),
            _ => None,
        }
    }

    /// A mistake at a range of the file's bytes.
    fn error(&self, mistake: Mistake, span: Range<usize>, label: impl Into<String>) -> ScenarioError {
        ScenarioError::new(mistake).at(&self.source, self.first_line(span), label)
    }

    /// The part of a range of the file that is on its first line.
    pub(crate) fn first_line(&self, span: Range<usize>) -> Range<usize> {
        first_line(&self.source.text, span)
    }

    /// A string of the file as SQL that knows its place in the file.
    fn sql(&self, value: &str, span: Range<usize>) -> SqlText {
        let written = self.source.text.get(span.clone()).unwrap_or_default();
        let without_returns = |text: &str| text.replace('\r', "");
        let decoded = toml_string::decode(written, span.start)
            .filter(|decoded| without_returns(&decoded.text) == without_returns(value));
        let (text, offsets) = match decoded {
            Some(decoded) => (decoded.text, decoded.offsets),
            None => (value.to_owned(), vec![span.start; value.len() + 1]),
        };
        SqlText {
            text,
            origin: Some(Placement {
                source: self.source.clone(),
                offsets: offsets.into(),
            }),
        }
    }

    fn setup(
        &self,
        setup: Option<Text>,
        setup_file: Option<Text>,
        base_dir: &Path,
    ) -> Result<Option<SqlText>, ScenarioError> {
        let sql = match (setup, setup_file) {
            (None, None) => return Ok(None),
            (Some(setup), Some(file)) => {
                let error = self
                    .error(Mistake::BothSetups, file.span(), "one too many")
                    .hint("keep one of the two");
                return Err(error.at(&self.source, self.first_line(setup.span()), "the other"));
            }
            (Some(setup), None) => self.sql(setup.get_ref(), setup.span()),
            (None, Some(file)) => {
                let path = base_dir.join(file.get_ref());
                let name = path.display().to_string();
                let text = bounded::read_text(&path).map_err(|cause| {
                    self.error(
                        Mistake::Unreadable {
                            path: name.clone(),
                            cause,
                        },
                        file.span(),
                        "named here",
                    )
                    .hint("`setup_file` is relative to the scenario file")
                })?;
                SqlText::whole(Arc::new(Source { name, text }))
            }
        };
        no_nul(&sql, "the setup")?;
        if let Some(command) = split(&sql.text).iter().find(|command| copies_to_client(command)) {
            let range = command[0].offset..command[command.len() - 1].end();
            return Err(ScenarioError::new(Mistake::CopiesToClient("the setup".to_owned()))
                .at_sql(&sql, range, "here")
                .hint("use INSERT; `pg_dump --inserts` writes a dump that way"));
        }
        Ok(Some(sql))
    }

    fn setup_command(&self, command: &Spanned<Vec<Text>>, base_dir: &Path) -> Result<ProgramCommand, ScenarioError> {
        let example = "`setup_command = [\"python3\", \"manage.py\", \"migrate\"]`";
        program::check_words(self, "`setup_command`", command, example)?;
        Ok(ProgramCommand {
            command: command.get_ref().iter().map(|word| word.get_ref().clone()).collect(),
            cwd: program_folder(base_dir),
            ..ProgramCommand::default()
        })
    }

    fn deadlock(&self, value: &Text) -> Result<DeadlockPolicy, ScenarioError> {
        match value.get_ref().as_str() {
            "fails" => Ok(DeadlockPolicy::Fails),
            "allowed" => Ok(DeadlockPolicy::Allowed),
            other => Err(self
                .error(Mistake::UnknownDeadlockPolicy(other.to_owned()), value.span(), "here")
                .hint(suggest::word(other, ["fails", "allowed"]))),
        }
    }

    fn prelude(&self, value: &Text) -> Result<bool, ScenarioError> {
        match value.get_ref().as_str() {
            "passes" => Ok(false),
            "scheduled" => Ok(true),
            other => Err(self
                .error(Mistake::UnknownPrelude(other.to_owned()), value.span(), "here")
                .hint(suggest::word(other, ["passes", "scheduled"]))),
        }
    }

    fn ignored(&self, value: &Text) -> Result<IgnoredColumn, ScenarioError> {
        match value.get_ref().rsplit_once('.') {
            Some((table, column)) if !table.is_empty() && !column.is_empty() => Ok(IgnoredColumn {
                table: table.to_owned(),
                column: column.to_owned(),
            }),
            _ => Err(self
                .error(Mistake::BadIgnore(value.get_ref().clone()), value.span(), "here")
                .hint("write \"table.column\"")),
        }
    }

    fn invariants(&self, raw: Vec<RawInvariant>) -> Result<Vec<Invariant>, ScenarioError> {
        let mut names = Names::new(self, "invariant");
        let mut invariants = Vec::new();
        for RawInvariant { name, sql } in raw {
            names.add(name.get_ref(), name.span(), "an invariant")?;
            let what = format!("invariant `{}`", name.get_ref());
            let sql = self.sql(sql.get_ref(), sql.span());
            one_statement(&sql, &what)?;
            no_numbered_parameter(&sql, &what)?;
            if let Some(variable) = Template::parse(&sql.text).variables.first() {
                let range = variable.offset..variable.offset + 1 + variable.name.len();
                let hint = "an invariant runs when the sessions are over; what they ended with is in `pgbraid.sessions` \
                            (name, committed, sqlstate, variables jsonb)";
                return Err(ScenarioError::new(Mistake::VariableInInvariant(what))
                    .at_sql(&sql, range, "here")
                    .hint(hint));
            }
            invariants.push(Invariant {
                name: name.into_inner(),
                sql,
            });
        }
        Ok(invariants)
    }
}

/// The folder of a scenario's programs, which is the same wherever the scenario is written to.
fn program_folder(folder: &Path) -> PathBuf {
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    // there is no current folder; the program will not find it either
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// Names that must be unique, and where each of them is given.
struct Names<'a> {
    document: &'a Document,
    what: &'static str,
    taken: BTreeMap<String, Range<usize>>,
}

impl<'a> Names<'a> {
    fn new(document: &'a Document, what: &'static str) -> Self {
        Names {
            document,
            what,
            taken: BTreeMap::new(),
        }
    }

    fn add(&mut self, name: &str, span: Range<usize>, a_what: &'static str) -> Result<(), ScenarioError> {
        if name.trim().is_empty() || name.chars().any(char::is_control) {
            let error = self.document.error(Mistake::BadName(a_what), span, "here");
            return Err(error.hint("a name is one line of text: reports show it"));
        }
        if let Some(first) = self.taken.get(name) {
            let mistake = Mistake::DuplicateName {
                what: self.what,
                name: name.to_owned(),
            };
            let error = self
                .document
                .error(mistake, span, "given again")
                .hint("give it another name");
            return Err(error.at(
                &self.document.source,
                self.document.first_line(first.clone()),
                "first given here",
            ));
        }
        self.taken.insert(name.to_owned(), span);
        Ok(())
    }
}

fn one_statement(sql: &SqlText, what: &str) -> Result<(), ScenarioError> {
    no_nul(sql, what)?;
    let count = commands(&sql.text);
    let what = what.to_owned();
    match count {
        0 => Err(ScenarioError::new(Mistake::Empty(what))
            .at_sql(sql, sql.first_line(), "nothing to run")
            .hint("write SQL here, or leave it out")),
        1 => Ok(()),
        _ => {
            let second = split(&sql.text)
                .get(1)
                .and_then(|command| command.first())
                .map(|token| token.offset..token.end());
            Err(ScenarioError::new(Mistake::SeveralStatements { what, count })
                .at_sql(sql, second.unwrap_or_default(), "the second begins here")
                .hint("one statement each: what runs between two statements is what is explored"))
        }
    }
}

/// PostgreSQL accepts no text with a NUL character.
fn no_nul(sql: &SqlText, what: &str) -> Result<(), ScenarioError> {
    match sql.text.find('\0') {
        None => Ok(()),
        Some(offset) => Err(ScenarioError::new(Mistake::Nul(what.to_owned()))
            .at_sql(sql, offset..offset + 1, "here")
            .hint("PostgreSQL accepts no text that contains one")),
    }
}

fn no_numbered_parameter(sql: &SqlText, what: &str) -> Result<(), ScenarioError> {
    match tokens(&sql.text).find(|token| token.kind == TokenKind::Parameter) {
        None => Ok(()),
        Some(token) => Err(ScenarioError::new(Mistake::NumberedParameter(what.to_owned()))
            .at_sql(sql, token.offset..token.end(), "here")
            .hint("variables have names: `:name`")),
    }
}

#[cfg(test)]
mod tests;
