//! Strategies: which schedules to run, and running them.

mod count;
mod dpor;
mod exhaustive;
mod explorer;
mod happens_before;
#[cfg(test)]
mod model;
mod order;
mod pct;
mod random;
mod reversal;
mod samples;
mod source_sets;
pub(crate) mod worker;

pub use count::{interleavings, turns};
pub use dpor::Dpor;
pub use exhaustive::Exhaustive;
pub use explorer::{DeterminismCheck, Exploration, Options, OutcomeTally, Progress, Tally, Verdict, explore};
pub use order::Ordered;
pub(crate) use order::first_without_timeout;
pub use pct::Pct;
pub use random::Random;

use num_bigint::BigUint;

use crate::run::{Run, Scheduler};

/// Where a schedule stands in the order in which a strategy would run them one by one. Results are taken in that
/// order, however many run at a time, so that they are the same every time.
pub type Key = Vec<u32>;

/// A schedule to be run.
pub struct Job {
    pub key: Key,
    pub scheduler: Box<dyn Scheduler + Send>,
}

/// Decides which schedules are run.
pub trait Strategy {
    /// As reports name it.
    fn name(&self) -> &'static str;

    /// The seed that it draws with.
    fn seed(&self) -> Option<u64> {
        None
    }

    /// Whether having run all its schedules means having covered every interleaving.
    fn is_exhaustive(&self) -> bool;

    /// How many schedules are sure to be run, where that is known.
    fn planned(&self) -> Option<u64> {
        None
    }

    /// How many schedules the runs so far stand for, where it can be counted.
    fn covered(&self) -> Option<BigUint> {
        None
    }

    /// Whether schedules were left out in which a session only waits for what it could take when it is free.
    fn leaves_out_waits(&self) -> bool {
        false
    }

    /// What its report says beside the verdict.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Runs that turned out to be like an earlier one.
    fn redundant(&self) -> u64 {
        0
    }

    /// The next schedule, the one with the smallest key first; `None` when there is none for now (a run under way may
    /// lead to more).
    fn next(&mut self) -> Option<Job>;

    /// The key of the schedule that `next` would return.
    fn next_key(&self) -> Option<Key>;

    /// Takes in the run of a schedule that `next` returned. Returns in words what ran differently from an earlier run of
    /// the same steps.
    fn observe(&mut self, key: &Key, run: &Run) -> Option<String>;
}
