//! What steps returned, and how sessions ended.

use std::time::Duration;

use super::{Origin, TxEnd};

/// What a step brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepResult {
    /// A statement with rows, though there may be none.
    Rows {
        /// The names of the columns.
        columns: Vec<String>,
        /// As text, in the statement's own order where it asks for one, otherwise sorted.
        rows: Vec<Vec<Option<String>>>,
        /// The statement asks for an order.
        ordered: bool,
        /// The command tag, such as `SELECT 1`.
        tag: String,
    },
    /// A statement without rows: its command tag, such as `UPDATE 1`.
    Done {
        /// The command tag.
        tag: String,
    },
    /// The server refused it.
    Error(StepError),
}

impl StepResult {
    /// A statement's rows, as text; those that come in no order of their own are sorted.
    pub(crate) fn of_rows(
        columns: Vec<String>,
        mut rows: Vec<Vec<Option<String>>>,
        ordered: bool,
        tag: String,
    ) -> StepResult {
        if !ordered {
            rows.sort();
        }
        StepResult::Rows {
            columns,
            rows,
            ordered,
            tag,
        }
    }

    /// The command tag; `None` for an error.
    pub fn tag(&self) -> Option<&str> {
        match self {
            StepResult::Rows { tag, .. } | StepResult::Done { tag } => Some(tag),
            StepResult::Error(_) => None,
        }
    }
}

/// An error of the server, without the numbers of processes, transactions and objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    /// Five characters, such as `23505`.
    pub sqlstate: String,
    /// The message without its severity.
    pub message: String,
}

/// What a step of a session returned. A transaction that was run again appears once, as it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOutcome {
    /// Which step it was.
    pub origin: Origin,
    /// How it ended its transaction.
    pub end: Option<TxEnd>,
    /// What it brought back.
    pub result: StepResult,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// What the system says of it.
    pub fn of(status: std::process::ExitStatus) -> Exit {
        use std::os::unix::process::ExitStatusExt;
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or_default()),
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(formatter, "exit code {code}"),
            Exit::Signal(signal) => write!(formatter, "signal {signal}"),
        }
    }
}

/// What a service has answered to a session's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// As text, and from its beginning only where it is long.
    pub body: String,
}

/// Why a session's request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoAnswer {
    /// The service ended in this way.
    Ended(Exit),
    /// The service closed the connection.
    Closed,
    /// What came is no answer of HTTP's. Holds what is wrong with it.
    Malformed(String),
    /// Nothing came within this time.
    Silent(Duration),
    /// It waits in the database, for a lock that nobody gives back.
    Stuck,
    /// pgbraid ended the service because another of its requests was not answered.
    Stopped,
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoAnswer::Ended(exit) => write!(formatter, "the service ended with {exit}"),
            NoAnswer::Closed => write!(formatter, "the service closed the connection"),
            NoAnswer::Malformed(what) => write!(formatter, "what the service sent is none: {what}"),
            NoAnswer::Silent(limit) => write!(formatter, "nothing came for {limit:?}"),
            NoAnswer::Stuck => write!(formatter, "it waits for a lock that no session gives back"),
            NoAnswer::Stopped => write!(formatter, "the service was ended because another request got no answer"),
        }
    }
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEnd {
    /// No error ended the session, and its last transaction was not rolled back.
    pub committed: bool,
    /// The error that ended the session.
    pub error: Option<StepError>,
    /// How often it ran a transaction again.
    pub retries: u32,
    /// How its program ended; `None` where it is none, or has not ended.
    pub exit: Option<Exit>,
    /// What a service has answered, or why it has not; `None` where the session is no request, or has not ended.
    pub answer: Option<Result<Answer, NoAnswer>>,
    /// Its variables at the end, by name, as text.
    pub variables: Vec<(String, Option<String>)>,
}
