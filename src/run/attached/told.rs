//! What the server says in answer to a request.

use bytes::Bytes;

use crate::postgres::wire::{Frame, FrameColumn, ServerError, TransactionStatus, WireError};

/// How many rows of a result are kept for reading.
const MOST_ROWS: usize = 1_000;

/// One statement's result.
#[derive(Debug, Clone, Default)]
pub struct ToldResult {
    /// `None` for a statement without rows.
    pub columns: Option<Vec<FrameColumn>>,
    pub rows: Vec<Vec<Option<Bytes>>>,
    pub tag: String,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// One for each statement that was completed.
    pub results: Vec<ToldResult>,
    pub error: Option<Box<ServerError>>,
    /// The error's message as it came.
    pub error_frame: Option<Frame>,
    pub status: TransactionStatus,
}

/// What has been said so far.
#[derive(Debug, Default)]
pub struct Telling {
    current: ToldResult,
    told: Told,
}

impl Telling {
    pub fn take_in(&mut self, frame: &Frame) -> Result<(), WireError> {
        match frame.kind() {
            b'T' => self.current.columns = frame.columns()?,
            b'D' if self.current.rows.len() < MOST_ROWS => self.current.rows.push(frame.values()?),
            // of a portal that has more rows, as many as were asked for
            b'C' | b'I' | b's' => {
                self.current.tag = frame.tag()?.unwrap_or_default();
                self.told.results.push(std::mem::take(&mut self.current));
            }
            b'E' => {
                self.current = ToldResult::default();
                self.told.error = frame.error()?;
                self.told.error_frame = Some(frame.clone());
            }
            _ => {}
        }
        Ok(())
    }

    pub fn failed(&self) -> bool {
        self.told.error.is_some()
    }

    pub fn told(self, status: TransactionStatus) -> Told {
        Told { status, ..self.told }
    }
}
