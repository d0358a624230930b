//! One move: a step is sent, resumed, or ended by its timeout.

use tokio::time::{Instant, sleep};

use super::happening::Happening;
use super::looks::longest_pause;
use super::{Executor, InFlight, State};
use crate::history::{Move, MoveKind};
use crate::postgres::PostgresError;
use crate::run::session::{Finished, Progress, Session};
use crate::run::{Conditions, RunError};

impl<S: Session> Executor<'_, S> {
    /// Sends the next step of `chosen`, or resumes it, and waits until every step under way is over, blocked, or
    /// released and stopped.
    pub(super) async fn make_move(&mut self, chosen: usize, kind: MoveKind) -> Result<(), RunError> {
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
        self.conclude(turn).await?;
        self.note_released_together(turn);
        Ok(())
    }

    /// Waits until every step under way is over, blocked, or released and stopped, and finds out what comes next.
    pub(super) async fn conclude(&mut self, turn: usize) -> Result<(), RunError> {
        self.settle(turn).await?;
        self.release(turn).await?;
        let finished = self.execution.moves.last().map(|last| last.finished.clone());
        for turn in finished.unwrap_or_default() {
            self.find_next(self.execution.turns[turn].session).await?;
        }
        self.look_outside().await
    }

    pub(super) async fn send_step(&mut self, chosen: usize) -> Result<(), RunError> {
        let Some(step) = self.sessions[chosen].next().held().cloned() else {
            return Ok(());
        };
        let turn = self.execution.turns.len();
        let check = self.deadlock_check();
        self.execution.turns.push(step.turn(chosen));
        self.execution.moves.push(Move::new(chosen, MoveKind::Step, turn));
        self.sessions[chosen].send(check).await?;
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

    pub(super) fn resume(&mut self, chosen: usize) -> Result<(), RunError> {
        if let State::InFlight(in_flight) = &self.states[chosen] {
            let mut resumption = Move::new(chosen, MoveKind::Resume, in_flight.turn);
            let retries_after = |session: &usize| {
                let next = self.sessions[*session].next().held();
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
    pub(super) async fn time_out(&mut self, chosen: usize) -> Result<(), RunError> {
        let State::InFlight(in_flight) = &self.states[chosen] else {
            return Ok(());
        };
        self.execution
            .moves
            .push(Move::new(chosen, MoveKind::Timeout, in_flight.turn));
        self.sessions[chosen].expire();
        self.cancel(chosen).await
    }

    /// Cancels a step under way, and waits until it is over.
    pub(super) async fn cancel(&mut self, chosen: usize) -> Result<(), RunError> {
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
            let mut pause = Box::pin(sleep(longest_pause()));
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

    pub(super) async fn find_next(&mut self, session: usize) -> Result<(), RunError> {
        let mut conditions = Conditions {
            control: self.control,
            monitor: self.monitor,
            cache: self.conditions,
        };
        self.sessions[session].find_next(&mut conditions).await
    }

    pub(super) fn finish(&mut self, index: usize, turn: usize, finished: Finished) {
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
            // where released sessions cannot be stopped, the order in which answers arrive is a race
            let own = last.turn;
            last.finished.sort_by_key(|&turn| (turn != own, turn));
        }
    }
}
