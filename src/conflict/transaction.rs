//! The transaction that a session is in, taken down turn by turn.

use super::event::{End, Piece};
use super::footprint::Footprint;
use super::program::Program;
use super::turn::{filled_by, found_nothing, whatever_it_finds};
use crate::history::{StepResult, Turn, TxEnd};
use crate::sql::StatementKind;
use crate::sql::lexer::tokens;

#[derive(Debug, Clone, Default)]
pub struct Transaction {
    pub open: bool,
    has_snapshot: bool,
    /// What it has read, locked and written so far.
    pub held: Footprint,
    /// INSERTs that it has run.
    pub added: Vec<String>,
    /// It has locked or changed something other than by INSERTs of constants.
    pub does_more_than_add: bool,
}

impl Transaction {
    /// Takes down a turn of the session, which has `finished` or waits. Returns what it did.
    pub fn take_down(&mut self, program: &Program, turn: &Turn, finished: bool) -> Piece {
        if turn.tx.opens || (!self.open && !turn.ends_transaction()) {
            *self = Transaction {
                open: true,
                ..Transaction::default()
            };
        }
        let statement = touched(program, turn, finished);
        let takes_snapshot = !self.has_snapshot && needs_snapshot(turn);
        let held = self.held.clone();
        self.held.add(&statement);
        let piece = Piece {
            snapshots: program.snapshots(turn.session),
            tracked: is_tracked(program, turn.session, &statement).then(|| self.held.clone()),
            transaction: takes_snapshot.then(|| program.rest_of_transaction(turn.session, turn.program_step())),
            end: finished.then(|| self.end(turn)).flatten(),
            statement,
            held,
        };
        if finished {
            self.has_snapshot |= takes_snapshot && takes_snapshot_for_sure(&turn.statement.sql);
            self.leave(turn);
        }
        piece
    }

    /// How a finished turn ended the transaction, or the part of it behind a savepoint.
    fn end(&self, turn: &Turn) -> Option<End> {
        // RELEASE ends the savepoint's own transaction, and who waits for that waits anew
        let ends_savepoint = matches!(turn.statement.kind, StatementKind::RollbackTo | StatementKind::Release);
        let ends = turn.ends_transaction() || failed(turn) || failed_in_savepoint(turn) || ends_savepoint;
        ends.then(|| End {
            committed: turn.commits() && !matches!(turn.result, StepResult::Error(_)),
            held: self.held.clone(),
        })
    }

    /// Nothing is left of the transaction where a finished turn ended it.
    fn leave(&mut self, turn: &Turn) {
        if failed(turn) {
            // what it held stays known for the ROLLBACK, which may be a turn of its own
            (self.open, self.has_snapshot) = (false, false);
        }
        if turn.ends_transaction() {
            *self = Transaction::default();
        }
    }
}

/// Whether an error took back the transaction.
fn failed(turn: &Turn) -> bool {
    turn.tx.end == Some(TxEnd::Failed)
}

/// Whether an error took back what came after the last savepoint, and no more.
fn failed_in_savepoint(turn: &Turn) -> bool {
    turn.tx.end.is_none() && matches!(turn.result, StepResult::Error(_))
}

/// What a turn's statement touched. One that waited may have found what it waited for before it found nothing.
fn touched(program: &Program, turn: &Turn, finished: bool) -> Footprint {
    let statement = whatever_it_finds(program, turn);
    match finished && turn.waits.is_empty() && found_nothing(&turn.result) {
        true => program.found_nothing(statement, filled_by(turn)),
        false => statement,
    }
}

/// Whether another's statement alone may doom the transaction that a statement is in.
fn is_tracked(program: &Program, session: usize, statement: &Footprint) -> bool {
    program.snapshots(session).serializable && !statement.is_empty() && program.serializable_threes()
}

/// Whether a turn's statement may run with a snapshot, so that it takes the transaction's if there is none yet.
fn needs_snapshot(turn: &Turn) -> bool {
    match turn.statement.kind {
        StatementKind::Setting | StatementKind::Savepoint | StatementKind::Release | StatementKind::Begin => false,
        StatementKind::OutsideBlock => true,
        _ => !turn.ends_transaction(),
    }
}

/// Queries take a snapshot before they run; of utility statements some do.
fn takes_snapshot_for_sure(sql: &str) -> bool {
    let first = tokens(sql).find(|token| !token.is_blank());
    first.is_some_and(|token| token.begins_query_or_change())
}
