//! Runs one schedule, step by step.

mod deadlocks;
mod giving_up;
mod happening;
mod looks;
mod outside;
mod release;
mod settling;
mod standing;
mod turns;

use std::time::Duration;

use super::RunError;
use super::condition::ConditionCache;
use super::scheduler::{Candidate, Decision, Scheduler};
use super::session::{DeadlockCheck, Pending, Session};
use super::watch::Watch;
use crate::history::{Deadlock, History, Move, MoveKind, Origin, SessionEnd, SoFar, Turn, Uncontrolled, Wait};
use crate::postgres::locks::{LockMonitor, Waiting};
use crate::postgres::wire::Connection;
use crate::postgres::{PostgresError, suspend};

/// The result of executing one schedule.
#[derive(Debug, Clone)]
pub struct Execution {
    pub turns: Vec<Turn>,
    pub moves: Vec<Move>,
    /// One for each move.
    pub decisions: Vec<Decision>,
    /// The deadlocks that PostgreSQL broke.
    pub deadlocks: Vec<Deadlock>,
    /// What was not under control.
    pub uncontrolled: Vec<Uncontrolled>,
    /// Sessions that waited for a lock on a file before their first step, and the session that held it.
    pub waited_at_start: Vec<(usize, usize)>,
}

/// What the server lets a run control, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest time that a step may take while it does not wait for another session of the run.
    pub step_timeout: Duration,
    /// Deadlock checks can be timed, and the server reports when one has run.
    pub deadlock_control: bool,
    /// Backends can be stopped and continued, so that a released session resumes when the schedule says so.
    pub signals: bool,
    /// Transactions may run at SERIALIZABLE.
    pub serializable: bool,
    /// A session that releases another has ended with that move, and never waits for it.
    pub releases_at_end: bool,
}

/// Runs the sessions to their ends in the order that `scheduler` gives.
///
/// A session's step is over when its reply has arrived; it is blocked when the lock table shows it waiting for another
/// session of the run. Nothing else counts, and no choice is made before every step under way is over, blocked, or
/// released and stopped.
///
/// A blocked session that a move releases is enabled again: its backend is stopped, and resumed when the scheduler
/// chooses it. Where backends cannot be stopped, it runs at once, as part of the move.
///
/// `watch` records what was committed after each move, if that is wanted.
///
/// # Errors
/// When a step neither finishes nor blocks in time, or a connection is lost.
pub async fn execute<S: Session>(
    sessions: &mut [S],
    control: &mut Connection,
    monitor: &mut LockMonitor,
    conditions: &mut ConditionCache,
    limits: Limits,
    scheduler: &mut dyn Scheduler,
    mut watch: Watch<'_>,
) -> Result<Execution, RunError> {
    let states = sessions.iter().map(|_| State::Idle).collect();
    let execution = Execution {
        turns: Vec::new(),
        moves: Vec::new(),
        decisions: Vec::new(),
        deadlocks: Vec::new(),
        uncontrolled: Vec::new(),
        waited_at_start: Vec::new(),
    };
    let mut executor = Executor {
        sessions,
        control,
        monitor,
        conditions,
        limits,
        states,
        suspended: suspend::Suspended::default(),
        seen_waiting: None,
        execution,
    };
    for session in 0..executor.sessions.len() {
        executor.find_next(session).await?;
    }
    executor.look_outside().await?;
    loop {
        let enabled = executor.enabled();
        if enabled.is_empty() && executor.in_flight().next().is_none() {
            break;
        }
        if enabled.is_empty() {
            executor.give_up_blocked().await?;
            continue;
        }
        let ready: Vec<usize> = enabled.iter().map(|(session, _)| *session).collect();
        let with_steps: Vec<usize> = (ready.iter().copied())
            .filter(|&session| !executor.only_disconnects(session))
            .collect();
        if scheduler.is_over(executor.execution.so_far(), &with_steps) {
            break;
        }
        let mut candidates: Vec<Candidate<'_>> = enabled
            .iter()
            .filter_map(|&(session, kind)| {
                Some(Candidate {
                    session,
                    kind,
                    step: match &executor.states[session] {
                        State::Idle => executor.sessions[session].next().held()?,
                        State::InFlight(in_flight) => &in_flight.step,
                    },
                    answer: None,
                })
            })
            .collect();
        for candidate in &mut candidates {
            if let Some(question) = scheduler.question(executor.execution.so_far(), *candidate) {
                executor.monitor.drain(executor.control).await?;
                let reply = executor.control.simple(&question).await.map_err(PostgresError::from)?;
                candidate.answer = reply.into_result().ok().map(|result| result.scalar() == Some("t"));
            }
        }
        let chosen = scheduler.choose(executor.execution.so_far(), &candidates);
        let decision = Decision {
            ready,
            kinds: enabled.iter().map(|(_, kind)| *kind).collect(),
            answers: candidates.iter().map(|candidate| candidate.answer).collect(),
            chosen,
        };
        if let Some(kind) = decision.kind_of(chosen) {
            executor.make_move(chosen, kind).await?;
        }
        executor.execution.decisions.push(decision);
        if watch.wants(&executor.execution.turns) {
            executor.monitor.drain(executor.control).await?;
            watch.look(executor.control, &executor.execution.turns).await?;
        }
    }
    executor.monitor.drain(executor.control).await?;
    Ok(executor.execution)
}

/// The state of a session.
#[derive(Debug, Clone)]
enum State {
    /// It has nothing under way.
    Idle,
    InFlight(Box<InFlight>),
}

#[derive(Debug, Clone)]
struct InFlight {
    step: Pending,
    /// The turn in which it was sent.
    turn: usize,
    /// Its current wait, once that is known.
    wait: Option<CurrentWait>,
    check: DeadlockCheck,
    /// Its deadlock check has run in the current wait.
    checked: bool,
    /// Its backend is stopped by a signal.
    stopped: bool,
    /// It no longer waits, and is stopped.
    released: bool,
}

#[derive(Debug, Clone)]
struct CurrentWait {
    /// The turn in which it began.
    from: usize,
    blocked_by: Vec<usize>,
    /// What it waits for, see [`Waiting`].
    lock: Option<String>,
}

struct Executor<'a, S> {
    sessions: &'a mut [S],
    control: &'a mut Connection,
    monitor: &'a mut LockMonitor,
    conditions: &'a mut ConditionCache,
    limits: Limits,
    states: Vec<State>,
    suspended: suspend::Suspended,
    /// The last look at the lock table, if nothing has run since.
    seen_waiting: Option<Vec<Waiting>>,
    execution: Execution,
}

impl CurrentWait {
    /// Whether it is the same wait, whenever it began.
    fn is_same(&self, other: &CurrentWait) -> bool {
        self.blocked_by == other.blocked_by && self.lock == other.lock
    }

    fn until(self, turn: usize) -> Wait {
        Wait {
            blocked_by: self.blocked_by,
            from: self.from,
            until: turn,
        }
    }
}

impl<S: Session> Executor<'_, S> {
    /// The enabled sessions, and what each can do.
    fn enabled(&self) -> Vec<(usize, MoveKind)> {
        let kind = |index: usize| match &self.states[index] {
            State::Idle => {
                let next = self.sessions[index].next().held()?;
                let is_held_up = self.retries_after(index, next).next().is_some();
                (!is_held_up).then_some(MoveKind::Step)
            }
            State::InFlight(in_flight) if in_flight.released => Some(MoveKind::Resume),
            State::InFlight(_) => {
                let session = &self.sessions[index];
                let expires = session.timeout().filter(|_| session.timeout_not_explored().is_none());
                expires.map(|_| MoveKind::Timeout)
            }
        };
        (0..self.sessions.len())
            .filter_map(|index| Some((index, kind(index)?)))
            .collect()
    }

    /// Whether only the end of the connection remains of a session.
    fn only_disconnects(&self, session: usize) -> bool {
        let next = self.sessions[session].next().held();
        next.is_some_and(|step| matches!(step.origin, Origin::Disconnect(_)))
    }

    /// The sessions released by the error of a session whose next step `next` runs its transaction again: it does so
    /// after they have resumed. Otherwise it could overtake them and run into the same error as often as it tries.
    fn retries_after(&self, session: usize, next: &Pending) -> impl Iterator<Item = usize> {
        let moves = &self.execution.moves;
        let last = moves.iter().rposition(|one| one.session == session);
        let last = last.filter(|&last| next.attempt > self.execution.turns[moves[last].turn].attempt);
        let since = last.map_or(moves.len(), |last| last + 1);
        let released = last.into_iter().flat_map(|last| moves[last].released.iter().copied());
        released.filter(move |released| moves[since..].iter().all(|one| one.session != *released))
    }

    fn in_flight(&self) -> impl Iterator<Item = (usize, &InFlight)> {
        self.states.iter().enumerate().filter_map(|(index, state)| match state {
            State::InFlight(in_flight) => Some((index, &**in_flight)),
            State::Idle => None,
        })
    }

    fn running(&self) -> Vec<usize> {
        self.in_flight()
            .filter(|(_, in_flight)| !in_flight.stopped)
            .map(|(index, _)| index)
            .collect()
    }

    fn in_flight_mut(&mut self, index: usize) -> Option<&mut InFlight> {
        match &mut self.states[index] {
            State::InFlight(in_flight) => Some(in_flight),
            State::Idle => None,
        }
    }

    /// The sessions that wait.
    fn blocked(&self) -> impl Iterator<Item = (usize, &InFlight)> {
        self.in_flight().filter(|(_, in_flight)| !in_flight.released)
    }

    fn session_of(&self, pid: i32) -> Option<usize> {
        self.sessions.iter().position(|session| session.has_backend(pid))
    }

    fn uncontrolled(&mut self, what: Uncontrolled) {
        if !self.execution.uncontrolled.contains(&what) {
            self.execution.uncontrolled.push(what);
        }
    }
}

impl Execution {
    fn so_far(&self) -> SoFar<'_> {
        SoFar {
            turns: &self.turns,
            moves: &self.moves,
        }
    }

    /// The history of this execution, given how the sessions ended.
    pub fn into_history(self, sessions: Vec<String>, ends: Vec<SessionEnd>) -> History {
        History {
            sessions,
            turns: self.turns,
            moves: self.moves,
            ends,
        }
    }
}

impl From<nix::errno::Errno> for RunError {
    fn from(errno: nix::errno::Errno) -> RunError {
        RunError::Postgres(PostgresError::Signal(errno))
    }
}
