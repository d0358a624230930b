//! What has to be known of a statement before the server sees it.

pub(crate) mod classify;
pub(crate) mod commands;
mod isolation;
pub(crate) mod lexer;
mod template;
pub(crate) mod words;

pub use commands::commands;
pub use isolation::{Isolation, isolation_named};

/// A statement with `:name` replaced by `$1`, `$2`, …
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Text to send, with `$n` in place of the variables.
    pub text: String,
    /// The variable behind each `$n`, in order; a variable used twice has one number.
    pub variables: Vec<Placeholder>,
    /// The pieces between the placeholders, to fill values in for reading.
    pub pieces: Vec<Piece>,
}

/// A variable and where it is first used (byte offset in the SQL, of the colon).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    pub name: String,
    pub offset: usize,
}

impl Placeholder {
    /// The bytes of the SQL that it takes, colon included.
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + 1 + self.name.len()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// Index into [`Template::variables`].
    Variable(usize),
}

/// What kind of statement a step is, as far as scheduling needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub kind: StatementKind,
    /// It asks for its rows in an order (ORDER BY at the top level).
    pub ordered: bool,
    /// It changes the schema, or may do so; putting rows back then does not undo a run.
    pub changes_schema: bool,
    /// It takes some of the rows without saying which (LIMIT, OFFSET, FETCH FIRST or DISTINCT ON without ORDER BY).
    pub arbitrary_rows: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementKind {
    /// BEGIN, START TRANSACTION
    Begin,
    /// COMMIT, END; `chain`: AND CHAIN
    Commit {
        chain: bool,
    },
    /// ROLLBACK, ABORT (not ROLLBACK TO); `chain`: AND CHAIN
    Rollback {
        chain: bool,
    },
    Savepoint,
    RollbackTo,
    Release,
    /// PREPARE TRANSACTION
    PrepareTransaction,
    /// SET, RESET, SHOW: takes no snapshot and touches no table
    Setting,
    /// A statement that Postgres refuses in a transaction block (VACUUM, CREATE INDEX CONCURRENTLY, …)
    OutsideBlock,
    /// Anything else: runs in a transaction block
    Plain,
}

impl StatementKind {
    /// Whether another transaction begins as it ends one.
    pub fn chains(self) -> bool {
        matches!(
            self,
            StatementKind::Commit { chain: true } | StatementKind::Rollback { chain: true }
        )
    }
}
