//! What the server says in answer to a request.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::postgres::wire::{Frame, FrameColumn, ServerError, WireError};
use crate::proxy::Asked;

/// How many rows of a result are kept for reading.
pub const MOST_ROWS: usize = 1_000;

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
    /// Messages beside it.
    pub notices: Vec<Frame>,
}

/// What has been said so far.
#[derive(Debug, Default)]
pub struct Telling {
    /// Statements whose results are yet to come.
    asked: VecDeque<Asked>,
    current: ToldResult,
    told: Told,
}

impl Telling {
    /// Of the answer to these statements.
    pub fn of(asked: &[Asked]) -> Telling {
        Telling {
            asked: asked.iter().cloned().collect(),
            ..Telling::default()
        }
    }

    pub fn take_in(&mut self, frame: &Frame) -> Result<(), WireError> {
        match frame.kind() {
            b'T' => self.current.columns = frame.columns()?,
            b'D' if self.current.rows.len() < MOST_ROWS => self.current.rows.push(frame.values()?),
            // of a portal that has more rows, as many as were asked for
            b'C' | b'I' | b's' => {
                let mut result = std::mem::take(&mut self.current);
                // the rows that a client took of a result say no tag
                result.tag = match frame.tag()? {
                    None if frame.kind() == b's' => format!("SELECT {}", result.rows.len()),
                    tag => tag.unwrap_or_default(),
                };
                // a simple Query's statements have one text
                let asked = match self.asked.front() {
                    Some(asked) if asked.prepared.is_some() => self.asked.pop_front(),
                    asked => asked.cloned(),
                };
                if let Some(asked) = asked {
                    let has_rows = !result.rows.is_empty() || result.tag.starts_with("SELECT");
                    let described = result.columns.or_else(|| asked.columns.clone().filter(|_| has_rows));
                    result.columns = described.map(|columns| asked.written(columns));
                }
                self.told.results.push(result);
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

    pub fn notice(&mut self, frame: Frame) {
        self.told.notices.push(frame);
    }

    pub fn failed(&self) -> bool {
        self.told.error.is_some()
    }

    pub fn told(self) -> Told {
        self.told
    }
}
