//! What comes next while sessions run: word of one of them, or an answer of the lock table.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::Sleep;

use super::Executor;
use crate::postgres::locks::Waiting;
use crate::run::RunError;
use crate::run::session::{Progress, Session};

pub(super) enum Happening {
    Session(usize, Progress),
    Look(Vec<Waiting>),
    Pause,
}

impl<S: Session> Executor<'_, S> {
    /// The first of these: one of `sessions` has something to say, the look under way is answered, or, where none is, the
    /// pause is over.
    pub(super) async fn next_happening(
        &mut self,
        sessions: &[usize],
        mut pause: Pin<&mut Sleep>,
    ) -> Result<Happening, RunError> {
        poll_fn(|cx| {
            if let Some((index, progress)) = self.poll_progress(sessions, cx)? {
                return Poll::Ready(Ok(Happening::Session(index, progress)));
            }
            if self.monitor.is_under_way() {
                let waiting = ready!(self.monitor.poll_answer(self.control, cx))?;
                return Poll::Ready(Ok(Happening::Look(waiting)));
            }
            ready!(pause.as_mut().poll(cx));
            Poll::Ready(Ok(Happening::Pause))
        })
        .await
    }

    /// What one of `sessions` has said already, without waiting.
    pub(super) async fn said_already(&mut self, sessions: &[usize]) -> Result<Option<(usize, Progress)>, RunError> {
        poll_fn(|cx| Poll::Ready(self.poll_progress(sessions, cx))).await
    }

    fn poll_progress(
        &mut self,
        sessions: &[usize],
        cx: &mut Context<'_>,
    ) -> Result<Option<(usize, Progress)>, RunError> {
        for &index in sessions {
            if let Poll::Ready(progress) = self.sessions[index].poll_progress(cx)? {
                return Ok(Some((index, progress)));
            }
        }
        Ok(None)
    }

    /// One look at the lock table.
    pub(super) async fn look(&mut self) -> Result<Vec<Waiting>, RunError> {
        self.begin_look().await?;
        Ok(poll_fn(|cx| self.monitor.poll_answer(self.control, cx)).await?)
    }

    /// Asks the lock table who waits, of the sessions with a step under way.
    pub(super) async fn begin_look(&mut self) -> Result<(), RunError> {
        let pids: Vec<i32> = self
            .in_flight()
            .map(|(index, _)| self.sessions[index].backend_pid())
            .collect();
        Ok(self.monitor.ask(self.control, &pids).await?)
    }
}
