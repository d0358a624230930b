//! The boundary between a run and whatever has the steps: a script, or an application's own connection.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Conditions, RunError};
use crate::history::{Origin, Statement, StepResult, Turn, Tx, TxEnd};
use crate::sql::Isolation;

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

    /// Which timeout would end the step under way if it waited long enough.
    fn timeout(&self) -> Option<WaitTimeout> {
        None
    }

    /// Why it is not known what a timeout would do to the step under way, in words.
    fn timeout_not_explored(&self) -> Option<String> {
        None
    }

    /// The step under way is about to be cancelled: the error that comes is to be shown as that of its timeout.
    fn expire(&mut self) {}

    /// Finds out what the next step is, once the last has finished.
    fn find_next(&mut self, conditions: &mut Conditions<'_>) -> impl Future<Output = Result<(), RunError>>;
}

/// A timeout of the server's that ends a step which waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitTimeout {
    /// `lock_timeout`
    Lock,
    /// `statement_timeout`
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
    pub statement: Arc<Statement>,
    pub origin: Origin,
    /// With its variables filled in.
    pub filled: String,
    /// See [`Turn::values`](crate::history::Turn::values).
    pub values: Vec<Option<String>>,
    /// The session is in no transaction.
    pub opens: bool,
    /// BEGIN that is sent right ahead of it.
    pub begin: Option<String>,
    pub attempt: u32,
}

impl StepInfo {
    /// The turn in which a session sends it, before anything has come back.
    pub fn turn(&self, session: usize) -> Turn {
        Turn {
            session,
            step: self.name.clone(),
            statement: self.statement.clone(),
            filled: self.filled.clone(),
            values: self.values.clone(),
            begin: self.begin.clone(),
            origin: self.origin,
            tx: Tx {
                opens: self.opens,
                ..Tx::default()
            },
            attempt: self.attempt,
            result: StepResult::Done { tag: String::new() },
            waits: Vec::new(),
            finished_in: Turn::IN_FLIGHT,
        }
    }

    #[cfg(test)]
    pub fn sample(name: &str) -> StepInfo {
        StepInfo {
            name: name.to_owned(),
            statement: Arc::new(Statement::of("")),
            origin: Origin::Step(0),
            filled: String::new(),
            values: Vec::new(),
            opens: false,
            begin: None,
            attempt: 0,
        }
    }
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
    /// The level of the transaction that the step was in.
    pub isolation: Isolation,
    /// How the step ended it.
    pub end: Option<TxEnd>,
    /// For a deadlock's victim: the backends that the server named in the cycle, the victim's own blocker first.
    pub deadlock: Vec<i32>,
}

impl Finished {
    /// Where nothing was under way, or what ended was the connection.
    pub fn nothing() -> Finished {
        Finished {
            result: StepResult::Done { tag: String::new() },
            isolation: Isolation::default(),
            end: None,
            deadlock: Vec::new(),
        }
    }
}
