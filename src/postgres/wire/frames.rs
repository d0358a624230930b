//! The server's messages as they stand, for a client that pgbraid stands in front of.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::connection::invalid;
use super::incoming::MOST_IN_REPLY;
use super::reply::{self, Column, ServerError, TransactionStatus};
use super::stream::Stream;
use super::{Connection, WireError};

/// Type and length.
const HEADER: usize = 5;

/// One message of the server's.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Type and length included.
    pub bytes: Bytes,
}

/// A column of a result, and how its values are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameColumn {
    pub column: Column,
    pub binary: bool,
}

impl Frame {
    /// The message's type.
    pub fn kind(&self) -> u8 {
        self.bytes[0]
    }

    fn parse(&self) -> Result<Message, WireError> {
        let parsed = Message::parse(&mut BytesMut::from(&self.bytes[..])).map_err(invalid)?;
        parsed.ok_or_else(|| WireError::Protocol("a message that ends early".into()))
    }

    /// The columns that a RowDescription announces; `None` for any other message.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn columns(&self) -> Result<Option<Vec<FrameColumn>>, WireError> {
        let Message::RowDescription(body) = self.parse()? else {
            return Ok(None);
        };
        let formats: Vec<i16> = body
            .fields()
            .map(|field| Ok(field.format()))
            .collect()
            .map_err(invalid)?;
        let columns = reply::columns(&body)?.into_iter().zip(formats);
        let column = |(column, format)| FrameColumn {
            column,
            binary: format == 1,
        };
        Ok(Some(columns.map(column).collect()))
    }

    /// The values of a DataRow; none for any other message.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn values(&self) -> Result<Vec<Option<Bytes>>, WireError> {
        let Message::DataRow(body) = self.parse()? else {
            return Ok(Vec::new());
        };
        let buffer = Bytes::copy_from_slice(body.buffer());
        let value = |range: Option<std::ops::Range<usize>>| Ok(range.map(|range| buffer.slice(range)));
        body.ranges().map(value).collect().map_err(invalid)
    }

    /// A ReadyForQuery, with a status as the protocol has it.
    pub fn ready(status: u8) -> Frame {
        Frame {
            bytes: Bytes::copy_from_slice(&[b'Z', 0, 0, 0, 5, status]),
        }
    }

    /// The types of the parameters that a ParameterDescription tells of; none for any other message.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parameter_types(&self) -> Result<Vec<u32>, WireError> {
        match self.parse()? {
            Message::ParameterDescription(body) => body.parameters().collect().map_err(invalid),
            _ => Ok(Vec::new()),
        }
    }

    /// The command tag of a CommandComplete.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn tag(&self) -> Result<Option<String>, WireError> {
        match self.parse()? {
            Message::CommandComplete(body) => Ok(Some(body.tag().map_err(invalid)?.to_owned())),
            _ => Ok(None),
        }
    }

    /// The error or notice that it holds.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn error(&self) -> Result<Option<Box<ServerError>>, WireError> {
        match self.parse()? {
            Message::ErrorResponse(body) => Ok(Some(reply::server_error(body.fields())?)),
            Message::NoticeResponse(body) => Ok(Some(reply::server_error(body.fields())?)),
            _ => Ok(None),
        }
    }

    /// The status that a ReadyForQuery tells of.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn status(&self) -> Result<Option<TransactionStatus>, WireError> {
        match self.parse()? {
            Message::ReadyForQuery(body) => Ok(Some(TransactionStatus::from_byte(body.status())?)),
            _ => Ok(None),
        }
    }

    /// The backend whose notification this is.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn notifier(&self) -> Result<Option<i32>, WireError> {
        match self.parse()? {
            Message::NotificationResponse(body) => Ok(Some(body.process_id())),
            _ => Ok(None),
        }
    }

    /// A setting that the server reports: name and value.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parameter(&self) -> Result<Option<(String, String)>, WireError> {
        match self.parse()? {
            Message::ParameterStatus(body) => {
                let name = body.name().map_err(invalid)?.to_owned();
                Ok(Some((name, body.value().map_err(invalid)?.to_owned())))
            }
            _ => Ok(None),
        }
    }
}

impl Connection {
    /// The next message, as it stands.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, WireError>> {
        loop {
            if let Some(frame) = self.next_frame()? {
                return Poll::Ready(Ok(frame));
            }
            ready!(self.poll_read(cx))?;
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        let Some(&[_, a, b, c, d]) = self.incoming.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize + 1;
        if length < HEADER || length > self.budget {
            return Err(WireError::TooLarge);
        }
        if self.incoming.len() < length {
            return Ok(None);
        }
        self.spend(length)?;
        let frame = Frame {
            bytes: self.incoming.split_to(length).freeze(),
        };
        if let Some(status) = (frame.kind() == b'Z').then(|| frame.status()).transpose()?.flatten() {
            self.transaction = status;
            self.budget = MOST_IN_REPLY;
        }
        Ok(Some(frame))
    }

    /// Queues messages of a client's, as they stand.
    pub fn queue_frames(&mut self, bytes: &[u8]) {
        self.outgoing.put_slice(bytes);
    }

    /// Queues a statement of pgbraid's own among a client's messages, and says how many messages answer it. The client's
    /// unnamed statement and portal stay as they are: these have names of their own.
    ///
    /// # Errors
    /// When the statement holds a NUL.
    pub fn queue_aside(&mut self, sql: &str) -> Result<usize, WireError> {
        const NAME: &str = "pgbraid_aside";
        let buffer = &mut self.outgoing;
        // one that failed was not closed
        frontend::close(b'S', NAME, buffer).map_err(invalid)?;
        frontend::parse(NAME, sql, [], buffer).map_err(invalid)?;
        frontend::bind(
            NAME,
            NAME,
            [],
            [(); 0],
            |(), _| Ok(postgres_protocol::IsNull::Yes),
            [],
            buffer,
        )
        .map_err(|_| WireError::Protocol("a statement of its own that cannot be bound".into()))?;
        frontend::execute(NAME, 0, buffer).map_err(invalid)?;
        frontend::close(b'P', NAME, buffer).map_err(invalid)?;
        frontend::close(b'S', NAME, buffer).map_err(invalid)?;
        // CloseComplete, ParseComplete, BindComplete, CommandComplete, CloseComplete twice
        Ok(6)
    }

    /// Queues that the rows of a COPY will not come.
    ///
    /// # Errors
    /// When the reason holds a NUL.
    pub fn queue_copy_failure(&mut self, reason: &str) -> Result<(), WireError> {
        frontend::copy_fail(reason, &mut self.outgoing).map_err(invalid)
    }

    /// How much is queued, in bytes.
    pub fn unsent(&self) -> usize {
        self.outgoing.len()
    }

    /// Sends what is queued, as far as the server takes it.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        while !self.outgoing.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing)).map_err(WireError::Lost)?;
            self.outgoing.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the conversation, so that the server need not log that it broke off.
    pub async fn terminate(&mut self) {
        frontend::terminate(&mut self.outgoing);
        let _ = self.stream.write_all_buf(&mut self.outgoing).await;
    }

    /// The stream alone: what comes from the server from now on is for others to read.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    /// The settings that the server reported when the session started.
    pub fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    /// What a client needs to cancel the session's query.
    pub fn secret_key(&self) -> i32 {
        self.secret_key
    }
}
