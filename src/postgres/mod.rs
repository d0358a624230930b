//! The server to run on, scratch databases and their reset, and who waits for whom.

pub mod baseline;
pub mod catalog;
mod copied;
pub mod embedded;
pub mod fingerprint;
pub mod host;
pub mod locks;
pub mod node_tree;
pub mod prepared;
pub mod scratch;
pub mod server;
pub mod shared_state;
pub mod suspend;
pub(crate) mod type_oid;
pub mod wire;

pub use server::Server;

use wire::{Reply, ResultSet, WireError};

/// What can go wrong between pgbraid and the server. This does not include a failing statement of a session: that is a
/// result.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A query of pgbraid's own failed.
    #[error("{doing} failed: {error}")]
    Query {
        doing: &'static str,
        error: Box<wire::ServerError>,
    },
    #[error("the connection string is not valid: {0}")]
    ConnectionString(tokio_postgres::Error),
    #[error("PostgreSQL {version} is too old: pgbraid needs {} or later", server::OLDEST_MAJOR)]
    TooOld { version: String },
    #[error("a connection pooler, such as pgbouncer, stands between pgbraid and the server")]
    Pooler,
    #[error("dropping the scratch databases took longer than {0:?}")]
    TidyingTooLong(std::time::Duration),
    #[error("stopping or continuing a backend failed: {0}")]
    Signal(nix::errno::Errno),
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";

impl PostgresError {
    /// Whether the server's user lacks the right to create databases.
    pub fn may_not_create_databases(&self) -> bool {
        matches!(self, PostgresError::Query { doing: scratch::CREATING, error } if error.sqlstate == INSUFFICIENT_PRIVILEGE)
    }
}

/// The last result of a query of pgbraid's own.
pub(crate) fn expect(reply: Reply, doing: &'static str) -> Result<ResultSet, PostgresError> {
    reply
        .into_result()
        .map_err(|error| PostgresError::Query { doing, error })
}

/// A name as SQL writes it.
pub(crate) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it (`standard_conforming_strings` is on in all of pgbraid's sessions).
pub(crate) fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
