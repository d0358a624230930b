//! Everything that a report says, as values. It is built once; each format renders it in a file of its own.

mod coverage;
mod failure;
mod replays;
mod search;
mod shrink;
mod specifications;

pub use failure::Failure;
pub use replays::{ReplayedSchedule, Replays, Status, Unrunnable};
pub use search::{Added, Outcome, Purpose, Search};
pub use shrink::{Files, Pinned, Shrink, ShrinkReport, SmallestScenario};
pub use specifications::{Compared, Comparison, Specifications};

/// What a command has to report.
#[derive(Debug, Clone)]
pub enum Document {
    /// Of `explore` and `prove`.
    Search(Box<Search>),
    /// Of `shrink`.
    Shrink(Box<ShrinkReport>),
    /// Of `replay`.
    Replays(Replays),
    /// Of `spec`.
    Specifications(Specifications),
}
