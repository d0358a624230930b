//! Sessions that a move releases: they are stopped, and resumed when the schedule says so.

use super::{Executor, State};
use crate::history::{StepResult, Turn, Uncontrolled};
use crate::run::RunError;
use crate::run::session::Session;

impl<S: Session> Executor<'_, S> {
    /// Stops the backends of blocked sessions before a move that may release some. When they run is for the schedule to
    /// decide, and what several do is a race between processes (measured: three waiting inserts of one key, released by
    /// a rollback, won 71, 23 and 6 times out of 100). They wait on a lock and have had their deadlock check, so they
    /// hold none of the server's internal locks.
    ///
    /// Even a single released session is in a race with a commit at SERIALIZABLE: the commit releases its locks a
    /// moment before it counts as committed in the checks of serializability (measured: whether a released DELETE was
    /// aborted differed in 6 of 24 runs).
    pub(super) fn stop_blocked(&mut self, before_move_of: usize) -> Result<(), RunError> {
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

    /// Of the stopped sessions, those that no longer wait are released, and stay stopped; the others are continued.
    pub(super) async fn release(&mut self, turn: usize) -> Result<(), RunError> {
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

    pub(super) fn continue_backend(&mut self, index: usize) -> Result<(), RunError> {
        self.suspended.resume(self.sessions[index].backend_pid())?;
        if let Some(in_flight) = self.in_flight_mut(index) {
            in_flight.stopped = false;
        }
        Ok(())
    }

    /// Without signals, what sessions released together do is a race, unless an error ends all but one of them; so is
    /// what a single one does at SERIALIZABLE.
    pub(super) fn note_released_together(&mut self, turn: usize) {
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
        let resumed = released
            .iter()
            .any(|other| !matches!(other.result, StepResult::Error(_)));
        let several = released.len() > 1;
        // another session's next step could come first
        let overtakes = |index: usize| {
            let is_released = released.iter().any(|other| other.session == index);
            !is_released
                && (self.sessions[index].next().held().is_some() || matches!(self.states[index], State::InFlight(_)))
        };
        let may_be_overtaken = !released.is_empty() && (0..self.sessions.len()).any(overtakes);
        if self.limits.serializable && resumed {
            self.uncontrolled(Uncontrolled::SerializableReleased);
        }
        if resumed && may_be_overtaken && !several {
            self.uncontrolled(Uncontrolled::ReleasedAhead);
        }
        if several && resumed {
            self.uncontrolled(Uncontrolled::ReleasedTogether);
        }
    }
}
