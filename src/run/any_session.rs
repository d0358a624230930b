//! The kinds of session.

use std::task::{Context, Poll};

use super::attached::{Attached, Exchange};
use super::driver::Sent;
use super::session::{DeadlockCheck, Next, Outside, Progress, Session, WaitTimeout};
use super::{Conditions, RunError, Script};
use crate::history::{SessionEnd, StepOutcome, Uncontrolled, Variables};
use crate::process::Output;

/// A session of any kind.
pub enum AnySession {
    /// It runs the steps of a scenario.
    Script(Box<Script>),
    /// It is a program.
    Attached(Box<Attached>),
}

/// Makes the same call on a session of any kind.
macro_rules! of_its_kind {
    ($session:expr, $inner:ident => $call:expr) => {
        match $session {
            AnySession::Script($inner) => $call,
            AnySession::Attached($inner) => $call,
        }
    };
}

impl Session for AnySession {
    fn name(&self) -> &str {
        of_its_kind!(self, session => session.name())
    }

    fn backend_pid(&self) -> i32 {
        of_its_kind!(self, session => session.backend_pid())
    }

    fn has_backend(&self, pid: i32) -> bool {
        of_its_kind!(self, session => session.has_backend(pid))
    }

    fn outside(&self) -> Option<Outside> {
        of_its_kind!(self, session => session.outside())
    }

    fn owns_process(&self, pid: i32) -> bool {
        of_its_kind!(self, session => session.owns_process(pid))
    }

    fn output(&self) -> Option<&Output> {
        of_its_kind!(self, session => session.output())
    }

    fn uncontrolled(&self) -> &[Uncontrolled] {
        of_its_kind!(self, session => session.uncontrolled())
    }

    fn leaves_more_than_rows(&self) -> bool {
        of_its_kind!(self, session => session.leaves_more_than_rows())
    }

    fn overlaps_itself(&self) -> bool {
        of_its_kind!(self, session => session.overlaps_itself())
    }

    fn in_transaction(&self) -> bool {
        of_its_kind!(self, session => session.in_transaction())
    }

    fn next(&self) -> Next<'_> {
        of_its_kind!(self, session => session.next())
    }

    async fn send(&mut self, check: DeadlockCheck) -> Result<(), RunError> {
        of_its_kind!(self, session => session.send(check).await)
    }

    async fn send_begin(&mut self) -> Result<(), RunError> {
        of_its_kind!(self, session => session.send_begin().await)
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, RunError>> {
        of_its_kind!(self, session => session.poll_progress(cx))
    }

    fn timeout(&self) -> Option<WaitTimeout> {
        of_its_kind!(self, session => session.timeout())
    }

    fn timeout_not_explored(&self) -> Option<String> {
        of_its_kind!(self, session => session.timeout_not_explored())
    }

    fn expire(&mut self) {
        of_its_kind!(self, session => session.expire())
    }

    async fn find_next(&mut self, conditions: &mut Conditions<'_>) -> Result<(), RunError> {
        of_its_kind!(self, session => session.find_next(conditions).await)
    }

    async fn begin_reset(&mut self) -> Result<(), RunError> {
        of_its_kind!(self, session => session.begin_reset().await)
    }

    async fn end_reset(&mut self) -> Result<(), RunError> {
        of_its_kind!(self, session => session.end_reset().await)
    }

    async fn give_up(&mut self) -> Result<bool, RunError> {
        of_its_kind!(self, session => session.give_up().await)
    }

    async fn outlast(&mut self) -> Result<(), RunError> {
        of_its_kind!(self, session => session.outlast().await)
    }

    async fn left_behind(&mut self) -> Result<Option<String>, RunError> {
        of_its_kind!(self, session => session.left_behind().await)
    }

    fn end(&self) -> SessionEnd {
        of_its_kind!(self, session => session.end())
    }

    fn variables(&self) -> &Variables {
        of_its_kind!(self, session => session.variables())
    }

    fn results(&self) -> &[StepOutcome] {
        of_its_kind!(self, session => session.results())
    }

    fn sent(&self) -> &[Sent] {
        of_its_kind!(self, session => session.sent())
    }

    fn transcript(&self) -> &[Exchange] {
        of_its_kind!(self, session => session.transcript())
    }
}
