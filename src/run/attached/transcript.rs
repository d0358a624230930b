//! What a program sent and was told, with the values as they came.

use super::told::{Told, ToldResult};
use crate::postgres::wire::Value;
use crate::proxy::{Asked, Request, readable};
use crate::run::driver::Action;
use crate::sql::commands::split;

/// A request of a program's, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The backend of the connection.
    pub backend: i32,
    /// Whether it was a turn, and of which kind.
    pub part: Part,
    /// What it asked for, in order; empty for what only prepares a statement.
    pub statements: Vec<Said>,
    /// The SQLSTATE of its error.
    pub sqlstate: Option<String>,
}

/// An exchange's part in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It was no turn.
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
    /// A BEGIN that was answered by pgbraid.
    pub fn begun(backend: i32, sql: &str) -> Exchange {
        Exchange {
            backend,
            part: Part::Passed,
            statements: vec![Said {
                sql: sql.to_owned(),
                values: Vec::new(),
                opaque: false,
                reply: None,
            }],
            sqlstate: None,
        }
    }

    pub fn passed(backend: i32, request: &Request, told: &Told) -> Exchange {
        Exchange {
            backend,
            part: Part::Passed,
            statements: statements(request, told),
            sqlstate: told.error.as_ref().map(|error| error.sqlstate.clone()),
        }
    }

    pub fn turn(backend: i32, action: Action, request: Option<&Request>, told: &Told) -> Exchange {
        let part = match action {
            Action::Statement => Part::Step,
            Action::Autocommitted => Part::Autocommitted,
            Action::Commit => Part::Commit,
            Action::Rollback => Part::Rollback,
            Action::Disconnect => Part::Disconnect,
        };
        // a commit of pgbraid's own holds the request that it ends
        let own = request.filter(|_| matches!(part, Part::Step | Part::Autocommitted));
        Exchange {
            part,
            statements: own.map(|request| statements(request, told)).unwrap_or_default(),
            ..Exchange::passed(backend, &Request::default(), told)
        }
    }
}

fn statements(request: &Request, told: &Told) -> Vec<Said> {
    let mut found = Vec::new();
    for asked in &request.statements {
        for command in split(&asked.sql) {
            let (Some(first), Some(last)) = (command.first(), command.last()) else {
                continue;
            };
            let values: Vec<(Value, bool)> = (0..asked.values.len()).map(|index| value(asked, index)).collect();
            found.push(Said {
                sql: asked.sql[first.offset..last.end()].to_owned(),
                opaque: values.iter().any(|(_, opaque)| *opaque),
                values: values.into_iter().map(|(value, _)| value).collect(),
                reply: told.results.get(found.len()).map(reply),
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

fn reply(result: &ToldResult) -> Answered {
    let columns = result.columns.as_deref();
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
