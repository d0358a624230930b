//! The results of a search.

use std::sync::Arc;
use std::time::Duration;

use crate::explore::{Exploration, Verdict};
use crate::run::Run;
use crate::scenario::Scenario;
use crate::schedule::Schedule;
use crate::shrink::Shrunk;
use crate::verdict::dependencies::Explanation;

/// What a search found.
#[derive(Debug, Clone)]
pub struct Findings {
    /// What was searched.
    pub scenario: Arc<Scenario>,
    /// Verdict, coverage, outcomes, and the failing run as it was found.
    pub exploration: Exploration,
    /// The failure made small.
    pub shrunk: Option<Shrunk>,
    /// How long that took, confirmations included.
    pub shrinking_took: Duration,
    /// What users should know in addition to the verdict.
    pub notes: Vec<String>,
}

impl Findings {
    /// What the search says of the scenario.
    pub fn verdict(&self) -> Verdict {
        self.exploration.verdict
    }

    /// The smallest failing run, or the one that was found if it was not made small.
    pub fn failure(&self) -> Option<&Run> {
        match &self.shrunk {
            Some(shrunk) => Some(&shrunk.smallest.run),
            None => self.exploration.failure.as_ref(),
        }
    }

    /// The schedule of that run.
    pub fn schedule(&self) -> Option<Schedule> {
        match &self.shrunk {
            Some(shrunk) => Some(shrunk.smallest.schedule.clone()),
            None => self.failure().map(|run| Schedule::of(&run.history)),
        }
    }

    /// How the committed transactions of that run depend on each other.
    pub fn explanation(&self) -> Option<&Explanation> {
        match &self.shrunk {
            Some(shrunk) => shrunk.explanation.as_ref(),
            None => self.exploration.explanation.as_ref(),
        }
    }

    /// Turns of the schedule that was found.
    pub fn found_turns(&self) -> usize {
        let found = self.exploration.failure.as_ref();
        found.map_or(0, |run| run.history.turns.len())
    }
}
