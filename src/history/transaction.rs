//! What a turn did to its session's transaction.

use super::Origin;
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
    /// By a commit.
    Committed,
    /// By a ROLLBACK, or by the COMMIT of a transaction that had failed before.
    RolledBack,
    /// By an error.
    Failed,
}

impl TxEnd {
    /// How a statement ended its transaction, given the command tag that the server answered with; `None` for an error.
    pub fn of(origin: Origin, kind: StatementKind, tag: Option<&str>) -> Option<TxEnd> {
        if matches!(origin, Origin::Disconnect(_)) {
            return None;
        }
        let Some(tag) = tag else { return Some(TxEnd::Failed) };
        // a COMMIT of a transaction that had failed says ROLLBACK
        let by_tag = if tag == "COMMIT" {
            TxEnd::Committed
        } else {
            TxEnd::RolledBack
        };
        match kind {
            StatementKind::Commit { .. } => Some(by_tag),
            StatementKind::Rollback { .. } => Some(TxEnd::RolledBack),
            // the server runs it in a transaction of its own
            StatementKind::OutsideBlock => Some(TxEnd::Committed),
            _ => None,
        }
    }
}
