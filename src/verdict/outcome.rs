//! What a history amounts to.

/// The final content of one table, columns in their order in the table, rows sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableContent {
    /// Qualified where its schema is not `public`.
    pub name: String,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
}

/// Why a schedule fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// An invariant was not true.
    Invariant {
        name: String,
        sql: String,
        /// What it returned: column names and rows as text.
        columns: Vec<String>,
        rows: Vec<Vec<Option<String>>>,
    },
    /// An invariant could not be evaluated in the final state.
    InvariantError {
        name: String,
        sqlstate: String,
        message: String,
    },
    /// An error ended a session that does not allow it.
    Error {
        session: String,
        step: String,
        sqlstate: String,
        message: String,
    },
    /// Sessions waited for each other, and the scenario does not allow it.
    Deadlock { sessions: Vec<String> },
}
