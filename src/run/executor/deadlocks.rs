//! Deadlock checks: the session that closes a cycle is its victim.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Executor;
use super::happening::Happening;
use super::looks::longest_pause;
use crate::history::{Deadlock, Uncontrolled, Wait};
use crate::run::RunError;
use crate::run::session::{DeadlockCheck, Progress, Session};

/// How long a wait may last without the server's report that its deadlock check has run. The check is due after a
/// millisecond; a session that has turned off such messages never gets the report, and the victim is then not under
/// control.
const CHECK_GRACE: Duration = Duration::from_millis(200);

impl<S: Session> Executor<'_, S> {
    pub(super) fn is_waited_for(&self, session: usize) -> bool {
        self.blocked().any(|(index, in_flight)| match &in_flight.wait {
            // no session of the run: a prepared transaction, which any session may end
            Some(wait) => wait.blocked_by.is_empty() || wait.blocked_by.contains(&session),
            None => index != session,
        })
    }

    /// Waits until the server has reported for every blocked session that its deadlock check has run. A later check
    /// could find a cycle that another session closes, and make the wrong one its victim.
    pub(super) async fn await_deadlock_checks(&mut self) -> Result<(), RunError> {
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
                self.uncontrolled(Uncontrolled::DeadlockCheckLate);
                return Ok(());
            }
            let mut pause = Box::pin(sleep(longest_pause()));
            self.monitor.abandon();
            if let Happening::Session(index, progress) = self.next_happening(&unchecked, pause.as_mut()).await? {
                match progress {
                    Progress::Finished(result) => {
                        // only a timeout that the session set for itself ends a wait without a step of another session
                        let turn = self.execution.turns.len().saturating_sub(1);
                        self.finish(index, turn, result);
                        self.uncontrolled(Uncontrolled::WaitTimedOut);
                        self.find_next(index).await?;
                    }
                    progress => self.note_check(index, &progress),
                }
            }
        }
    }

    pub(super) fn note_check(&mut self, index: usize, progress: &Progress) {
        if let Some(in_flight) = self.in_flight_mut(index) {
            in_flight.checked = matches!(progress, Progress::StillWaiting);
        }
    }

    /// With two sessions, one that is sent while the other has a step under way is the one that closes a cycle, and no
    /// other check is needed. With more, or where the other may begin to wait for a session that it has released before
    /// that session resumes, a session may close a cycle later, when it waits again, so all check soon (see
    /// `await_deadlock_checks`).
    pub(super) fn deadlock_check(&self) -> DeadlockCheck {
        let closes_no_cycle = !self.limits.signals || self.limits.releases_at_end;
        if self.sessions.len() <= 2 && self.in_flight().next().is_none() && closes_no_cycle {
            DeadlockCheck::Never
        } else {
            DeadlockCheck::Soon
        }
    }

    /// The victim's last wait is often too short to be seen in the lock table, but the server names its blocker.
    pub(super) fn record_deadlock(&mut self, victim: usize, own_turn: usize, turn: usize, backends: &[i32]) {
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
            self.uncontrolled(Uncontrolled::DeadlockVictim);
        }
    }
}
