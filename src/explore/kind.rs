//! The available strategies.

use super::{Dpor, Exhaustive, Pct, Random, Strategy, interleavings};
use crate::run::Template;
use crate::scenario::Scenario;

/// A strategy, and what is needed to build it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrategyKind {
    /// One schedule of each class of equivalent schedules; `symmetric` lets interchangeable sessions stand for each
    /// other.
    Dpor { symmetric: bool },
    /// Every schedule.
    Exhaustive,
    /// Schedules drawn with the same probability for each interleaving.
    Random { samples: u64, seed: u64 },
    /// Schedules drawn by priorities, see [`Pct`].
    Pct { samples: u64, seed: u64, depth: u32 },
}

impl StrategyKind {
    pub fn build(self, template: &Template) -> Box<dyn Strategy> {
        let scenario = template.scenario();
        match self {
            StrategyKind::Dpor { symmetric } => Box::new(Dpor::new(scenario, template.program().clone(), symmetric)),
            StrategyKind::Exhaustive => Box::new(Exhaustive::new()),
            StrategyKind::Random { samples, seed } => Box::new(Random::new(scenario, seed, samples)),
            StrategyKind::Pct { samples, seed, depth } => Box::new(Pct::new(scenario, seed, samples, depth)),
        }
    }

    /// The most schedules that it runs, if that is known beforehand.
    pub fn most_schedules(self, scenario: &Scenario) -> Option<u64> {
        match self {
            StrategyKind::Dpor { .. } => None,
            StrategyKind::Exhaustive => u64::try_from(interleavings(scenario)).ok(),
            StrategyKind::Random { samples, .. } | StrategyKind::Pct { samples, .. } => Some(samples),
        }
    }
}
