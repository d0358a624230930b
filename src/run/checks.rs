//! When the server looks for a deadlock in a session's waits.

use super::session::DeadlockCheck;

/// How long a session that may close a cycle waits before its deadlock check: the shortest time that PostgreSQL
/// accepts.
const CHECK_SOON: &str = "SET LOCAL deadlock_timeout = '1ms'";
const CHECK_NEVER: &str = "SET LOCAL deadlock_timeout = '1h'";

/// The deadlock check that a connection has, as its transaction has set it.
#[derive(Debug, Clone, Copy)]
pub struct Checks {
    /// The one that the connection starts with; `None` where the server does not let us set it.
    default: Option<DeadlockCheck>,
    of_transaction: Option<DeadlockCheck>,
}

impl Checks {
    pub fn new(default: Option<DeadlockCheck>) -> Checks {
        Checks {
            default,
            of_transaction: None,
        }
    }

    /// What is to be sent in a transaction so that it has this check; `None` where it has.
    pub fn change_to(&mut self, check: DeadlockCheck) -> Option<&'static str> {
        if self.of_transaction.unwrap_or(self.default?) == check {
            return None;
        }
        self.of_transaction = Some(check);
        Some(match check {
            DeadlockCheck::Soon => CHECK_SOON,
            DeadlockCheck::Never => CHECK_NEVER,
        })
    }

    /// What the transaction has set is gone: it has ended, or has gone back to a savepoint.
    pub fn forget(&mut self) {
        self.of_transaction = None;
    }
}
