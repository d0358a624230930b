//! The boundary between a run and whatever has the steps: a script, or an application's own connection.

use std::task::{Context, Poll};

use super::history::{StepResult, TurnRole};
use super::{Conditions, RunError};

/// One database connection that is let go on step by step.
pub trait Session {
    fn name(&self) -> &str;

    /// Process number of its backend, as `pg_locks` names it.
    fn backend_pid(&self) -> i32;

    /// Whether it has a transaction open, so that it may hold locks.
    fn in_transaction(&self) -> bool;

    /// The step that it will run when it is let go on; `None` when it has finished.
    fn next_step(&self) -> Option<&StepInfo>;

    /// Sends the next step. The reply comes by [`Session::poll_progress`].
    fn go_on(&mut self, check: DeadlockCheck) -> impl Future<Output = Result<(), RunError>>;

    /// What has happened to the step that was sent.
    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, RunError>>;

    /// The timeout that would end the step under way, if it waited for long enough.
    fn timeout(&self) -> Option<WaitTimeout> {
        None
    }

    /// Why it is not known what a timeout would do to the step under way, in words.
    fn timeout_not_explored(&self) -> Option<String> {
        None
    }

    /// Shows the cancellation of the step under way as the error of [`Session::timeout`].
    fn expire(&mut self) {}

    /// Finds out what the next step is, once the last has finished.
    fn find_next(&mut self, conditions: &mut Conditions<'_>) -> impl Future<Output = Result<(), RunError>>;
}

/// A timeout that ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitTimeout {
    Lock,
    Statement,
}

/// When the server looks for a deadlock in a session's wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadlockCheck {
    /// After a millisecond: the session may be the one that closes a cycle.
    Soon,
    /// Never: another session will close the cycle if there is one.
    Never,
}

/// What a step is, for the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepInfo {
    pub name: String,
    pub index: usize,
    pub role: TurnRole,
    /// As written.
    pub sql: String,
    /// With its variables filled in.
    pub filled: String,
    /// BEGIN that is sent right ahead of it.
    pub begin: Option<String>,
    pub attempt: u32,
}

/// What can happen to a step under way.
#[derive(Debug)]
pub enum Progress {
    Finished(Finished),
    /// It waits, and the server's deadlock check has run and found none.
    StillWaiting,
    /// The wait that was reported is over.
    Acquired,
}

/// A step's end.
#[derive(Debug)]
pub struct Finished {
    pub result: StepResult,
    /// For a deadlock's victim: the backends that the server named in the cycle, the victim's own blocker first.
    pub deadlock: Vec<i32>,
}
