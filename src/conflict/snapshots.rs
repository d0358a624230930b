//! How transactions see others.

use crate::scenario::Session;
use crate::sql::Isolation;
use crate::sql::lexer::{TokenKind, tokens};
use crate::sql::words::{LEVEL_SETTINGS, SET_CONFIG};

/// How a transaction sees others. If its isolation level is not known, all of these are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshots {
    /// Each statement takes a snapshot (READ COMMITTED).
    pub per_statement: bool,
    /// Its first statement takes one for all (REPEATABLE READ, SERIALIZABLE).
    pub per_transaction: bool,
    /// Its reads are tracked (SERIALIZABLE).
    pub serializable: bool,
}

impl Snapshots {
    /// Each statement takes a snapshot, and nothing else applies.
    pub fn is_read_committed(self) -> bool {
        self.per_statement && !self.per_transaction && !self.serializable
    }

    pub const UNKNOWN: Snapshots = Snapshots {
        per_statement: true,
        per_transaction: true,
        serializable: true,
    };

    /// Of transactions at any of these levels.
    pub fn of_levels(levels: impl IntoIterator<Item = Isolation>) -> Snapshots {
        let none = Snapshots {
            per_statement: false,
            per_transaction: false,
            serializable: false,
        };
        levels.into_iter().map(Snapshots::of).fold(none, |all, one| Snapshots {
            per_statement: all.per_statement || one.per_statement,
            per_transaction: all.per_transaction || one.per_transaction,
            serializable: all.serializable || one.serializable,
        })
    }

    fn of(isolation: Isolation) -> Snapshots {
        Snapshots {
            per_statement: isolation == Isolation::ReadCommitted,
            per_transaction: isolation != Isolation::ReadCommitted,
            serializable: isolation == Isolation::Serializable,
        }
    }

    /// A session that sets an isolation level in SQL may have any of them.
    pub fn of_session(session: &Session) -> Snapshots {
        let sets = |name: &str| {
            let mut names = ["isolation", SET_CONFIG].into_iter().chain(LEVEL_SETTINGS);
            names.any(|known| name.eq_ignore_ascii_case(known))
        };
        let sets_level = session.steps.iter().any(|step| {
            tokens(&step.sql.text).any(|token| {
                let name = token.text.trim_matches('"');
                matches!(token.kind, TokenKind::Word | TokenKind::QuotedName) && sets(name)
            })
        });
        if sets_level {
            Snapshots::UNKNOWN
        } else {
            Snapshots::of(session.isolation)
        }
    }
}
