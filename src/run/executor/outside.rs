//! Sessions that wait for something outside the database.

use tokio::time::{Instant, sleep};

use super::looks::longest_pause;
use super::{Executor, State};
use crate::run::RunError;
use crate::run::session::{Next, Outside, Session};

impl<S: Session> Executor<'_, S> {
    /// Finds out which of the sessions that waited outside the database have come to their next step. Where nobody else can
    /// move, waits until one has, and in the end gives up those that can be given up.
    pub(super) async fn look_outside(&mut self) -> Result<(), RunError> {
        let mut started = Instant::now();
        loop {
            let thinking = self.thinking();
            if thinking.is_empty() {
                return Ok(());
            }
            for index in thinking {
                self.find_next(index).await?;
                self.note_wait_at_start(index);
            }
            if self.thinking().is_empty() || self.somebody_can_move() {
                return Ok(());
            }
            if started.elapsed() > self.limits.step_timeout {
                self.give_up_thinking().await?;
                started = Instant::now();
            }
            sleep(longest_pause()).await;
        }
    }

    async fn give_up_thinking(&mut self) -> Result<(), RunError> {
        let thinking = self.thinking();
        let mut has_given_up = false;
        for &index in &thinking {
            has_given_up |= self.sessions[index].give_up().await?;
        }
        match has_given_up {
            true => Ok(()),
            false => Err(RunError::WaitsOutside {
                sessions: thinking
                    .iter()
                    .map(|&index| self.sessions[index].name().to_owned())
                    .collect(),
                limit: self.limits.step_timeout,
            }),
        }
    }

    fn thinking(&self) -> Vec<usize> {
        let is_thinking = |index: &usize| {
            matches!(self.states[*index], State::Idle) && matches!(self.sessions[*index].next(), Next::Thinking)
        };
        (0..self.sessions.len()).filter(is_thinking).collect()
    }

    fn somebody_can_move(&self) -> bool {
        let can_move = |index: usize| match &self.states[index] {
            State::Idle => self.sessions[index].next().held().is_some(),
            State::InFlight(in_flight) => in_flight.released,
        };
        (0..self.sessions.len()).any(can_move)
    }

    /// The order in which sessions begin is not explored, and with a lock that is taken before the first step it matters.
    fn note_wait_at_start(&mut self, index: usize) {
        let Some(Outside::FileLock { holder }) = self.sessions[index].outside() else {
            return;
        };
        if self.execution.moves.iter().any(|one| one.session == index) {
            return;
        }
        let of_holder = self.sessions.iter().position(|session| session.owns_process(holder));
        let pair = (index, of_holder.unwrap_or(index));
        if !self.execution.waited_at_start.contains(&pair) {
            self.execution.waited_at_start.push(pair);
        }
    }
}
