//! Waiting until every running session has finished its step or is blocked.

use tokio::time::Instant;

use super::happening::Happening;
use super::looks::Looks;
use super::standing::Standing;
use super::{CurrentWait, Executor};
use crate::history::Uncontrolled;
use crate::postgres::locks::Waiting;
use crate::run::RunError;
use crate::run::session::{Progress, Session};
use crate::run::wait_for::WaitForGraph;

impl<S: Session> Executor<'_, S> {
    /// Waits until every session that runs has finished its step or is blocked.
    pub(super) async fn settle(&mut self, turn: usize) -> Result<(), RunError> {
        let started = Instant::now();
        let mut outsider = None;
        let mut looks = Looks::new(self.may_block());
        self.seen_waiting = None;
        loop {
            let running = self.running();
            if running.is_empty() {
                self.monitor.abandon();
                return Ok(());
            }
            if started.elapsed() > self.limits.step_timeout {
                return Err(self.timed_out(&running, outsider));
            }
            if looks.due && !self.monitor.is_under_way() {
                self.begin_look().await?;
                looks.due = false;
            }
            let waiting = match self.next_happening(&running, looks.pause.as_mut()).await? {
                Happening::Session(index, progress) => {
                    self.take_in(index, progress, turn, &mut looks);
                    continue;
                }
                Happening::Pause => {
                    looks.due = true;
                    continue;
                }
                Happening::Look(waiting) => waiting,
            };
            looks.answered();
            // what a session said before the look was answered may not be read yet, and the look is then out of date
            tokio::task::yield_now().await;
            if let Some((index, progress)) = self.said_already(&running).await? {
                self.take_in(index, progress, turn, &mut looks);
                continue;
            }
            match self.standing(&running, &waiting) {
                Standing::AllBlocked(graph) => {
                    self.record_waits(turn, &running, &graph, &waiting);
                    self.seen_waiting = Some(waiting);
                    return Ok(());
                }
                Standing::WaitsForOutsider(process) => outsider = process,
                Standing::Running => {}
            }
        }
    }

    /// Whether a session that runs may come to wait for another: another runs, or has a transaction open or a step under
    /// way, so that it may hold locks.
    fn may_block(&self) -> bool {
        let running = self.running();
        let in_transaction = |index: usize| !running.contains(&index) && self.sessions[index].in_transaction();
        running.len() > 1
            || (0..self.sessions.len()).any(in_transaction)
            || self.in_flight().any(|(_, in_flight)| in_flight.stopped)
    }

    /// What a session has said of its step. Whatever the lock table showed before is out of date then.
    fn take_in(&mut self, index: usize, progress: Progress, turn: usize, looks: &mut Looks) {
        match progress {
            Progress::Finished(finished) => {
                self.finish(index, turn, finished);
                self.monitor.abandon();
                looks.start_over();
            }
            progress => {
                self.note_check(index, &progress);
                looks.due = true;
            }
        }
    }

    /// Takes down who waits for whom, where that is not what it was.
    fn record_waits(&mut self, turn: usize, running: &[usize], graph: &WaitForGraph, waiting: &[Waiting]) {
        for &index in running {
            if let Some(reason) = self.sessions[index].timeout_not_explored() {
                self.uncontrolled(Uncontrolled::TimeoutNotExplored(reason));
            }
            let wait = CurrentWait {
                from: turn,
                blocked_by: graph.blockers(index),
                lock: self.wait_of(index, waiting).and_then(|wait| wait.lock.clone()),
            };
            self.record_wait(index, wait);
        }
    }

    fn record_wait(&mut self, index: usize, wait: CurrentWait) {
        let Some(in_flight) = self.in_flight_mut(index) else {
            return;
        };
        // where the server looks for no deadlock, it will not say that it has
        in_flight.checked |= wait.lock.is_none();
        if in_flight.wait.as_ref().is_some_and(|before| before.is_same(&wait)) {
            return;
        }
        let (own_turn, turn) = (in_flight.turn, wait.from);
        let Some(before) = in_flight.wait.replace(wait) else {
            return;
        };
        // it came from one wait into another
        self.execution.turns[own_turn].waits.push(before.until(turn));
        if let Some(last) = self.execution.moves.last_mut().filter(|last| last.session != index) {
            last.moved.push(index);
        }
    }

    /// The error that a step neither finishes nor waits for a session of the run: preferably one that is not known to wait.
    pub(super) fn timed_out(&self, running: &[usize], outsider: Option<i32>) -> RunError {
        let late = self
            .in_flight()
            .find(|(index, in_flight)| running.contains(index) && in_flight.wait.is_none());
        let late = late.or_else(|| self.in_flight().next());
        let (index, turn) = late.map_or((0, 0), |(index, in_flight)| (index, in_flight.turn));
        let turn = self.execution.turns.get(turn);
        RunError::StepTimeout {
            session: self.sessions[index].name().to_owned(),
            step: turn.map(|turn| turn.step.clone()).unwrap_or_default(),
            limit: self.limits.step_timeout,
            outsider: outsider.map(|pid| format!("process {pid}, which is no session of the run")),
        }
    }
}
