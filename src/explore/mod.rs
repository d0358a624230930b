//! Which schedules to run, and running them.

mod by_source;
mod count;
mod coverage;
mod explorer;
mod happens_before;
#[cfg(test)]
mod model;
mod race;
mod reason;
mod reversal;
mod source_sets;
mod strategy;
mod work;

pub use by_source::RunCounts;
pub use count::{interleavings, turns};
pub use coverage::Coverage;
pub use explorer::{DeterminismCheck, Exploration, Options, OutcomeTally, Progress, Tally, Verdict, explore};
pub use reason::Reason;
pub use strategy::{
    Dpor, Exhaustive, Job, Key, NamedStrategy, Parameters, Pct, Random, STRATEGIES, Strategy, StrategyKind,
};
