//! Which turns of a run can matter to each other: the conflict relation of partial-order reduction, in terms of
//! PostgreSQL's multi-version concurrency control.
//!
//! Everything here errs on one side: two turns that are said not to conflict lead to the same state in either order;
//! what is not known conflicts with everything.

mod additions;
mod analysis;
mod confined_row;
mod event;
mod event_log;
mod footprint;
mod held_rows;
mod known_row;
mod lock_order;
mod numbers;
mod program;
mod row_by_row;
mod row_condition;
mod rules;
mod snapshots;
mod statement;
mod times;
mod transaction;
mod turn;

pub use analysis::{StatementKnown, changes_meaning, know};
#[cfg(test)]
pub use event::End;
pub use event::{Event, Piece};
pub use event_log::{EventLog, OnlyWaits};
pub use footprint::{Footprint, LockStrength, Object, WriteKind};
pub use held_rows::Waited;
#[cfg(test)]
pub use held_rows::{HeldRows, Taking};
pub use program::{Filled, Program, ProgramStep, RowTaken, SessionProgram, StepFacts};
pub use rules::conflict;
pub use snapshots::Snapshots;
pub use statement::{Meaning, parameters_needed, reads_catalogs_only};
