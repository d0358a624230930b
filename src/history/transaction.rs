//! What a turn did to its session's transaction.

use super::{Origin, StepResult};
use crate::sql::{Isolation, StatementKind};

/// A turn's part in its session's transaction, as the server told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tx {
    /// The session was in no transaction when the turn's statement was sent.
    pub opens: bool,
    /// The level of the transaction; `None` until it is known.
    pub isolation: Option<Isolation>,
    /// How the turn ended the transaction; `None` where it did not, or is under way.
    pub end: Option<TxEnd>,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxEnd {
    Committed,
    /// By a ROLLBACK, or by the COMMIT of a transaction that had failed before.
    RolledBack,
    /// By an error.
    Failed,
}

impl TxEnd {
    /// How a statement ended its transaction, given what the server answered.
    pub fn of(origin: Origin, kind: StatementKind, result: &StepResult) -> Option<TxEnd> {
        if matches!(result, StepResult::Error(_)) {
            return Some(TxEnd::Failed);
        }
        // a COMMIT of a transaction that had failed says ROLLBACK
        let by_tag = match result {
            StepResult::Done { tag } if tag == "COMMIT" => TxEnd::Committed,
            _ => TxEnd::RolledBack,
        };
        match (origin, kind) {
            (Origin::Disconnect(_), _) => None,
            (_, StatementKind::Commit { .. }) => Some(by_tag),
            (_, StatementKind::Rollback { .. }) => Some(TxEnd::RolledBack),
            // the server runs it in a transaction of its own
            (_, StatementKind::OutsideBlock) => Some(TxEnd::Committed),
            _ => None,
        }
    }

    pub fn is_commit(self) -> bool {
        self == TxEnd::Committed
    }
}
