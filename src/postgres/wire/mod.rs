//! A connection that shows what a step-wise run needs to see and ordinary clients hide: whether a transaction is open,
//! results as the server prints them together with their types, and messages that arrive while a statement waits.
//!
//! The messages themselves are encoded and decoded by `postgres-protocol`; connection strings are parsed by
//! `tokio-postgres`.

mod cancel;
mod connection;
mod frames;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod incoming;
mod parts;
mod reply;
mod startup;
mod stream;
mod target;
mod wait_report;

pub use cancel::Canceller;
pub use connection::{Connection, ServerEvent, Value};
pub use frames::{Frame, FrameColumn};
pub use parts::{CopyDirection, MessageFields, Part, Rows};
pub use reply::{Column, Notice, Notification, Reply, ResultSet, ServerError, TransactionStatus};
pub(crate) use stream::Stream;

pub use wait_report::WaitReport;

use std::time::Duration;

/// What can go wrong with a connection; an error of a statement is part of its [`Reply`] instead.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("cannot connect to {target}: {source}")]
    Connect { target: String, source: std::io::Error },
    #[error("no answer from {target} within {limit:?} (`connect_timeout` in the connection string changes that)")]
    NoAnswer { target: String, limit: Duration },
    #[error("what listens at {target} does not answer as a PostgreSQL server does: {why}")]
    NotPostgres { target: String, why: String },
    #[error("the connection string names no host")]
    NoHost,
    #[error("the server refused the connection: {0}")]
    Refused(Box<ServerError>),
    #[error("the server asks for {0}, which is not supported")]
    UnsupportedAuthentication(String),
    #[error("the server asks for a password and none is given")]
    PasswordMissing,
    #[error("the connection string asks for TLS (sslmode=require), which is not supported")]
    TlsRequired,
    #[error("authentication failed: {0}")]
    Authentication(std::io::Error),
    #[error("the server closed the connection: {0}")]
    Terminated(Box<ServerError>),
    #[error("the connection was lost: {0}")]
    Lost(std::io::Error),
    #[error("the server sent more than {} MB in one reply", incoming::MOST_IN_REPLY >> 20)]
    TooLarge,
    #[error("the server sent a message that does not belong here: {0}")]
    Protocol(String),
}
