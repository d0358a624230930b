//! One schedule, step by step.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::committed_states::CommittedStates;
use super::session::{DeadlockCheck, Finished, Progress, Session, StepInfo};
use super::wait_for::WaitForGraph;
use super::{Conditions, RunError, condition::ConditionCache};
use crate::history::{Deadlock, History, Move, MoveKind, Origin, SoFar, StepResult, Turn, Wait};
use crate::postgres::locks::{LockMonitor, Waiting};
use crate::postgres::wire::Connection;
use crate::postgres::{PostgresError, locks, suspend};

/// Pauses between two looks at the lock table; the last one repeats. The first looks come at once.
const BACKOFF_MILLIS: [u64; 9] = [0, 0, 0, 1, 1, 2, 4, 8, 16];

/// How long a wait may go without the server's word that its deadlock check has run. It is due after a millisecond; a
/// session that has turned such messages off never gives it, and the victim is then not under control.
const CHECK_GRACE: Duration = Duration::from_millis(200);

/// An enabled session.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub session: usize,
    /// What it does if it is chosen.
    pub kind: MoveKind,
    /// The step that it sends, or resumes.
    pub step: &'a StepInfo,
    /// The answer to what [`Scheduler::question`] asked of it; `None` where it asked nothing, or got an error.
    pub answer: Option<bool>,
}

/// Decides which session moves.
pub trait Scheduler {
    /// What must be known of a session before it can be chosen or left alone: a query for one truth value, which is run
    /// outside the sessions' transactions, so that it sees what is committed.
    fn question(&mut self, _so_far: SoFar<'_>, _candidate: Candidate<'_>) -> Option<String> {
        None
    }

    /// Takes what has happened so far and the enabled sessions (never none, ascending, each with the one move that it
    /// can make), and returns one of them. Asked before every move.
    fn choose(&mut self, so_far: SoFar<'_>, ready: &[Candidate<'_>]) -> usize;

    /// Whether the run ends here, though sessions are enabled. `ready` has those that have steps left, and not those of
    /// which only the connection is to end. Asked ahead of every choice; none of them may be blocked
    /// then.
    fn is_over(&mut self, _so_far: SoFar<'_>, _ready: &[usize]) -> bool {
        false
    }
}

/// The choice of one move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Enabled sessions, ascending.
    pub ready: Vec<usize>,
    /// What each of them could do.
    pub kinds: Vec<MoveKind>,
    /// What the scheduler had asked of each of them, and was told.
    pub answers: Vec<Option<bool>>,
    pub chosen: usize,
}

impl Decision {
    fn place(&self, session: usize) -> Option<usize> {
        self.ready.iter().position(|&ready| ready == session)
    }

    /// What the scheduler was told of a session.
    pub fn answer_of(&self, session: usize) -> Option<bool> {
        *self.answers.get(self.place(session)?)?
    }

    /// What a session could do.
    pub fn kind_of(&self, session: usize) -> Option<MoveKind> {
        self.kinds.get(self.place(session)?).copied()
    }
}

/// What executing one schedule brought.
#[derive(Debug, Clone)]
pub struct Execution {
    pub turns: Vec<Turn>,
    pub moves: Vec<Move>,
    /// One a move.
    pub decisions: Vec<Decision>,
    /// Sessions of each deadlock that Postgres resolved, and the session that was its victim.
    pub deadlocks: Vec<Deadlock>,
    /// What was not under control, in words.
    pub uncontrolled: Vec<String>,
}

/// What the server lets a run control, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest time that a step may take while it does not wait for another session of the run.
    pub step_timeout: Duration,
    /// Deadlock checks can be timed, and the server says when one has run.
    pub deadlock_control: bool,
    /// Backends can be stopped and continued, so that a session that is released is resumed when the schedule says so.
    pub signals: bool,
    /// Transactions may run at SERIALIZABLE.
    pub serializable: bool,
    /// A session that releases another has ended with that, and never waits for it.
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
/// `committed` takes down what was committed after each move, where that is wanted.
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
    mut committed: Option<&mut CommittedStates>,
) -> Result<Execution, RunError> {
    for session in sessions.iter_mut() {
        session
            .find_next(&mut Conditions {
                control,
                monitor,
                cache: conditions,
            })
            .await?;
    }
    let states = sessions.iter().map(|_| State::Idle).collect();
    let execution = Execution {
        turns: Vec::new(),
        moves: Vec::new(),
        decisions: Vec::new(),
        deadlocks: Vec::new(),
        uncontrolled: Vec::new(),
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
    while let Some(enabled) = executor.enabled()? {
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
                        State::Idle => executor.sessions[session].next_step()?,
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
        if let Some(committed) = committed.as_deref_mut() {
            executor.monitor.drain(executor.control).await?;
            committed
                .look(executor.control, executor.execution.turns.len() - 1)
                .await?;
        }
    }
    executor.monitor.drain(executor.control).await?;
    Ok(executor.execution)
}

/// Where a session stands.
#[derive(Debug, Clone)]
enum State {
    /// It has nothing under way.
    Idle,
    InFlight(Box<InFlight>),
}

#[derive(Debug, Clone)]
struct InFlight {
    step: StepInfo,
    /// The turn in which it was sent.
    turn: usize,
    /// The wait that it is in, once that is known.
    wait: Option<CurrentWait>,
    check: DeadlockCheck,
    /// Its deadlock check has run in the present wait.
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
    /// The last look, where nothing has run since.
    seen_waiting: Option<Vec<Waiting>>,
    execution: Execution,
}

impl CurrentWait {
    fn until(self, turn: usize) -> Wait {
        Wait {
            blocked_by: self.blocked_by,
            from: self.from,
            until: turn,
        }
    }
}

enum Happening {
    Session(usize, Progress),
    Look(Vec<Waiting>),
    Pause,
}

impl<S: Session> Executor<'_, S> {
    /// The enabled sessions, and what each can do; `None` when all have finished.
    fn enabled(&self) -> Result<Option<Vec<(usize, MoveKind)>>, RunError> {
        let kind = |index: usize| match &self.states[index] {
            State::Idle => {
                let next = self.sessions[index].next_step()?;
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
        let enabled: Vec<(usize, MoveKind)> = (0..self.sessions.len())
            .filter_map(|index| Some((index, kind(index)?)))
            .collect();
        if !enabled.is_empty() {
            return Ok(Some(enabled));
        }
        match self.in_flight().next() {
            None => Ok(None),
            Some((index, _)) => Err(RunError::Stuck {
                waiting: self.sessions[index].name().to_owned(),
            }),
        }
    }

    /// Whether nothing is left of a session but the end of its connection.
    fn only_disconnects(&self, session: usize) -> bool {
        let next = self.sessions[session].next_step();
        next.is_some_and(|step| matches!(step.origin, Origin::Disconnect(_)))
    }

    /// Of the sessions that the error of one released, those that it runs its transaction again after, its next step being
    /// `next`: otherwise it could come ahead of them and into the same error for as often as it tries.
    fn retries_after(&self, session: usize, next: &StepInfo) -> impl Iterator<Item = usize> {
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

    /// Sends the next step of `chosen`, or resumes it, and waits until every step under way is over, blocked, or
    /// released and stopped.
    async fn make_move(&mut self, chosen: usize, kind: MoveKind) -> Result<(), RunError> {
        // a session that nobody waits for releases nobody and closes no cycle
        if self.is_waited_for(chosen) {
            self.await_deadlock_checks().await?;
            self.stop_blocked(chosen)?;
        }
        match kind {
            MoveKind::Step => self.send_step(chosen).await?,
            MoveKind::Resume => self.resume(chosen)?,
            MoveKind::Timeout => self.time_out(chosen).await?,
        }
        let turn = self.execution.turns.len() - 1;
        self.settle(turn).await?;
        self.release(turn).await?;
        let finished = self.execution.moves.last().map(|last| last.finished.clone());
        for turn in finished.unwrap_or_default() {
            self.find_next(self.execution.turns[turn].session).await?;
        }
        self.note_released_together(turn);
        Ok(())
    }

    async fn send_step(&mut self, chosen: usize) -> Result<(), RunError> {
        let Some(step) = self.sessions[chosen].next_step().cloned() else {
            return Ok(());
        };
        let turn = self.execution.turns.len();
        let check = self.deadlock_check();
        self.execution.turns.push(step.turn(chosen));
        self.execution.moves.push(Move::new(chosen, MoveKind::Step, turn));
        self.sessions[chosen].go_on(check).await?;
        self.states[chosen] = State::InFlight(Box::new(InFlight {
            step,
            turn,
            wait: None,
            check,
            checked: false,
            stopped: false,
            released: false,
        }));
        Ok(())
    }

    fn resume(&mut self, chosen: usize) -> Result<(), RunError> {
        if let State::InFlight(in_flight) = &self.states[chosen] {
            let mut resumption = Move::new(chosen, MoveKind::Resume, in_flight.turn);
            let retries_after = |session: &usize| {
                let next = self.sessions[*session].next_step();
                next.is_some_and(|next| self.retries_after(*session, next).any(|released| released == chosen))
            };
            resumption.lets_retry = (0..self.sessions.len()).filter(retries_after).collect();
            self.execution.moves.push(resumption);
        }
        if let Some(in_flight) = self.in_flight_mut(chosen) {
            in_flight.released = false;
        }
        self.continue_backend(chosen)
    }

    /// Ends a blocked step as its timeout would, and waits until it is over.
    async fn time_out(&mut self, chosen: usize) -> Result<(), RunError> {
        let State::InFlight(in_flight) = &self.states[chosen] else {
            return Ok(());
        };
        self.execution
            .moves
            .push(Move::new(chosen, MoveKind::Timeout, in_flight.turn));
        self.sessions[chosen].expire();
        self.monitor.drain(self.control).await?;
        let cancel = format!(
            "SELECT pg_catalog.pg_cancel_backend({})",
            self.sessions[chosen].backend_pid()
        );
        let reply = self.control.simple(&cancel).await.map_err(PostgresError::from)?;
        reply.into_result().map_err(|error| PostgresError::Query {
            doing: "cancelling a step whose timeout expires",
            error,
        })?;
        let started = Instant::now();
        loop {
            let mut pause = Box::pin(sleep(pause_before(usize::MAX)));
            match self.next_happening(&[chosen], pause.as_mut()).await? {
                Happening::Session(index, Progress::Finished(finished)) => {
                    let turn = self.execution.turns.len() - 1;
                    self.finish(index, turn, finished);
                    return Ok(());
                }
                _ if started.elapsed() > self.limits.step_timeout => return Err(self.timed_out(&[chosen], None)),
                _ => {}
            }
        }
    }

    async fn find_next(&mut self, session: usize) -> Result<(), RunError> {
        let mut conditions = Conditions {
            control: self.control,
            monitor: self.monitor,
            cache: self.conditions,
        };
        self.sessions[session].find_next(&mut conditions).await
    }

    /// The sessions that wait.
    fn blocked(&self) -> impl Iterator<Item = (usize, &InFlight)> {
        self.in_flight().filter(|(_, in_flight)| !in_flight.released)
    }

    fn is_waited_for(&self, session: usize) -> bool {
        self.blocked().any(|(index, in_flight)| match &in_flight.wait {
            // nobody of the run: a prepared transaction, which any session may end
            Some(wait) => wait.blocked_by.is_empty() || wait.blocked_by.contains(&session),
            None => index != session,
        })
    }

    /// Waits until the server has said of every blocked session that its deadlock check has run. A check still to come
    /// could find a cycle that another session closes, and make the wrong one its victim.
    async fn await_deadlock_checks(&mut self) -> Result<(), RunError> {
        let started = Instant::now();
        loop {
            let unchecked: Vec<usize> = self
                .blocked()
                .filter(|(_, one)| one.check == DeadlockCheck::Soon && !one.checked)
                .map(|(index, _)| index)
                .collect();
            if unchecked.is_empty() || !self.limits.deadlock_control {
                return Ok(());
            }
            if started.elapsed() > CHECK_GRACE {
                self.uncontrolled(
                    "the server did not report a deadlock check in time; the victim of a deadlock may differ",
                );
                return Ok(());
            }
            let mut pause = Box::pin(sleep(pause_before(usize::MAX)));
            self.monitor.abandon();
            if let Happening::Session(index, progress) = self.next_happening(&unchecked, pause.as_mut()).await? {
                match progress {
                    Progress::Finished(result) => {
                        // nothing but a timeout that the session set for itself ends a wait without a step of another
                        let turn = self.execution.turns.len().saturating_sub(1);
                        self.finish(index, turn, result);
                        self.uncontrolled("a wait ended by itself, by a timeout that the session set");
                        self.find_next(index).await?;
                    }
                    progress => self.note_check(index, &progress),
                }
            }
        }
    }

    fn note_check(&mut self, index: usize, progress: &Progress) {
        if let Some(in_flight) = self.in_flight_mut(index) {
            in_flight.checked = matches!(progress, Progress::StillWaiting);
        }
    }

    /// With two sessions, one that is sent while the other has a step under way is the one that closes a cycle, and no
    /// other check is wanted. With more, or where the other may begin to wait for one that it has released before that
    /// is resumed, a session may close a cycle later, when it waits anew, so all check soon (see
    /// `await_deadlock_checks`).
    fn deadlock_check(&self) -> DeadlockCheck {
        let closes_no_cycle = !self.limits.signals || self.limits.releases_at_end;
        if self.sessions.len() <= 2 && self.in_flight().next().is_none() && closes_no_cycle {
            DeadlockCheck::Never
        } else {
            DeadlockCheck::Soon
        }
    }

    /// Stops the backends of blocked sessions before a move that may release some: when they run is for the schedule to
    /// say, and what several do is a race between processes (measured: three waiting inserts of one key, released by a
    /// rollback, won 71, 23 and 6 times of 100). They wait on a lock and have had their deadlock check, so they hold
    /// none of the server's internal locks.
    ///
    /// What one does is a race, too, with a commit at SERIALIZABLE that releases it: the commit lets go of its locks a
    /// moment before it counts as one for the checks of serializability (measured: whether a released DELETE was aborted
    /// differed in 6 of 24 runs).
    fn stop_blocked(&mut self, before_move_of: usize) -> Result<(), RunError> {
        if !self.limits.signals {
            return Ok(());
        }
        let blocked: Vec<usize> = self.blocked().map(|(index, _)| index).collect();
        for index in blocked.into_iter().filter(|&index| index != before_move_of) {
            self.suspended.stop(self.sessions[index].backend_pid())?;
            if let Some(in_flight) = self.in_flight_mut(index) {
                in_flight.stopped = true;
            }
        }
        Ok(())
    }

    /// Of the sessions that were stopped, those that no longer wait are released, and stay stopped; the others are
    /// continued.
    async fn release(&mut self, turn: usize) -> Result<(), RunError> {
        let stopped: Vec<usize> = self
            .blocked()
            .filter(|(_, in_flight)| in_flight.stopped)
            .map(|(index, _)| index)
            .collect();
        if stopped.is_empty() {
            return Ok(());
        }
        let waiting = match self.seen_waiting.take() {
            Some(waiting) => waiting,
            None => self.look().await?,
        };
        let (waiting, released): (Vec<usize>, Vec<usize>) = stopped
            .iter()
            .partition(|&&index| waiting.iter().any(|one| one.pid == self.sessions[index].backend_pid()));
        for &index in &released {
            if let Some(in_flight) = self.in_flight_mut(index) {
                in_flight.released = true;
            }
        }
        if let Some(last) = self.execution.moves.last_mut() {
            last.released = released;
        }
        if waiting.is_empty() {
            return Ok(());
        }
        for index in waiting {
            self.continue_backend(index)?;
        }
        self.settle(turn).await
    }

    fn continue_backend(&mut self, index: usize) -> Result<(), RunError> {
        self.suspended.resume(self.sessions[index].backend_pid())?;
        if let Some(in_flight) = self.in_flight_mut(index) {
            in_flight.stopped = false;
        }
        Ok(())
    }

    /// One look at the lock table.
    async fn look(&mut self) -> Result<Vec<Waiting>, RunError> {
        let pids = self.in_flight_pids();
        self.monitor.ask(self.control, &pids).await?;
        Ok(poll_fn(|cx| self.monitor.poll_answer(self.control, cx)).await?)
    }

    fn in_flight_pids(&self) -> Vec<i32> {
        self.in_flight()
            .map(|(index, _)| self.sessions[index].backend_pid())
            .collect()
    }

    /// Waits until every session that runs has finished its step or is blocked.
    async fn settle(&mut self, turn: usize) -> Result<(), RunError> {
        let started = Instant::now();
        self.seen_waiting = None;
        let mut looks = 0;
        let mut outsider = None;
        // the first look comes at once where somebody may hold a lock
        let others_in_transaction = {
            let running = self.running();
            running.len() > 1
                || (0..self.sessions.len())
                    .any(|index| !running.contains(&index) && self.sessions[index].in_transaction())
                || self.in_flight().any(|(_, in_flight)| in_flight.stopped)
        };
        if !others_in_transaction {
            looks = BACKOFF_MILLIS.iter().position(|&pause| pause > 0).unwrap_or_default();
        }
        let mut pause: Pin<Box<Sleep>> = Box::pin(sleep(pause_before(looks)));
        let mut due = others_in_transaction;
        loop {
            let running = self.running();
            if running.is_empty() {
                self.monitor.abandon();
                break;
            }
            if started.elapsed() > self.limits.step_timeout {
                return Err(self.timed_out(&running, outsider));
            }
            if due && !self.monitor.is_under_way() {
                let pids = self.in_flight_pids();
                self.monitor.ask(self.control, &pids).await?;
                due = false;
            }
            match self.next_happening(&running, pause.as_mut()).await? {
                Happening::Session(index, Progress::Finished(result)) => {
                    self.finish(index, turn, result);
                    looks = 0;
                    due = true;
                    self.monitor.abandon();
                }
                Happening::Session(index, progress) => {
                    self.note_check(index, &progress);
                    due = true;
                }
                Happening::Pause => due = true,
                Happening::Look(waiting) => {
                    looks += 1;
                    pause.set(sleep(pause_before(looks)));
                    // words of the sessions that came before the look count before it
                    tokio::task::yield_now().await;
                    if let Some((index, progress)) = self.poll_sessions(&running).await? {
                        match progress {
                            Progress::Finished(result) => self.finish(index, turn, result),
                            progress => self.note_check(index, &progress),
                        }
                        due = true;
                        continue;
                    }
                    let Some(graph) = self.all_blocked(&running, &waiting, &mut outsider) else {
                        continue;
                    };
                    self.record_waits(turn, &running, &graph, &waiting);
                    self.seen_waiting = Some(waiting);
                    break;
                }
            }
        }
        Ok(())
    }

    fn graph(&self, waiting: &[Waiting]) -> WaitForGraph {
        let mut graph = WaitForGraph::default();
        for wait in waiting {
            let Some(session) = self.session_of(wait.pid) else {
                continue;
            };
            for holder in wait.blockers.iter().filter_map(|&pid| self.session_of(pid)) {
                graph.add(session, holder);
            }
        }
        graph
    }

    /// The wait-for graph, when every running session waits for another session of the run and no cycle is left for
    /// Postgres to break.
    fn all_blocked(&self, running: &[usize], waiting: &[Waiting], outsider: &mut Option<i32>) -> Option<WaitForGraph> {
        for &index in running {
            let pid = self.sessions[index].backend_pid();
            let wait = waiting.iter().find(|wait| wait.pid == pid)?;
            // a prepared transaction waits for a session of the run to end it
            let of_the_run = |&pid: &i32| pid == locks::PREPARED_TRANSACTION || self.session_of(pid).is_some();
            if !wait.blockers.iter().any(of_the_run) {
                *outsider = wait.blockers.first().copied();
                return None;
            }
        }
        let graph = self.graph(waiting);
        (!graph.has_cycle()).then_some(graph)
    }

    fn session_of(&self, pid: i32) -> Option<usize> {
        self.sessions.iter().position(|session| session.backend_pid() == pid)
    }

    async fn next_happening(&mut self, running: &[usize], mut pause: Pin<&mut Sleep>) -> Result<Happening, RunError> {
        poll_fn(|cx| {
            for &index in running {
                if let Poll::Ready(progress) = self.sessions[index].poll_progress(cx)? {
                    return Poll::Ready(Ok(Happening::Session(index, progress)));
                }
            }
            if self.monitor.is_under_way() {
                return match self.monitor.poll_answer(self.control, cx)? {
                    Poll::Ready(waiting) => Poll::Ready(Ok(Happening::Look(waiting))),
                    Poll::Pending => Poll::Pending,
                };
            }
            match pause.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Ok(Happening::Pause)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// What a session has said already, without waiting.
    async fn poll_sessions(&mut self, running: &[usize]) -> Result<Option<(usize, Progress)>, RunError> {
        poll_fn(|cx| {
            for &index in running {
                if let Poll::Ready(progress) = self.sessions[index].poll_progress(cx)? {
                    return Poll::Ready(Ok(Some((index, progress))));
                }
            }
            Poll::Ready(Ok(None))
        })
        .await
    }

    fn finish(&mut self, index: usize, turn: usize, finished: Finished) {
        let State::InFlight(in_flight) = std::mem::replace(&mut self.states[index], State::Idle) else {
            return;
        };
        let own_turn = in_flight.turn;
        if let Some(wait) = in_flight.wait {
            self.execution.turns[own_turn].waits.push(wait.until(turn));
        }
        if !finished.deadlock.is_empty() {
            self.record_deadlock(index, own_turn, turn, &finished.deadlock);
        }
        let record = &mut self.execution.turns[own_turn];
        record.result = finished.result;
        record.tx.isolation = Some(finished.isolation);
        record.tx.end = finished.end;
        record.finished_in = turn;
        if let Some(last) = self.execution.moves.last_mut() {
            last.finished.push(own_turn);
        }
    }

    /// The victim's last wait is often too short to be seen in the lock table, but the server names its blocker.
    fn record_deadlock(&mut self, victim: usize, own_turn: usize, turn: usize, backends: &[i32]) {
        let mut sessions: Vec<usize> = backends.iter().filter_map(|&pid| self.session_of(pid)).collect();
        if let Some(&blocker) = sessions.first() {
            self.execution.turns[own_turn].waits.push(Wait {
                blocked_by: vec![blocker],
                from: turn,
                until: turn,
            });
        }
        sessions.push(victim);
        sessions.sort_unstable();
        sessions.dedup();
        self.execution.deadlocks.push(Deadlock { sessions, victim, turn });
        if !self.limits.deadlock_control {
            self.uncontrolled("the server does not let pgbraid set deadlock_timeout, so which session is a deadlock's victim is not under control");
        }
    }

    fn record_waits(&mut self, turn: usize, running: &[usize], graph: &WaitForGraph, waiting: &[Waiting]) {
        for &index in running {
            if let Some(reason) = self.sessions[index].timeout_not_explored() {
                self.uncontrolled(&reason);
            }
            let pid = self.sessions[index].backend_pid();
            let wait = CurrentWait {
                from: turn,
                blocked_by: graph.blockers(index),
                lock: waiting
                    .iter()
                    .find(|wait| wait.pid == pid)
                    .and_then(|wait| wait.lock.clone()),
            };
            let Some(in_flight) = self.in_flight_mut(index) else {
                continue;
            };
            // where the server looks for no deadlock, it will not say that it has
            in_flight.checked |= wait.lock.is_none();
            let own_turn = in_flight.turn;
            match &in_flight.wait {
                Some(before) if before.blocked_by == wait.blocked_by && before.lock == wait.lock => continue,
                _ => {}
            }
            if let Some(before) = in_flight.wait.replace(wait) {
                self.execution.turns[own_turn].waits.push(before.until(turn));
                if let Some(last) = self.execution.moves.last_mut().filter(|last| last.session != index) {
                    last.moved.push(index);
                }
            }
        }
    }

    /// Without signals, what sessions released together do is a race, unless an error ends all of them but one; so is what
    /// one does at SERIALIZABLE.
    fn note_released_together(&mut self, turn: usize) {
        let Some(last) = self.execution.moves.last().filter(|_| !self.limits.signals) else {
            return;
        };
        let is_victim = |session: usize| {
            let deadlocks = self.execution.deadlocks.iter();
            deadlocks
                .filter(|one| one.turn == turn)
                .any(|one| one.victim == session)
        };
        let finished = last.finished.iter().map(|&turn| &self.execution.turns[turn]);
        let released: Vec<&Turn> = finished
            .filter(|other| !other.waits.is_empty() && !is_victim(other.session))
            .collect();
        let went_on = released
            .iter()
            .any(|other| !matches!(other.result, StepResult::Error(_)));
        let several = released.len() > 1;
        // another session's next step could come first
        let overtakes = |index: usize| {
            let is_released = released.iter().any(|other| other.session == index);
            !is_released
                && (self.sessions[index].next_step().is_some() || matches!(self.states[index], State::InFlight(_)))
        };
        let may_be_overtaken = !released.is_empty() && (0..self.sessions.len()).any(overtakes);
        if self.limits.serializable && went_on {
            self.uncontrolled(
                "a serializable transaction was released, and on a server that pgbraid did not start it cannot let it wait \
                 until the other's commit is complete",
            );
        }
        if went_on && may_be_overtaken && !several {
            self.uncontrolled(
                "a session was released while others had steps left, and on a server that pgbraid did not start it cannot let \
                 those come first",
            );
        }
        if several && went_on {
            self.uncontrolled(
                "sessions were released together, and on a server that pgbraid did not start it cannot decide which resumes first",
            );
        }
    }

    fn uncontrolled(&mut self, what: &str) {
        if !self.execution.uncontrolled.iter().any(|known| known == what) {
            self.execution.uncontrolled.push(what.to_owned());
        }
    }

    fn timed_out(&self, running: &[usize], outsider: Option<i32>) -> RunError {
        let late = self
            .in_flight()
            .find(|(index, in_flight)| running.contains(index) && in_flight.wait.is_none());
        let late = late.or_else(|| self.in_flight().next());
        let (index, turn) = late.map_or((0, 0), |(index, in_flight)| (index, in_flight.turn));
        RunError::StepTimeout {
            session: self.sessions[index].name().to_owned(),
            step: self
                .execution
                .turns
                .get(turn)
                .map(|turn| turn.step.clone())
                .unwrap_or_default(),
            limit: self.limits.step_timeout,
            outsider: outsider.map(|pid| format!("process {pid}, which is no session of the run")),
        }
    }
}

fn pause_before(look: usize) -> Duration {
    Duration::from_millis(BACKOFF_MILLIS[look.min(BACKOFF_MILLIS.len() - 1)])
}

impl Execution {
    fn so_far(&self) -> SoFar<'_> {
        SoFar {
            turns: &self.turns,
            moves: &self.moves,
        }
    }

    /// The history of this execution, given how the sessions ended.
    pub fn into_history(self, sessions: Vec<String>, ends: Vec<crate::history::SessionEnd>) -> History {
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
