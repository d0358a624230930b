//! What the server answers.

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, ErrorFields, ErrorResponseBody, RowDescriptionBody};

use super::WireError;

/// Whether a session is in a transaction, as the server says after each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransactionStatus {
    #[default]
    Idle,
    Open,
    /// An error has aborted the transaction; only ROLLBACK is accepted.
    Aborted,
}

impl TransactionStatus {
    pub(super) fn from_byte(byte: u8) -> Result<TransactionStatus, WireError> {
        match byte {
            b'I' => Ok(TransactionStatus::Idle),
            b'T' => Ok(TransactionStatus::Open),
            b'E' => Ok(TransactionStatus::Aborted),
            other => Err(WireError::Protocol(format!("transaction status {other:#x}"))),
        }
    }
}

/// Everything that one request brought back.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// One for each statement that was completed.
    pub results: Vec<ResultSet>,
    /// The error that ended the request early.
    pub error: Option<Box<ServerError>>,
    pub notices: Vec<Notice>,
    /// What `debug_print_rewritten` sends, one for each statement that was analysed.
    pub parse_trees: Vec<String>,
    pub notifications: Vec<Notification>,
    pub transaction: TransactionStatus,
}

impl Reply {
    /// The last statement's result, or the error.
    pub fn into_result(mut self) -> Result<ResultSet, Box<ServerError>> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.results.pop().unwrap_or_default()),
        }
    }
}

/// One statement's result; values are in the server's text format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultSet {
    /// `None` for a statement that by its nature returns no rows.
    pub columns: Option<Vec<Column>>,
    pub rows: Vec<Vec<Option<String>>>,
    /// Command tag, such as `UPDATE 1`; empty for an empty query.
    pub tag: String,
}

impl ResultSet {
    /// The value in the first row and column.
    pub fn scalar(&self) -> Option<&str> {
        self.rows.first()?.first()?.as_deref()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub type_oid: u32,
    /// The table that the column comes from and its number there; 0 for an expression.
    pub table_oid: u32,
    pub attribute: i16,
}

pub(super) fn columns(body: &RowDescriptionBody) -> Result<Vec<Column>, WireError> {
    body.fields()
        .map(|field| {
            Ok(Column {
                name: field.name().to_owned(),
                type_oid: field.type_oid(),
                table_oid: field.table_oid(),
                attribute: field.column_id(),
            })
        })
        .collect()
        .map_err(|error| WireError::Protocol(error.to_string()))
}

pub(super) fn row(body: &DataRowBody) -> Result<Vec<Option<String>>, WireError> {
    let buffer = body.buffer();
    body.ranges()
        .map(|range| Ok(range.map(|range| String::from_utf8_lossy(&buffer[range]).into_owned())))
        .collect()
        .map_err(|error| WireError::Protocol(error.to_string()))
}

/// An error as the server reports it.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
#[error("{sqlstate} {message}")]
pub struct ServerError {
    pub severity: String,
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Where in the query it is, 1-based, in characters.
    pub position: Option<u32>,
}

/// A message that is not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub severity: String,
    pub message: String,
}

/// A NOTIFY on a channel that the session listens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    pub process_id: i32,
    pub channel: String,
    pub payload: String,
}

/// Every error has an SQLSTATE.
pub(super) fn error(body: &ErrorResponseBody) -> Result<Box<ServerError>, WireError> {
    let error = server_error(body.fields())?;
    match error.sqlstate.is_empty() {
        true => Err(WireError::Protocol("an error without an SQLSTATE".into())),
        false => Ok(error),
    }
}

pub(super) fn server_error(mut fields: ErrorFields<'_>) -> Result<Box<ServerError>, WireError> {
    let mut error = ServerError::default();
    while let Some(field) = fields.next().map_err(|error| WireError::Protocol(error.to_string()))? {
        let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'S' if error.severity.is_empty() => error.severity = value,
            // the severity that is never translated
            b'V' => error.severity = value,
            b'C' => error.sqlstate = value,
            b'M' => error.message = value,
            b'D' => error.detail = Some(value),
            b'H' => error.hint = Some(value),
            b'P' => error.position = value.parse().ok(),
            _ => {}
        }
    }
    Ok(Box::new(error))
}
