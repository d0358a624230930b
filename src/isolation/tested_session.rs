//! One connection of a run: what was sent, what has arrived, and what of that was printed.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker};

use super::message::{self, CONNECTION_LOST, Severity};
use super::transcript::Transcript;
use crate::postgres::wire::{Canceller, Connection, MessageFields, Notification, Part, WireError};

#[derive(Debug)]
pub(super) struct TestedSession {
    /// Its name in the specification.
    pub name: String,
    pub pid: i32,
    pub canceller: Canceller,
    /// The position in the permutation of the step that was sent and not yet reported as completed.
    pub active: Option<usize>,
    /// How many notices were printed.
    pub notices: u64,
    /// Not yet printed.
    notifications: Vec<Notification>,
    connection: Connection,
    query: String,
    /// What has arrived and was not yet processed.
    inbox: VecDeque<Part>,
    /// The whole reply has arrived, in the inbox or beyond it.
    replied: bool,
    lost: bool,
}

/// The result of a query outside the steps.
#[derive(Debug)]
pub(super) enum Executed {
    /// The last result.
    Result(Part),
    /// The error, in full.
    Failed(String),
}

impl TestedSession {
    pub fn new(name: &str, connection: Connection, canceller: Canceller) -> TestedSession {
        TestedSession {
            name: name.to_owned(),
            pid: connection.backend_pid(),
            canceller,
            active: None,
            notices: 0,
            notifications: Vec::new(),
            connection,
            query: String::new(),
            inbox: VecDeque::new(),
            replied: true,
            lost: false,
        }
    }

    /// Sends a query; `false` if the connection is known to be lost.
    pub async fn send(&mut self, sql: &str) -> Result<bool, WireError> {
        if self.lost {
            return Ok(false);
        }
        self.query.clear();
        self.query.push_str(sql);
        self.replied = false;
        self.connection.send_simple(sql).await?;
        Ok(true)
    }

    /// Whether the server is still processing the query, as far as was received.
    pub fn is_running(&self) -> bool {
        !self.replied && !self.lost
    }

    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Receives one part of the reply. Ready at once, with nothing received, if none is outstanding.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        if !self.is_running() {
            return Poll::Ready(Ok(()));
        }
        match std::task::ready!(self.connection.poll_part(cx)) {
            Ok(part) => {
                self.keep(part);
                Poll::Ready(Ok(()))
            }
            Err(WireError::Lost(_)) => {
                self.lost = true;
                Poll::Ready(Ok(()))
            }
            Err(other) => Poll::Ready(Err(other)),
        }
    }

    /// Receives one part, if it arrived together with the one before.
    fn receive_buffered(&mut self) -> Result<(), WireError> {
        if let Some(part) = self.connection.buffered_part()? {
            self.keep(part);
        }
        Ok(())
    }

    fn keep(&mut self, part: Part) {
        self.replied = part == Part::Ready;
        self.inbox.push_back(part);
    }

    /// Receives what has arrived.
    pub fn receive_available(&mut self) -> Result<(), WireError> {
        let mut cx = Context::from_waker(Waker::noop());
        while self.is_running() {
            match self.poll_receive(&mut cx) {
                Poll::Ready(result) => result?,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Prints the notices that came before the first result, and says whether that result has arrived.
    pub fn has_result(&mut self, transcript: &mut dyn Transcript) -> Result<bool, ResultError> {
        self.print_asides_at(0, transcript)?;
        if self.inbox.is_empty() {
            return Ok(self.lost);
        }
        self.print_asides_at(1, transcript)?;
        Ok(true)
    }

    /// Prints the notices that begin at a position of the inbox, including those that arrived together with its
    /// content.
    fn print_asides_at(&mut self, place: usize, transcript: &mut dyn Transcript) -> Result<(), ResultError> {
        loop {
            if self.inbox.len() <= place && self.is_running() {
                self.receive_buffered()?;
            }
            match self.inbox.get(place) {
                Some(Part::Notice(_) | Part::Notification(_)) => {
                    if let Some(part) = self.inbox.remove(place) {
                        self.aside(part, transcript)?;
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    /// Whether the connection ended without reporting anything.
    pub fn ended_without_result(&self) -> bool {
        self.lost && self.inbox.is_empty()
    }

    /// Waits for all results of the reply, passing each to `print`, and prints notices in between.
    pub async fn results(
        &mut self,
        transcript: &mut dyn Transcript,
        mut print: impl FnMut(&Part, &mut dyn Transcript) -> io::Result<()>,
    ) -> Result<(), ResultError> {
        loop {
            match self.inbox.pop_front() {
                Some(Part::Ready) => return Ok(()),
                Some(part @ (Part::Notice(_) | Part::Notification(_))) => self.aside(part, transcript)?,
                Some(result) => {
                    // libpq processes what follows a result before it returns the result
                    self.print_asides_at(0, transcript)?;
                    print(&result, transcript)?;
                    if matches!(result, Part::Copy(_)) {
                        return Err(ResultError::Copy);
                    }
                }
                None if self.lost => {
                    transcript.out(CONNECTION_LOST.as_bytes())?;
                    transcript.out(b"\n")?;
                    return Ok(());
                }
                None => poll_fn(|cx| self.poll_receive(cx)).await?,
            }
        }
    }

    /// Runs a query to its end and keeps the last result. Notices are printed if there is a transcript.
    pub async fn execute(
        &mut self,
        sql: &str,
        mut transcript: Option<&mut dyn Transcript>,
    ) -> Result<Executed, ResultError> {
        if !self.send(sql).await? {
            return Ok(Executed::Failed("no connection to the server\n".to_owned()));
        }
        let mut last = None;
        let mut errors = String::new();
        loop {
            match self.inbox.pop_front() {
                Some(Part::Ready) => break,
                Some(part @ (Part::Notice(_) | Part::Notification(_))) => match transcript.as_deref_mut() {
                    Some(transcript) => self.aside(part, transcript)?,
                    None => continue,
                },
                Some(Part::Error(report)) => errors += &message::in_full(&report, &self.query, Severity::Error),
                Some(Part::Copy(_)) => return Err(ResultError::Copy),
                Some(result) => last = Some(result),
                None if self.lost => {
                    errors += CONNECTION_LOST;
                    break;
                }
                None => poll_fn(|cx| self.poll_receive(cx)).await?,
            }
        }
        Ok(match last {
            Some(result) if errors.is_empty() => Executed::Result(result),
            _ => Executed::Failed(errors),
        })
    }

    /// Notifications that have arrived and were not printed.
    pub fn take_notifications(&mut self) -> Vec<Notification> {
        std::mem::take(&mut self.notifications)
    }

    fn aside(&mut self, part: Part, transcript: &mut dyn Transcript) -> io::Result<()> {
        match part {
            Part::Notice(report) => self.print_notice(&report, transcript)?,
            Part::Notification(notification) => self.notifications.push(notification),
            _ => {}
        }
        Ok(())
    }

    fn print_notice(&mut self, report: &MessageFields, transcript: &mut dyn Transcript) -> io::Result<()> {
        self.notices += 1;
        let text = message::in_full(report, &self.query, Severity::Notice);
        transcript.out(format!("{}: {text}", self.name).as_bytes())
    }
}

/// Why results could not be received or printed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResultError {
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The server waits for rows of COPY, or sends some, and nobody handles them.
    #[error("COPY from or to the client cannot be run")]
    Copy,
    #[error(transparent)]
    Output(#[from] io::Error),
}
