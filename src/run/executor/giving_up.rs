//! Steps that wait for a lock which no session will give back.

use super::Executor;
use crate::run::RunError;
use crate::run::session::Session;

impl<S: Session> Executor<'_, S> {
    /// Ends the wait of the first blocked session that can be given up, where nobody can move.
    pub(super) async fn give_up_blocked(&mut self) -> Result<(), RunError> {
        let blocked: Vec<usize> = self.blocked().map(|(index, _)| index).collect();
        for &index in &blocked {
            if self.sessions[index].give_up().await? {
                self.await_deadlock_checks().await?;
                self.stop_blocked(index)?;
                self.cancel(index).await?;
                return self.conclude(self.execution.turns.len() - 1).await;
            }
        }
        let waiting = blocked.first().map(|&index| self.sessions[index].name().to_owned());
        Err(RunError::Stuck {
            waiting: waiting.unwrap_or_default(),
        })
    }
}
