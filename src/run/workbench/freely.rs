//! Runs a scenario's sessions as applications do: all at once, without a scheduler.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::{Template, Workbench};
use crate::history::{SessionEnd, StepOutcome};
use crate::run::{AnySession, Conditions, DeadlockCheck, Progress, RunError, Session};
use crate::verdict;
use crate::verdict::outcome::{Outcome, Violation};

/// The result of running the sessions freely.
#[derive(Debug)]
pub struct FreeRun {
    pub outcome: Outcome,
    pub violations: Vec<Violation>,
    pub ends: Vec<SessionEnd>,
    /// By session, the steps that count.
    pub results: Vec<Vec<StepOutcome>>,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<(), RunError>> + 'a>>;

impl Workbench {
    /// As [`Workbench::open`], for [`Workbench::run_freely`]: the sessions' connections are plain ones.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn open_freely(template: Arc<Template>, limit: Duration) -> Result<Workbench, RunError> {
        let mut workbench = Workbench::open(template, limit).await?;
        workbench.plain = true;
        workbench.connect_sessions().await?;
        Ok(workbench)
    }

    /// Runs all sessions at once from the state after setup. `pause` says how long a session waits before its next
    /// step.
    ///
    /// # Errors
    /// When a session does not end within the limit, or the server fails; the workbench must then not be used again.
    pub async fn run_freely(&mut self, mut pause: impl FnMut(usize) -> Duration) -> Result<FreeRun, RunError> {
        self.reset().await?;
        let limit = self.limits.step_timeout;
        {
            let conditions = Mutex::new(Conditions {
                control: &mut self.control,
                monitor: &mut self.monitor,
                cache: &mut self.conditions,
            });
            let mut pauses = Vec::with_capacity(self.sessions.len());
            for (index, session) in self.template.scenario.sessions.iter().enumerate() {
                // one COMMIT for each autocommitted statement, and a ROLLBACK
                let most = 2 * session.steps.len() + 2;
                pauses.push((0..most).map(|_| pause(index)).collect::<Vec<_>>());
            }
            let running = self.sessions.iter_mut().zip(pauses);
            let running = running
                .map(|(session, pauses)| -> Running<'_> { Box::pin(run_to_end(session, pauses, &conditions)) })
                .collect();
            timeout(limit, all(running))
                .await
                .map_err(|_| RunError::TakesTooLong {
                    doing: "running all sessions at once",
                    limit,
                })??;
        }
        let (tables, answers) = self.evaluate().await?;
        self.roll_back_prepared().await?;
        let scenario = &self.template.scenario;
        let ends: Vec<_> = self.sessions.iter().map(Session::end).collect();
        let results = self.results();
        Ok(FreeRun {
            violations: verdict::judge(scenario, &[], &ends, &[], answers),
            outcome: Outcome::new(scenario, &results, &ends, tables),
            ends,
            results,
        })
    }
}

async fn run_to_end(
    session: &mut AnySession,
    pauses: Vec<Duration>,
    conditions: &Mutex<Conditions<'_>>,
) -> Result<(), RunError> {
    let mut pauses = pauses.into_iter();
    loop {
        session.find_next(&mut *conditions.lock().await).await?;
        if session.next().held().is_none() {
            return Ok(());
        }
        let pause = pauses.next().unwrap_or_default();
        spend(pause).await;
        session.send_begin().await?;
        spend(pause).await;
        session.send(DeadlockCheck::Never).await?;
        while !matches!(poll_fn(|cx| session.poll_progress(cx)).await?, Progress::Finished(_)) {}
    }
}

/// The runtime's timers have a resolution of milliseconds.
async fn spend(pause: Duration) {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        yield_now().await;
    }
}

/// Runs all of them to their end, or to the first error.
async fn all(mut running: Vec<Running<'_>>) -> Result<(), RunError> {
    poll_fn(move |cx| {
        let mut index = 0;
        while index < running.len() {
            match running[index].as_mut().poll(cx) {
                Poll::Ready(Ok(())) => drop(running.swap_remove(index)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => index += 1,
            }
        }
        match running.is_empty() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    })
    .await
}
