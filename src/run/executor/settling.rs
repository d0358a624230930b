//! Waiting until every running session has finished its step or is blocked.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::{CurrentWait, Executor};
use crate::history::Uncontrolled;
use crate::postgres::locks::{self, Waiting};
use crate::run::RunError;
use crate::run::session::{Progress, Session};
use crate::run::wait_for::WaitForGraph;

/// Pauses between two looks at the lock table; the last one repeats. The first looks follow at once.
const BACKOFF_MILLIS: [u64; 9] = [0, 0, 0, 1, 1, 2, 4, 8, 16];

pub(super) enum Happening {
    Session(usize, Progress),
    Look(Vec<Waiting>),
    Pause,
}

impl<S: Session> Executor<'_, S> {
    /// One look at the lock table.
    pub(super) async fn look(&mut self) -> Result<Vec<Waiting>, RunError> {
        let pids = self.in_flight_pids();
        self.monitor.ask(self.control, &pids).await?;
        Ok(poll_fn(|cx| self.monitor.poll_answer(self.control, cx)).await?)
    }

    pub(super) fn in_flight_pids(&self) -> Vec<i32> {
        self.in_flight()
            .map(|(index, _)| self.sessions[index].backend_pid())
            .collect()
    }

    /// Waits until every session that runs has finished its step or is blocked.
    pub(super) async fn settle(&mut self, turn: usize) -> Result<(), RunError> {
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

    pub(super) fn graph(&self, waiting: &[Waiting]) -> WaitForGraph {
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
    pub(super) fn all_blocked(
        &self,
        running: &[usize],
        waiting: &[Waiting],
        outsider: &mut Option<i32>,
    ) -> Option<WaitForGraph> {
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

    pub(super) async fn next_happening(
        &mut self,
        running: &[usize],
        mut pause: Pin<&mut Sleep>,
    ) -> Result<Happening, RunError> {
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
    pub(super) async fn poll_sessions(&mut self, running: &[usize]) -> Result<Option<(usize, Progress)>, RunError> {
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

    pub(super) fn record_waits(&mut self, turn: usize, running: &[usize], graph: &WaitForGraph, waiting: &[Waiting]) {
        for &index in running {
            if let Some(reason) = self.sessions[index].timeout_not_explored() {
                self.uncontrolled(Uncontrolled::TimeoutNotExplored(reason));
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

    pub(super) fn timed_out(&self, running: &[usize], outsider: Option<i32>) -> RunError {
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

pub(super) fn pause_before(look: usize) -> Duration {
    Duration::from_millis(BACKOFF_MILLIS[look.min(BACKOFF_MILLIS.len() - 1)])
}
