//! Strategies: which schedules are run. Each is a file in this folder; here is what a strategy is, and which there are.

mod dpor;
mod exhaustive;
mod mixed;
mod pct;
mod random;
mod samples;

pub use dpor::Dpor;
pub use exhaustive::Exhaustive;
use mixed::Mixed;
pub use pct::Pct;
pub use random::Random;

use super::{Coverage, interleavings};
use crate::history::Uncontrolled;
use crate::run::{Run, Scheduler, Template};
use crate::scenario::Scenario;

/// A schedule's position in the order in which a strategy would run them one by one. Results are taken in that order,
/// however many run at a time, so they are the same every time.
pub type Key = Vec<u32>;

/// A schedule to be run.
pub struct Job {
    /// Its place among the schedules of the strategy.
    pub key: Key,
    /// Decides who moves.
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

    /// Whether it begins again when more is seen of sessions that are programs.
    fn begins_again(&self) -> bool {
        false
    }

    /// Whether nothing more has been seen of such sessions since it began.
    fn is_up_to_date(&self) -> bool {
        true
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

/// A strategy, and what is needed to build it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrategyKind {
    /// One schedule of each class of equivalent schedules; `symmetric` lets interchangeable sessions stand for each
    /// other.
    Dpor {
        /// Interchangeable sessions stand for each other.
        symmetric: bool,
    },
    /// Every schedule.
    Exhaustive,
    /// Schedules drawn with the same probability for each interleaving.
    Random {
        /// How many are drawn.
        samples: u64,
        /// The same seed draws the same ones.
        seed: u64,
    },
    /// Schedules drawn by priorities, see [`Pct`].
    Pct {
        /// How many are drawn.
        samples: u64,
        /// The same seed draws the same ones.
        seed: u64,
        /// How many turns must come in a certain order in the failures that it finds with a known probability.
        depth: u32,
    },
}

/// The strategies to choose from by name.
pub const STRATEGIES: [NamedStrategy; 4] = [
    NamedStrategy {
        name: "dpor",
        about: "Every interleaving, by running one schedule of each class that cannot differ",
        draws: false,
        has_depth: false,
        kind: |parameters| StrategyKind::Dpor {
            symmetric: parameters.symmetric,
        },
    },
    NamedStrategy {
        name: "exhaustive",
        about: "Every interleaving, depth first",
        draws: false,
        has_depth: false,
        kind: |_| StrategyKind::Exhaustive,
    },
    NamedStrategy {
        name: "random",
        about: "A sample, uniform over interleavings",
        draws: true,
        has_depth: false,
        kind: |Parameters { samples, seed, .. }| StrategyKind::Random { samples, seed },
    },
    NamedStrategy {
        name: "pct",
        about: "A sample by priorities, which finds failures of small depth with a known probability (Burckhardt and \
                others, ASPLOS 2010)",
        draws: true,
        has_depth: true,
        kind: |parameters| StrategyKind::Pct {
            samples: parameters.samples,
            seed: parameters.seed,
            depth: parameters.depth,
        },
    },
];

/// A strategy by its name, for a person to choose.
#[derive(Debug, Clone, Copy)]
pub struct NamedStrategy {
    /// As it is chosen.
    pub name: &'static str,
    /// What it runs.
    pub about: &'static str,
    /// It draws schedules: it takes a number of samples and a seed.
    pub draws: bool,
    /// It takes a depth.
    pub has_depth: bool,
    kind: fn(Parameters) -> StrategyKind,
}

/// What strategies take; each looks at what it needs.
#[derive(Debug, Clone, Copy)]
pub struct Parameters {
    /// Interchangeable sessions may stand for each other.
    pub symmetric: bool,
    /// How many schedules are drawn.
    pub samples: u64,
    /// The seed that they are drawn by.
    pub seed: u64,
    /// How many turns must come in a certain order in the failures that are looked for.
    pub depth: u32,
}

impl NamedStrategy {
    /// The strategy with these parameters.
    pub fn with(&self, parameters: Parameters) -> StrategyKind {
        (self.kind)(parameters)
    }
}

impl StrategyKind {
    /// The strategy for a scenario whose setup has been run.
    pub fn build(self, template: &Template) -> Box<dyn Strategy> {
        let scenario = template.scenario();
        match self {
            StrategyKind::Dpor { symmetric } => match template.observed() {
                Some(observed) => Box::new(Mixed::new(
                    Dpor::of_seen(scenario, observed.clone(), symmetric),
                    Random::new(scenario, mixed::SEED, mixed::MOST_SAMPLES),
                )),
                None => Box::new(Dpor::new(scenario, template.program().clone(), symmetric)),
            },
            StrategyKind::Exhaustive => Box::new(Exhaustive::new()),
            StrategyKind::Random { samples, seed } => Box::new(Random::new(scenario, seed, samples)),
            StrategyKind::Pct { samples, seed, depth } => Box::new(Pct::new(scenario, seed, samples, depth)),
        }
    }

    /// The most schedules that it runs, if that is known beforehand.
    pub fn most_schedules(self, scenario: &Scenario) -> Option<u64> {
        match self {
            StrategyKind::Dpor { .. } => None,
            StrategyKind::Exhaustive if scenario.has_programs() => None,
            StrategyKind::Exhaustive => u64::try_from(interleavings(scenario)).ok(),
            StrategyKind::Random { samples, .. } | StrategyKind::Pct { samples, .. } => Some(samples),
        }
    }
}
