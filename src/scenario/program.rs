//! A session that is a program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::scenario::{Closure, Param, ServiceRequest};

/// What a session is, where it has no steps of its own.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionProgram {
    /// A program that is started for each run.
    Command(ProgramCommand),
    /// A request to a service.
    Request(ServiceRequest),
    /// A closure of this process, called for each run.
    Closure(Closure),
}

impl SessionProgram {
    /// How many of its connections are sessions of their own; `None` where it is one session.
    pub fn connections(&self) -> Option<usize> {
        match self {
            SessionProgram::Command(program) => program.connections,
            SessionProgram::Request(_) | SessionProgram::Closure(_) => None,
        }
    }

    /// All texts in which `{name}` may stand for a parameter.
    pub fn texts(&self) -> Vec<&String> {
        match self {
            SessionProgram::Command(program) => program.texts().collect(),
            SessionProgram::Request(request) => request.texts(),
            SessionProgram::Closure(_) => Vec::new(),
        }
    }
}

/// A program that is run as a session: what is started, and what it is given. `{name}` stands for a parameter of the
/// session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProgramCommand {
    /// The program and its arguments; never empty.
    pub command: Vec<String>,
    /// What it reads.
    pub stdin: Option<String>,
    /// Environment variables, beside those that pgbraid itself has.
    pub env: BTreeMap<String, String>,
    /// The folder that it runs in.
    pub cwd: PathBuf,
    /// Exit codes, beside 0, that do not fail a schedule.
    pub allow_exit: Vec<i32>,
    /// How many of its connections are sessions of their own; `None` where the program is one session, whatever it opens.
    pub connections: Option<usize>,
}

impl ProgramCommand {
    /// The same for a copy, with the values of its parameters in place of their names.
    pub fn filled(&self, params: &BTreeMap<String, Param>) -> ProgramCommand {
        let fill = |text: &String| fill(text, params);
        ProgramCommand {
            command: self.command.iter().map(fill).collect(),
            stdin: self.stdin.as_ref().map(fill),
            env: self
                .env
                .iter()
                .map(|(name, value)| (name.clone(), fill(value)))
                .collect(),
            cwd: self.cwd.clone(),
            allow_exit: self.allow_exit.clone(),
            connections: self.connections,
        }
    }

    /// All texts in which `{name}` may stand for a parameter.
    pub fn texts(&self) -> impl Iterator<Item = &String> {
        self.command.iter().chain(&self.stdin).chain(self.env.values())
    }
}

/// The names in braces that a text holds: `{id}` holds `id`. Anything else in braces stands for itself.
pub fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        is_name(name).then_some(name)
    })
}

/// The name in braces that a text consists of.
pub(super) fn sole_placeholder(text: &str) -> Option<&str> {
    let name = text.strip_prefix('{')?.strip_suffix('}')?;
    is_name(name).then_some(name)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub(super) fn fill(text: &str, params: &BTreeMap<String, Param>) -> String {
    let mut pieces = text.split('{');
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let value = piece
            .split_once('}')
            .and_then(|(name, rest)| Some((params.get(name)?, rest)));
        match value {
            Some((value, rest)) => {
                filled += &plain(value);
                filled += rest;
            }
            None => {
                filled.push('{');
                filled += piece;
            }
        }
    }
    filled
}

fn plain(value: &Param) -> String {
    match value {
        Param::Text(text) | Param::Numeric(text) => text.clone(),
        Param::Integer(number) => number.to_string(),
        Param::Boolean(truth) => truth.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_braces_are_parameters_and_json_stays_as_it_is() {
        let params = BTreeMap::from([("id".to_owned(), Param::Integer(7))]);
        assert_eq!(
            fill(r#"{"id": {id}, "name": "{name}"}"#, &params),
            r#"{"id": 7, "name": "{name}"}"#
        );
        let found: Vec<&str> = placeholders(r#"{"id": {id}, "n": "{name}", "x": { a }}"#).collect();
        assert_eq!(found, ["id", "name"]);
    }
}
