//! What steps returned, and how sessions ended.

use super::{Origin, TxEnd};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepResult {
    Rows {
        columns: Vec<String>,
        /// As text, in the statement's own order where it asks for one, otherwise sorted.
        rows: Vec<Vec<Option<String>>>,
        ordered: bool,
        /// The command tag, such as `SELECT 1`.
        tag: String,
    },
    /// A statement without rows: its command tag, such as `UPDATE 1`.
    Done {
        tag: String,
    },
    Error(StepError),
}

impl StepResult {
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
    pub sqlstate: String,
    pub message: String,
}

/// What a step of a session returned. A transaction that was run again appears once, as it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOutcome {
    pub origin: Origin,
    /// How it ended its transaction.
    pub end: Option<TxEnd>,
    pub result: StepResult,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEnd {
    /// No error ended the session, and its last transaction was not rolled back.
    pub committed: bool,
    /// The error that ended the session.
    pub error: Option<StepError>,
    /// How often it ran a transaction again.
    pub retries: u32,
    /// Its variables at the end, by name, as text.
    pub variables: Vec<(String, Option<String>)>,
}
