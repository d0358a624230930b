//! Strategies: which schedules to run, and running them.

mod count;
mod coverage;
mod dpor;
mod exhaustive;
mod explorer;
mod happens_before;
mod kind;
#[cfg(test)]
mod model;
mod pct;
mod random;
mod reason;
mod reversal;
mod samples;
mod source_sets;
mod work;

pub use count::{interleavings, turns};
pub use coverage::Coverage;
pub use dpor::Dpor;
pub use exhaustive::Exhaustive;
pub use explorer::{DeterminismCheck, Exploration, Options, OutcomeTally, Progress, Tally, Verdict, explore};
pub use kind::StrategyKind;
pub use pct::Pct;
pub use random::Random;
pub use reason::Reason;

use crate::history::Uncontrolled;
use crate::run::{Run, Scheduler};

/// A schedule's position in the order in which a strategy would run them one by one. Results are taken in that order,
/// however many run at a time, so they are the same every time.
pub type Key = Vec<u32>;

/// A schedule to be run.
pub struct Job {
    pub key: Key,
    pub scheduler: Box<dyn Scheduler + Send>,
}

/// Decides which schedules run.
pub trait Strategy {
    /// What its schedules so far have covered.
    fn coverage(&self) -> Coverage;

    /// How many schedules are sure to run, if that is known.
    fn planned(&self) -> Option<u64> {
        None
    }

    /// The next schedule, the one with the smallest key first; `None` if there is none at present (a run under way may
    /// lead to more).
    fn next(&mut self) -> Option<Job>;

    /// The key of the schedule that `next` would return.
    fn next_key(&self) -> Option<Key>;

    /// Takes in the run of a schedule that `next` returned. Returns what differed from an earlier run of the same
    /// steps.
    fn observe(&mut self, key: &Key, run: &Run) -> Option<Uncontrolled>;
}
