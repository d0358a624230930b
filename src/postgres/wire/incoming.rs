//! Extracts messages from the received bytes, within bounds: no server can make pgbraid allocate what it likes, or read
//! for ever.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use postgres_protocol::message::backend::Message;
use tokio_util::io::poll_read_buf;

use super::connection::invalid;
use super::{Connection, WireError};

/// Until the first query; PostgreSQL sends a few kilobytes.
pub(super) const MOST_AT_START: usize = 1 << 20;

/// For one reply, as kept in memory.
pub(super) const MOST_IN_REPLY: usize = 256 << 20;

/// The memory that a value takes beside its text.
const OF_VALUE: usize = 32;

/// Type and length.
const HEADER: usize = 5;

impl Connection {
    /// The next message, if all of it has arrived.
    pub(super) fn next_message(&mut self) -> Result<Option<Message>, WireError> {
        if let Some(&[_, a, b, c, d]) = self.incoming.first_chunk::<HEADER>() {
            // the parser allocates as much as is announced, and reads a negative length as a large one
            let announced = u32::from_be_bytes([a, b, c, d]) as usize;
            if announced > self.budget {
                return Err(WireError::TooLarge);
            }
        }
        let before = self.incoming.len();
        let message = Message::parse(&mut self.incoming).map_err(invalid)?;
        self.spend(before - self.incoming.len())?;
        if matches!(message, Some(Message::ReadyForQuery(_))) {
            self.budget = MOST_IN_REPLY;
        }
        Ok(message)
    }

    /// Accounts for a row with this many values that is kept.
    pub(super) fn keep_row(&mut self, values: usize, columns: Option<usize>) -> Result<(), WireError> {
        match columns {
            None => Err(WireError::Protocol("a row without a description".into())),
            Some(columns) if columns != values => {
                let found = format!("a row of {values} values where {columns} were announced");
                Err(WireError::Protocol(found))
            }
            Some(_) => self.spend(OF_VALUE * (values + 1)),
        }
    }

    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), WireError> {
        self.budget = self.budget.checked_sub(bytes).ok_or(WireError::TooLarge)?;
        Ok(())
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        let read = match ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.incoming)) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed it")),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        // the server says why before it hangs up
        Poll::Ready(read.map_err(|error| match self.building.error.take() {
            Some(reason) => WireError::Terminated(reason),
            None => WireError::Lost(error),
        }))
    }

    pub(super) async fn read_message(&mut self) -> Result<Message, WireError> {
        loop {
            if let Some(message) = self.next_message()? {
                return Ok(message);
            }
            poll_fn(|cx| self.poll_read(cx)).await?;
        }
    }
}
