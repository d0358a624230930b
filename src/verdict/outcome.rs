//! What a history amounts to.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::history::{Exit, NoAnswer, SessionEnd, StepOutcome, StepResult};
use crate::scenario::Scenario;
use crate::verdict::serializability::Difference;

/// Hexadecimal digits of an outcome's id.
const ID_LENGTH: usize = 12;

/// What an application can rely on after one run: every step's result or SQLSTATE, and the final content of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The same for the same outcome, whatever the strategy, the run or the machine: the first digits of a SHA-256 of
    /// everything else.
    pub id: String,
    /// What is in the tables at the end.
    pub tables: Vec<TableContent>,
}

impl Outcome {
    /// `results` holds, for each session, the steps that count.
    pub fn new(
        scenario: &Scenario,
        results: &[Vec<StepOutcome>],
        ends: &[SessionEnd],
        tables: Vec<TableContent>,
    ) -> Outcome {
        let mut text = String::new();
        for ((session, results), end) in scenario.sessions.iter().zip(results).zip(ends) {
            write_value(&mut text, "session", &session.name);
            for StepOutcome { origin, result, .. } in results {
                write_value(&mut text, "step", &origin.step().to_string());
                write_value(&mut text, "role", origin.name());
                write_result(&mut text, result);
            }
            write_value(
                &mut text,
                "end",
                end.error.as_ref().map_or("ok", |error| &error.sqlstate),
            );
            if let Some(exit) = end.exit {
                write_value(&mut text, "exit", &exit.to_string());
            }
            if let Some(answer) = &end.answer {
                let status = answer.as_ref().ok().map(|answer| answer.status.to_string());
                write_value(&mut text, "status", status.as_deref().unwrap_or("none"));
            }
        }
        tables.iter().for_each(|table| write_table(&mut text, table));
        let mut id = digest(&text);
        id.truncate(ID_LENGTH);
        Outcome { id, tables }
    }
}

/// SHA-256 in hexadecimal digits.
pub fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut digits = String::with_capacity(2 * digest.len());
    for byte in digest.iter() {
        // writing to a String cannot fail
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// Writes a tag, the length and the value, so that different outcomes are written differently.
pub(super) fn write_value(text: &mut String, tag: &str, value: &str) {
    let _ = writeln!(text, "{tag} {} {value}", value.len());
}

pub(super) fn write_result(text: &mut String, result: &StepResult) {
    match result {
        StepResult::Rows { columns, rows, tag, .. } => {
            write_value(text, "tag", tag);
            write_rows(text, columns, rows);
        }
        StepResult::Done { tag } => write_value(text, "tag", tag),
        StepResult::Error(error) => write_value(text, "error", &error.sqlstate),
    }
}

/// Writes a table's content.
pub fn write_table(text: &mut String, table: &TableContent) {
    write_value(text, "table", &table.name);
    write_rows(text, &table.columns, &table.rows);
}

fn write_rows(text: &mut String, columns: &[String], rows: &[Vec<Option<String>>]) {
    for column in columns {
        write_value(text, "column", column);
    }
    for row in rows {
        write_value(text, "row", &row.len().to_string());
        for value in row {
            match value {
                Some(value) => write_value(text, "value", value),
                None => write_value(text, "null", ""),
            }
        }
    }
}

/// The final content of one table, columns in their order in the table, rows sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableContent {
    /// Qualified where its schema is not `public`.
    pub name: String,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows as text, in an order that does not depend on the run.
    pub rows: Vec<Vec<Option<String>>>,
}

/// Why a schedule fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// An invariant was not true.
    Invariant {
        /// Its name.
        name: String,
        /// Its query.
        sql: String,
        /// What it returned: column names and rows as text.
        columns: Vec<String>,
        /// The rows as text.
        rows: Vec<Vec<Option<String>>>,
    },
    /// An invariant could not be evaluated in the final state.
    InvariantError {
        /// Its name.
        name: String,
        /// Five characters, such as `42P01`.
        sqlstate: String,
        /// What the server said.
        message: String,
    },
    /// An error ended a session that does not allow it.
    Error {
        /// The session by its name.
        session: String,
        /// The step by its name.
        step: String,
        /// Five characters, such as `23505`.
        sqlstate: String,
        /// What the server said.
        message: String,
    },
    /// A program ended in a way that its session does not allow.
    Exit {
        /// The session's name.
        session: String,
        /// How the program ended.
        exit: Exit,
    },
    /// A service answered with a status that the session does not allow.
    Status {
        /// The session's name.
        session: String,
        /// The HTTP status.
        status: u16,
    },
    /// A service did not answer a request.
    NoAnswer {
        /// The session's name.
        session: String,
        /// Why it did not.
        cause: NoAnswer,
    },
    /// Sessions waited for each other, and the scenario does not allow it.
    Deadlock {
        /// Their names.
        sessions: Vec<String>,
    },
    /// No serial order of the committed transactions has this outcome.
    NotSerializable {
        /// With how many serial orders it was compared, beside those that ended at the first step that differed.
        orders: usize,
        /// The session of each transaction, in the serial order with the most similar outcome.
        nearest: Vec<String>,
        /// Where the outcome of that order differs.
        differences: Vec<Difference>,
    },
}

impl Violation {
    /// Its name in tables and in JSON.
    pub fn name(&self) -> String {
        match self {
            Violation::Invariant { name, .. } | Violation::InvariantError { name, .. } => name.clone(),
            Violation::Error { session, sqlstate, .. } => format!("error {sqlstate} in {session}"),
            Violation::Exit { session, exit } => format!("{exit} of {session}"),
            Violation::Status { session, status } => format!("status {status} of {session}"),
            Violation::NoAnswer { session, .. } => format!("no answer to {session}"),
            Violation::Deadlock { .. } => "deadlock".to_owned(),
            Violation::NotSerializable { .. } => "not serializable".to_owned(),
        }
    }
}
