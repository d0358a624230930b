//! Sends requests and assembles replies.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use postgres_protocol::IsNull;
use postgres_protocol::message::{backend::Message, frontend};
use tokio::io::AsyncWriteExt;
use tokio_postgres::config::Config;

use super::parts::Rows;
use super::reply::{self, Notice, Notification, Reply, ResultSet, TransactionStatus};
use super::stream::Stream;
use super::target::Target;
use super::wait_report::WaitReport;
use super::{ServerError, WireError};

/// The server's message with `debug_print_rewritten`. It is never translated.
const PARSE_TREE: &str = "rewritten parse tree:";

/// A connection to one database.
#[derive(Debug)]
pub struct Connection {
    pub(super) target: Target,
    pub(super) stream: Stream,
    pub(super) incoming: BytesMut,
    /// How much more the server may send until the reply is complete.
    pub(super) budget: usize,
    pub(super) outgoing: BytesMut,
    pub(super) backend_pid: i32,
    pub(super) secret_key: i32,
    /// Settings that the server reported at the start.
    pub(super) parameters: Vec<(String, String)>,
    pub(super) transaction: TransactionStatus,
    pub(super) building: Reply,
    pub(super) result: ResultSet,
    /// The rows of the part that is arriving.
    pub(super) rows: Option<Rows>,
}

/// A value to bind, in the server's text format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// 0 lets the server infer the type, as it does for a quoted literal.
    pub type_oid: u32,
    pub text: Option<String>,
}

impl Value {
    /// A value whose type the server chooses.
    pub fn text(text: impl Into<String>) -> Value {
        Value::of_type(0, text)
    }

    pub fn of_type(type_oid: u32, text: impl Into<String>) -> Value {
        Value {
            type_oid,
            text: Some(text.into()),
        }
    }
}

/// What can come from the server while a request is under way.
#[derive(Debug)]
pub enum ServerEvent {
    Reply(Reply),
    /// The session waits for a lock, and its deadlock check has run and found none.
    StillWaiting,
    /// The wait that was logged is over.
    Acquired,
}

impl Connection {
    /// Process number of the session's backend.
    pub fn backend_pid(&self) -> i32 {
        self.backend_pid
    }

    /// Does the first work on a connection within the time that connecting may take.
    ///
    /// # Errors
    /// Those of the work, and when it takes longer.
    pub async fn first_work<T, E: From<WireError>>(
        &mut self,
        config: &Config,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let target = self.target.clone();
        target.in_time(config, work(self)).await
    }

    /// As of the last reply.
    pub fn transaction(&self) -> TransactionStatus {
        self.transaction
    }

    /// Queues a string of one or more statements (the simple query protocol).
    pub fn queue_simple(&mut self, sql: &str) -> Result<(), WireError> {
        frontend::query(sql, &mut self.outgoing).map_err(invalid)
    }

    /// Queues one statement with its values, not yet ended by [`Connection::queue_sync`].
    pub fn queue_statement(&mut self, sql: &str, values: &[Value]) -> Result<(), WireError> {
        self.queue_prepare("", sql, values.iter().map(|value| value.type_oid))?;
        self.queue_execute("", values)
    }

    /// Queues the preparation of a statement that is to be executed by name.
    pub fn queue_prepare(
        &mut self,
        name: &str,
        sql: &str,
        types: impl IntoIterator<Item = u32>,
    ) -> Result<(), WireError> {
        frontend::parse(name, sql, types, &mut self.outgoing).map_err(invalid)
    }

    /// Queues the execution of a prepared statement.
    pub fn queue_execute(&mut self, name: &str, values: &[Value]) -> Result<(), WireError> {
        let buffer = &mut self.outgoing;
        frontend::bind(
            "",
            name,
            [],
            values,
            |value, buffer| match &value.text {
                Some(text) => {
                    buffer.extend_from_slice(text.as_bytes());
                    Ok(IsNull::No)
                }
                None => Ok(IsNull::Yes),
            },
            [],
            buffer,
        )
        .map_err(|error| match error {
            frontend::BindError::Conversion(error) => WireError::Protocol(error.to_string()),
            frontend::BindError::Serialization(error) => invalid(error),
        })?;
        frontend::describe(b'P', "", buffer).map_err(invalid)?;
        frontend::execute("", 0, buffer).map_err(invalid)
    }

    /// Ends a request: the server sends one reply for everything queued since the last.
    pub fn queue_sync(&mut self) {
        frontend::sync(&mut self.outgoing);
    }

    /// Sends what is queued.
    pub async fn flush(&mut self) -> Result<(), WireError> {
        match self.stream.write_all_buf(&mut self.outgoing).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.last_words().await.unwrap_or(WireError::Lost(error))),
        }
    }

    /// What the server said before it hung up, which may still be readable when writing fails.
    async fn last_words(&mut self) -> Option<WireError> {
        loop {
            if let Err(error) = poll_fn(|cx| self.poll_event(cx)).await {
                return Some(error).filter(|error| matches!(error, WireError::Terminated(_)));
            }
        }
    }

    /// Runs a string of one or more statements.
    pub async fn simple(&mut self, sql: &str) -> Result<Reply, WireError> {
        self.queue_simple(sql)?;
        self.flush().await?;
        self.reply().await
    }

    /// Runs one statement with its values.
    pub async fn query(&mut self, sql: &str, values: &[Value]) -> Result<Reply, WireError> {
        self.queue_statement(sql, values)?;
        self.queue_sync();
        self.flush().await?;
        self.reply().await
    }

    /// Parses a statement without running it, for the columns that it would return.
    pub async fn describe(&mut self, sql: &str, types: &[u32]) -> Result<Reply, WireError> {
        self.queue_prepare("", sql, types.iter().copied())?;
        frontend::describe(b'S', "", &mut self.outgoing).map_err(invalid)?;
        self.queue_sync();
        self.flush().await?;
        self.reply().await
    }

    /// Waits for the next reply. Nothing is lost when the future is dropped.
    pub async fn reply(&mut self) -> Result<Reply, WireError> {
        loop {
            if let ServerEvent::Reply(reply) = poll_fn(|cx| self.poll_event(cx)).await? {
                return Ok(reply);
            }
        }
    }

    /// What comes next from the server.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<ServerEvent, WireError>> {
        loop {
            while let Some(message) = self.next_message()? {
                if let Some(event) = self.take_in(message)? {
                    return Poll::Ready(Ok(event));
                }
            }
            ready!(self.poll_read(cx))?;
        }
    }

    fn take_in(&mut self, message: Message) -> Result<Option<ServerEvent>, WireError> {
        match message {
            Message::RowDescription(body) => self.result.columns = Some(reply::columns(&body)?),
            Message::DataRow(body) => {
                let row = reply::row(&body)?;
                self.keep_row(row.len(), self.result.columns.as_ref().map(Vec::len))?;
                self.result.rows.push(row);
            }
            Message::CommandComplete(body) => {
                self.result.tag = body.tag().map_err(invalid)?.to_owned();
                self.end_result();
            }
            Message::EmptyQueryResponse => self.end_result(),
            Message::ErrorResponse(body) => {
                self.result = ResultSet::default();
                let error = reply::error(&body)?;
                // of several errors, the last says why the connection ends
                if self.building.error.is_none() || error.severity == "FATAL" {
                    self.building.error = Some(error);
                }
            }
            Message::NoticeResponse(body) => {
                let ServerError {
                    severity,
                    message,
                    detail,
                    ..
                } = *reply::server_error(body.fields())?;
                if message == PARSE_TREE {
                    self.building.parse_trees.extend(detail);
                } else if severity != "LOG" {
                    self.building.notices.push(Notice { severity, message });
                } else if let Some(report) = WaitReport::of(&message) {
                    return Ok(Some(match report {
                        WaitReport::StillWaiting => ServerEvent::StillWaiting,
                        WaitReport::Acquired => ServerEvent::Acquired,
                    }));
                }
            }
            Message::NotificationResponse(body) => self.building.notifications.push(Notification {
                process_id: body.process_id(),
                channel: body.channel().map_err(invalid)?.to_owned(),
                payload: body.message().map_err(invalid)?.to_owned(),
            }),
            // a scenario with it is refused when it is read, and a function cannot start one
            Message::CopyInResponse(_) => return Err(WireError::Protocol("a request for COPY data".into())),
            Message::ReadyForQuery(body) => {
                if self.result.columns.is_some() {
                    // a description without an execution
                    self.end_result();
                }
                self.transaction = TransactionStatus::from_byte(body.status())?;
                let mut reply = std::mem::take(&mut self.building);
                reply.transaction = self.transaction;
                return Ok(Some(ServerEvent::Reply(reply)));
            }
            Message::ParseComplete
            | Message::BindComplete
            | Message::CloseComplete
            | Message::NoData
            | Message::ParameterDescription(_)
            | Message::ParameterStatus(_)
            | Message::PortalSuspended
            | Message::CopyOutResponse(_)
            | Message::CopyData(_)
            | Message::CopyDone => {}
            _ => return Err(WireError::Protocol("in a reply".into())),
        }
        Ok(None)
    }

    fn end_result(&mut self) {
        self.building.results.push(std::mem::take(&mut self.result));
    }
}

pub(super) fn invalid(error: io::Error) -> WireError {
    WireError::Protocol(error.to_string())
}
