//! What the server logs about waits for locks, with `log_lock_waits`.

/// A message about a session's wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitReport {
    /// It has waited for `deadlock_timeout`, and its deadlock check found none.
    StillWaiting,
    /// The wait is over.
    Acquired,
}

impl WaitReport {
    /// Reads a message of severity LOG.
    pub fn of(message: &str) -> Option<WaitReport> {
        if message.contains(" still waiting for ") {
            Some(WaitReport::StillWaiting)
        } else if message.contains(" acquired ") {
            Some(WaitReport::Acquired)
        } else {
            None
        }
    }
}
