//! A turn, and the statement that was sent in it.

use std::sync::Arc;

use super::{StepResult, Tx};
use crate::sql::{self, StatementKind};

/// A session sent a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The index of the session.
    pub session: usize,
    /// The step's name.
    pub step: String,
    /// What was sent, before its variables were filled in.
    pub statement: Arc<Statement>,
    /// Statement with its variables filled in, for reading.
    pub filled: String,
    /// The values of the statement's variables; `None` where a value is NULL or is shown masked.
    pub values: Vec<Option<String>>,
    /// The BEGIN (or START TRANSACTION …) sent right before the step, as written; `None` where the transaction was
    /// open.
    pub begin: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// Where its transaction stands, as the server told it.
    pub tx: Tx,
    /// 0 for the first run of a transaction, 1 for the first retry, …
    pub attempt: u32,
    /// What it brought back.
    pub result: StepResult,
    /// The waits of this step, in order; empty where it never blocked.
    pub waits: Vec<Wait>,
    /// The last turn at the time this step finished: its own index where it never blocked.
    pub finished_in: usize,
}

impl Turn {
    /// The index of its statement among those that its session may run.
    pub fn program_step(&self) -> usize {
        self.statement.seen.unwrap_or(self.origin.step())
    }

    /// The value of `finished_in` while the step is under way.
    pub const IN_FLIGHT: usize = usize::MAX;

    /// Whether its statement ends the transaction that it is in, if it does not fail.
    pub fn ends_transaction(&self) -> bool {
        self.commits()
            || matches!(self.statement.kind, StatementKind::Rollback { .. })
            || matches!(self.origin, Origin::Disconnect(_))
    }

    /// Whether its statement commits, if it does not fail. What PostgreSQL refuses in a block is a transaction of its own
    /// outside one.
    pub fn commits(&self) -> bool {
        match self.statement.kind {
            StatementKind::Commit { .. } | StatementKind::PrepareTransaction => true,
            StatementKind::OutsideBlock => self.tx.opens,
            _ => false,
        }
    }
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// As written.
    pub sql: String,
    /// What kind of statement it is.
    pub kind: StatementKind,
    /// It asks for its rows in an order.
    pub ordered: bool,
    /// Its number among the statements that programs were seen to send; `None` where the scenario declares it.
    pub seen: Option<usize>,
}

impl Statement {
    /// A statement by its text.
    pub fn of(sql: &str) -> Statement {
        let sql::Statement { kind, ordered, .. } = sql::Statement::classify(sql);
        Statement {
            sql: sql.to_owned(),
            kind,
            ordered,
            seen: None,
        }
    }
}

/// Where a turn's statement comes from. Each variant holds the index of a step that the session declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// That step.
    Step(usize),
    /// The commit of that step, which stands outside a transaction.
    Autocommit(usize),
    /// The ROLLBACK after the error of that step, or of a transaction that nothing else ends.
    Rollback(usize),
    /// The end of the connection after that step, where the session still has advisory locks that outlive transactions.
    Disconnect(usize),
}

/// The name of the turn in which a session's connection ends.
pub const DISCONNECT: &str = "disconnect";

impl Origin {
    /// Whether it is a step of the scenario, not one that pgbraid adds.
    pub fn is_step(self) -> bool {
        matches!(self, Origin::Step(_))
    }

    /// Index in the session's declared steps.
    pub fn step(self) -> usize {
        match self {
            Origin::Step(step) | Origin::Autocommit(step) | Origin::Rollback(step) | Origin::Disconnect(step) => step,
        }
    }

    /// As outcomes and reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Origin::Step(_) => "step",
            Origin::Autocommit(_) => "autocommit",
            Origin::Rollback(_) => "rollback",
            Origin::Disconnect(_) => DISCONNECT,
        }
    }
}

/// A period during which a step was blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Sessions that it waited for, ascending.
    pub blocked_by: Vec<usize>,
    /// The turn in which it began to wait.
    pub from: usize,
    /// The last turn at the time this wait ended.
    pub until: usize,
}
