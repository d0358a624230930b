//! The boundary between a run and the source of its steps: a script, or an application's own connection.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::attached::Exchange;
use super::driver::Sent;
use super::{Conditions, RunError};
use crate::history::{
    Origin, SessionEnd, Statement, StepOutcome, StepResult, Turn, Tx, TxEnd, Uncontrolled, Variables,
};
use crate::process::Output;
use crate::sql::Isolation;

/// One session of a run. Its steps are scheduled one by one.
pub trait Session {
    fn name(&self) -> &str;

    /// Process number of its backend, as `pg_locks` names it.
    fn backend_pid(&self) -> i32;

    /// Whether a backend is one of its own.
    fn has_backend(&self, pid: i32) -> bool {
        self.backend_pid() == pid
    }

    /// What it waits for outside the database, where that is known.
    fn outside(&self) -> Option<Outside> {
        None
    }

    /// Whether a process is part of it.
    fn owns_process(&self, _pid: i32) -> bool {
        false
    }

    /// What a program has printed; `None` where the session is none.
    fn output(&self) -> Option<&Output> {
        None
    }

    /// What of the session was not under control.
    fn uncontrolled(&self) -> &[Uncontrolled] {
        &[]
    }

    /// Whether what it has done in this run may have changed more than rows and sequences. Of a script that is known
    /// before it runs.
    fn leaves_more_than_rows(&self) -> bool {
        false
    }

    /// Whether in this run a transaction of it ended while another of it was open, on another connection.
    fn overlaps_itself(&self) -> bool {
        false
    }

    /// Whether it has a transaction open, so that it may hold locks.
    fn in_transaction(&self) -> bool;

    /// What it is about to do.
    fn next(&self) -> Next<'_>;

    /// Sends the held statement. [`Session::poll_progress`] gives the reply.
    fn send(&mut self, check: DeadlockCheck) -> impl Future<Output = Result<(), RunError>>;

    /// Sends the BEGIN before the held statement on its own, as a client does.
    fn send_begin(&mut self) -> impl Future<Output = Result<(), RunError>>;

    /// What has happened to the step that was sent.
    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, RunError>>;

    /// The timeout that would end the step under way if it waited long enough.
    fn timeout(&self) -> Option<WaitTimeout>;

    /// Why it is not known what a timeout would do to the step under way, in words.
    fn timeout_not_explored(&self) -> Option<String>;

    /// The step under way is about to be cancelled: the resulting error is to be shown as that of its timeout.
    fn expire(&mut self);

    /// Finds out what the next step is, once the last has finished. Afterwards it is held, or the session has ended.
    fn find_next(&mut self, conditions: &mut Conditions<'_>) -> impl Future<Output = Result<(), RunError>>;

    /// Nobody can move as long as this session waits. Ends what it waits with, and returns whether it has done so: the run
    /// then continues.
    fn give_up(&mut self) -> impl Future<Output = Result<bool, RunError>>;

    /// Begins to make the session ready for another run: on the server as if newly connected.
    fn begin_reset(&mut self) -> impl Future<Output = Result<(), RunError>>;

    /// Completes what [`Session::begin_reset`] began: all steps are ahead again.
    fn end_reset(&mut self) -> impl Future<Output = Result<(), RunError>>;

    /// The last run is over: waits a moment for what its program may still do.
    fn outlast(&mut self) -> impl Future<Output = Result<(), RunError>>;

    /// What an earlier run has left on the connection, in words.
    fn left_behind(&mut self) -> impl Future<Output = Result<Option<String>, RunError>>;

    /// How the session ended.
    fn end(&self) -> SessionEnd;

    /// Its variables with the values that the server sent.
    fn variables(&self) -> &Variables;

    /// What the session's steps returned. A retried transaction appears once, as it ended.
    fn results(&self) -> &[StepOutcome];

    /// What was sent, one entry for each turn of the session.
    fn sent(&self) -> &[Sent];

    /// What its program has sent and been told; empty where it is none.
    fn transcript(&self) -> &[Exchange] {
        &[]
    }
}

/// What a program waits for outside the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// A lock on a file, and the process that holds it.
    FileLock { holder: i32 },
}

/// What a session is about to do.
#[derive(Debug, Clone, Copy)]
pub enum Next<'a> {
    /// This statement is held until it is scheduled.
    Held(&'a Pending),
    /// Not known yet.
    Thinking,
    /// Nothing: it has run all its steps.
    Ended,
}

impl<'a> Next<'a> {
    /// The statement that is held.
    pub fn held(self) -> Option<&'a Pending> {
        match self {
            Next::Held(pending) => Some(pending),
            Next::Thinking | Next::Ended => None,
        }
    }
}

/// A timeout of the server that ends a waiting step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitTimeout {
    /// `lock_timeout`
    Lock,
    /// `statement_timeout`
    Statement,
}

/// When the server looks for a deadlock during a session's wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadlockCheck {
    /// After a millisecond: the session may be the one that closes a cycle.
    Soon,
    /// Never: another session will close the cycle if there is one.
    Never,
}

/// A statement that waits to be scheduled, for the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub name: String,
    pub statement: Arc<Statement>,
    pub origin: Origin,
    /// With its variables filled in.
    pub filled: String,
    /// See [`Turn::values`](crate::history::Turn::values).
    pub values: Vec<Option<String>>,
    /// The session is not in a transaction.
    pub opens: bool,
    /// BEGIN to send right before it.
    pub begin: Option<String>,
    pub attempt: u32,
}

impl Pending {
    /// The turn in which a session sends it, before any reply.
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
    pub fn sample(name: &str) -> Pending {
        Pending {
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

/// The end of a step.
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
    /// For a step that was not under way, or that closed the connection.
    pub fn nothing() -> Finished {
        Finished {
            result: StepResult::Done { tag: String::new() },
            isolation: Isolation::default(),
            end: None,
            deadlock: Vec::new(),
        }
    }
}
