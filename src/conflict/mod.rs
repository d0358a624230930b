//! Which turns of a run can matter to each other: the conflict relation of partial-order reduction, in terms of
//! Postgres's multi-version concurrency control.
//!
//! Everything here errs on one side: two turns that are said not to conflict lead to the same state in either order;
//! what is not known conflicts with everything.

mod analysis;
mod event;
mod footprint;
mod known_row;
mod lock_order;
mod pin;
mod row_by_row;
mod row_condition;
mod rules;
mod statement;

pub use analysis::{StatementKnown, changes_meaning, know};
#[cfg(test)]
pub use event::End;
pub use event::{Event, EventLog, OnlyWaits, Piece, Snapshots, Waited, is_one_transaction};
pub use footprint::{Facts, Filled, Footprint, Footprints, LockStrength, Object, StepFacts, WriteKind};
pub use rules::conflict;
pub use statement::{Statement, parameters_needed};
