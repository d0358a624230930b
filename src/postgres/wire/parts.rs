//! The parts of a reply as they arrive, for a client that needs to know when each of them came.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, ErrorFields, Message};
use postgres_protocol::message::frontend;
use tokio::io::AsyncWriteExt;

use super::connection::invalid;
use super::reply::Notification;
use super::{Connection, TransactionStatus, WireError};

/// What the server sends in a reply to a simple query, or between two replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A statement that returns no rows, or an empty query.
    Command {
        tag: String,
    },
    /// A statement that returns rows.
    Rows(Rows),
    Error(MessageFields),
    Notice(MessageFields),
    Notification(Notification),
    /// The server asks for rows of COPY, or sends them.
    Copy(CopyDirection),
    /// The reply is complete, and the session takes the next query.
    Ready,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyDirection {
    In,
    Out,
}

/// Rows as the server sent them: text in the encoding of the client, not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<Bytes>>>,
}

/// The fields of an error or a notice that a client shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageFields {
    /// Translated, if the server's messages are.
    pub severity: String,
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    pub context: Option<String>,
    /// Where in the query it is, 1-based, in characters.
    pub position: Option<usize>,
    /// A query that the server itself ran, and the position in it.
    pub internal_query: Option<String>,
    pub internal_position: Option<usize>,
}

impl Connection {
    /// Sends a string of one or more statements, to be answered in parts. If the connection is lost, reading reports
    /// it: what the server said before can still be read.
    pub async fn send_simple(&mut self, sql: &str) -> Result<(), WireError> {
        frontend::query(sql, &mut self.outgoing).map_err(invalid)?;
        if self.stream.write_all_buf(&mut self.outgoing).await.is_err() {
            self.outgoing.clear();
        }
        Ok(())
    }

    /// Waits for the next part of a reply. Nothing is lost when the future is dropped.
    pub async fn part(&mut self) -> Result<Part, WireError> {
        poll_fn(|cx| self.poll_part(cx)).await
    }

    /// The next part of a reply. Not to be mixed with [`Connection::poll_event`] within one reply.
    pub fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, WireError>> {
        loop {
            if let Some(part) = self.buffered_part()? {
                return Poll::Ready(Ok(part));
            }
            ready!(self.poll_read(cx))?;
        }
    }

    /// The next part of a reply, if it came together with the one before.
    pub fn buffered_part(&mut self) -> Result<Option<Part>, WireError> {
        while let Some(message) = self.next_message()? {
            if let Some(part) = self.take_in_part(message)? {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    fn take_in_part(&mut self, message: Message) -> Result<Option<Part>, WireError> {
        let part = match message {
            Message::RowDescription(body) => {
                let columns = body.fields().map(|field| Ok(field.name().to_owned())).collect();
                self.rows = Some(Rows {
                    columns: columns.map_err(invalid)?,
                    rows: Vec::new(),
                });
                return Ok(None);
            }
            Message::DataRow(body) => {
                let row = row(&body)?;
                self.keep_row(row.len(), self.rows.as_ref().map(|rows| rows.columns.len()))?;
                if let Some(rows) = &mut self.rows {
                    rows.rows.push(row);
                }
                return Ok(None);
            }
            Message::CommandComplete(body) => match self.rows.take() {
                Some(rows) => Part::Rows(rows),
                None => Part::Command {
                    tag: body.tag().map_err(invalid)?.to_owned(),
                },
            },
            Message::EmptyQueryResponse => Part::Command { tag: String::new() },
            Message::ErrorResponse(body) => {
                self.rows = None;
                Part::Error(report(body.fields())?)
            }
            Message::NoticeResponse(body) => Part::Notice(report(body.fields())?),
            Message::NotificationResponse(body) => Part::Notification(Notification {
                process_id: body.process_id(),
                channel: body.channel().map_err(invalid)?.to_owned(),
                payload: body.message().map_err(invalid)?.to_owned(),
            }),
            Message::CopyInResponse(_) => Part::Copy(CopyDirection::In),
            Message::CopyOutResponse(_) => Part::Copy(CopyDirection::Out),
            Message::ReadyForQuery(body) => {
                self.transaction = TransactionStatus::from_byte(body.status())?;
                Part::Ready
            }
            Message::ParameterStatus(_) | Message::CopyData(_) | Message::CopyDone => return Ok(None),
            _ => return Err(WireError::Protocol("in a reply to a simple query".into())),
        };
        Ok(Some(part))
    }
}

fn row(body: &DataRowBody) -> Result<Vec<Option<Bytes>>, WireError> {
    let buffer = body.buffer_bytes();
    body.ranges()
        .map(|range| Ok(range.map(|range| buffer.slice(range))))
        .collect()
        .map_err(invalid)
}

fn report(mut fields: ErrorFields<'_>) -> Result<MessageFields, WireError> {
    let mut report = MessageFields::default();
    while let Some(field) = fields.next().map_err(invalid)? {
        let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'S' => report.severity = value,
            b'C' => report.sqlstate = value,
            b'M' => report.message = value,
            b'D' => report.detail = Some(value),
            b'H' => report.hint = Some(value),
            b'W' => report.context = Some(value),
            b'P' => report.position = value.parse().ok(),
            b'q' => report.internal_query = Some(value),
            b'p' => report.internal_position = value.parse().ok(),
            _ => {}
        }
    }
    Ok(report)
}
