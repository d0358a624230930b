//! The isolation level of a session's transactions, as its statements set it.

use crate::history::Origin;
use crate::sql::{Isolation, StatementKind, isolation_named};

/// Tracks the level of a session from statement to statement.
#[derive(Debug, Clone, Copy)]
pub struct Level {
    /// The level that the connection began with.
    first: Isolation,
    /// The level of transactions that do not set one.
    default: Isolation,
    of_transaction: Option<Isolation>,
}

impl Level {
    pub fn new(default: Isolation) -> Level {
        Level {
            first: default,
            default,
            of_transaction: None,
        }
    }

    /// Takes note of a statement that ran, and of the BEGIN sent before it, and returns the level that it ran at.
    pub fn take_in(&mut self, begin: Option<&str>, origin: Origin, kind: StatementKind, sql: &str) -> Isolation {
        let own = (origin.is_step() && kind == StatementKind::Begin).then_some(sql);
        if let Some(level) = begin.or(own).and_then(isolation_named) {
            self.of_transaction = Some(level);
        }
        if kind == StatementKind::Setting
            && let Some(level) = isolation_named(sql)
        {
            match sql.to_lowercase() {
                sql if sql.contains("default_transaction") || sql.contains("characteristics") => self.default = level,
                _ => self.of_transaction = Some(level),
            }
        }
        self.of_transaction.unwrap_or(self.default)
    }

    /// Transactions begin at the level again that the connection began with.
    pub fn reset(&mut self) {
        self.default = self.first;
    }

    /// The level of the transaction under way, or of the next.
    pub fn now(&self) -> Isolation {
        self.of_transaction.unwrap_or(self.default)
    }

    /// The transaction begins at this level.
    pub fn of_begin(&mut self, level: Isolation) {
        self.of_transaction = Some(level);
    }

    /// The transaction has ended.
    pub fn end_transaction(&mut self) {
        self.of_transaction = None;
    }
}
