//! What a program sent and was told, with the values as they came.

use super::link::Link;
use super::told::{Told, ToldResult};
use super::{Held, naming};
use crate::postgres::quote_literal;
use crate::postgres::wire::Value;
use crate::proxy::{Asked, Login, Request, readable};
use crate::run::driver::Action;
use crate::sql::commands::split;
use crate::sql::{Isolation, StatementKind};

/// A request of a program's, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The backend of the connection.
    pub backend: i32,
    /// Settings that the connection has had from the start, as statements.
    pub opening: Vec<String>,
    /// Whether it was a turn, and of which kind.
    pub kind: ExchangeKind,
    /// The step's name in the timeline; empty where it was no turn.
    pub name: String,
    /// The BEGIN of its transaction, where it is the first in it.
    pub begin: Option<String>,
    /// The level of its transaction, where it opens one.
    pub isolation: Option<Isolation>,
    /// What it asked for, in order; empty for what only prepares a statement.
    pub statements: Vec<Said>,
    /// The SQLSTATE of its error.
    pub sqlstate: Option<String>,
    /// The program held a lock on a file.
    pub locks_file: bool,
}

/// What an exchange was in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeKind {
    /// It was no turn. Of what only reads, nothing is kept.
    Passed,
    /// A turn.
    Step,
    /// A turn outside a transaction, whose commit is a turn of its own.
    Autocommitted,
    /// The commit of what was autocommitted.
    Commit,
    /// A ROLLBACK after the client has hung up.
    Rollback,
    /// The end of a connection that held advisory locks.
    Disconnect,
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What it is called; empty where it was no turn.
    pub name: String,
    /// With `$1`, `$2`, … for its values.
    pub sql: String,
    /// The type is 0 where neither side has named it.
    pub values: Vec<Value>,
    /// A value was in a binary format that is not understood.
    pub opaque: bool,
    /// `None` where it failed, or was not run.
    pub reply: Option<Answered>,
}

/// What a statement returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Names and types of the columns; `None` for a statement without rows.
    pub columns: Option<Vec<(String, u32)>>,
    pub rows: usize,
    /// The row, where there is exactly one.
    pub row: Option<Vec<Option<String>>>,
}

impl Exchange {
    /// What went to the server at once, where a script may need it.
    pub fn passed(link: &Link, commands: &[(StatementKind, String)], told: &Told) -> Exchange {
        let needed = commands.iter().filter(|(kind, _)| *kind != StatementKind::Plain);
        let said = |(_, sql): &(StatementKind, String)| Said {
            name: String::new(),
            sql: sql.clone(),
            values: Vec::new(),
            opaque: false,
            reply: None,
        };
        Exchange {
            kind: ExchangeKind::Passed,
            begin: link.begun.clone().filter(|_| link.fresh),
            statements: needed.map(said).collect(),
            ..Exchange::of(link, told)
        }
    }

    pub(super) fn turn(link: &Link, held: &Held, told: &Told) -> Exchange {
        let kind = match held.action {
            Action::Statement => ExchangeKind::Step,
            Action::Autocommitted => ExchangeKind::Autocommitted,
            Action::Commit => ExchangeKind::Commit,
            Action::Rollback => ExchangeKind::Rollback,
            Action::Disconnect => ExchangeKind::Disconnect,
        };
        // a commit of pgbraid's own holds the request that it ends
        let own = held
            .request
            .as_ref()
            .filter(|_| matches!(kind, ExchangeKind::Step | ExchangeKind::Autocommitted));
        Exchange {
            kind,
            name: held.pending.name.clone(),
            begin: held.pending.begin.clone(),
            locks_file: held.locks_file,
            statements: own.map(|(request, _)| statements(request, told)).unwrap_or_default(),
            ..Exchange::of(link, told)
        }
    }

    fn of(link: &Link, told: &Told) -> Exchange {
        Exchange {
            backend: link.server.backend_pid(),
            opening: link.opening(),
            kind: ExchangeKind::Passed,
            name: String::new(),
            begin: None,
            isolation: None,
            statements: Vec::new(),
            sqlstate: told.error.as_ref().map(|error| error.sqlstate.clone()),
            locks_file: false,
        }
    }
}

/// What a client's login sets, as statements.
pub fn opening(login: &Login) -> Vec<String> {
    let mut settings: Vec<(&str, &str)> = Vec::new();
    for (name, value) in &login.parameters {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            // -c name=value, and --name=value
            "options" => {
                let words = value.split_whitespace().map(|word| word.trim_start_matches("-c"));
                settings.extend(words.filter_map(|word| word.trim_start_matches("--").split_once('=')));
            }
            name => settings.push((name, value)),
        }
    }
    let set = |(name, value): (&str, &str)| {
        let name = name.replace('-', "_");
        let is_list = name == "search_path" && value.chars().all(|c| c.is_alphanumeric() || "_, \"".contains(c));
        match is_list {
            true => format!("SET {name} = {value}"),
            false => format!("SET {name} = {}", quote_literal(value)),
        }
    };
    settings.into_iter().map(set).collect()
}

fn statements(request: &Request, told: &Told) -> Vec<Said> {
    let mut found = Vec::new();
    for asked in &request.statements {
        for command in split(&asked.sql) {
            let (Some(first), Some(last)) = (command.first(), command.last()) else {
                continue;
            };
            let values: Vec<(Value, bool)> = (0..asked.values.len()).map(|index| value(asked, index)).collect();
            let sql = &asked.sql[first.offset..last.end()];
            found.push(Said {
                name: naming::name(sql),
                sql: sql.to_owned(),
                opaque: values.iter().any(|(_, opaque)| *opaque),
                values: values.into_iter().map(|(value, _)| value).collect(),
                reply: told.results.get(found.len()).map(|result| reply(asked, result)),
            });
        }
    }
    found
}

/// A parameter's value as text, and whether it could not be read.
fn value(asked: &Asked, index: usize) -> (Value, bool) {
    const BYTEA: u32 = 17;
    let type_oid = asked.types.get(index).copied().unwrap_or_default();
    let bound = asked.values[index].as_ref();
    let text = bound.map(|bound| readable(type_oid, bound.binary, &bound.bytes));
    let is_read = |text: &String| type_oid == BYTEA || !text.starts_with("\\x");
    let opaque = bound.is_some_and(|bound| bound.binary) && !text.as_ref().is_none_or(is_read);
    (Value { type_oid, text }, opaque)
}

fn reply(asked: &Asked, result: &ToldResult) -> Answered {
    let columns = result.columns.as_deref().or(asked.columns.as_deref());
    let row = match (columns, result.rows.as_slice()) {
        (Some(columns), [row]) => {
            let cells = columns.iter().zip(row).map(|(column, value)| {
                let bytes = value.as_ref()?;
                Some(readable(column.column.type_oid, column.binary, bytes))
            });
            Some(cells.collect())
        }
        _ => None,
    };
    let name = |column: &crate::postgres::wire::FrameColumn| (column.column.name.clone(), column.column.type_oid);
    Answered {
        columns: columns.map(|columns| columns.iter().map(name).collect()),
        rows: result.rows.len(),
        row,
    }
}
