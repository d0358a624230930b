//! What a turn's statement touches, and what its result says of that.

use super::footprint::{Footprint, Object, WriteKind};
use super::program::{Filled, Program};
use crate::history::{Origin, StepResult, Turn};
use crate::sql::StatementKind;

/// A turn's statement as it was sent.
pub fn filled_by(turn: &Turn) -> Filled<'_> {
    Filled {
        session: turn.session,
        step: turn.program_step(),
        sql: &turn.filled,
        values: &turn.values,
    }
}

/// Whether a statement that is confined to a row found it.
pub fn found_row(result: &StepResult) -> bool {
    match result {
        StepResult::Rows { rows, .. } => !rows.is_empty(),
        StepResult::Done { tag } => tag != "UPDATE 0",
        StepResult::Error(_) => false,
    }
}

/// Whether a statement that looks for rows found none.
pub fn found_nothing(result: &StepResult) -> bool {
    match result {
        StepResult::Rows { tag, .. } | StepResult::Done { tag } => {
            ["SELECT 0", "UPDATE 0", "DELETE 0"].contains(&tag.as_str())
        }
        StepResult::Error(_) => false,
    }
}

/// What a turn's statement touches, whatever it finds.
pub fn whatever_it_finds(program: &Program, turn: &Turn) -> Footprint {
    let kind = turn.statement.kind;
    let step = turn.program_step();
    let mut statement = match (turn.origin, kind) {
        // reads at SERIALIZABLE are tracked by pages and tables
        (Origin::Step(_), StatementKind::Plain) if !program.snapshots(turn.session).serializable => {
            program.filled(filled_by(turn))
        }
        (Origin::Step(_), StatementKind::Plain | StatementKind::OutsideBlock) => program.step(turn.session, step),
        // a BEGIN that goes ahead of it takes the time
        (Origin::Step(_), _) => Footprint {
            timed: program.step(turn.session, step).timed,
            ..Footprint::default()
        },
        _ => Footprint::default(),
    };
    if matches!(turn.origin, Origin::Disconnect(_)) {
        statement.write(Object::AdvisoryLocks, WriteKind::Change);
    }
    // what a prepared transaction holds is anybody's to end
    statement.unknown |= kind == StatementKind::PrepareTransaction;
    statement.unknown |= turn.commits() && program.deferred;
    statement
}
