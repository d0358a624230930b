//! What a search found.

use std::fmt::{self, Display};
use std::sync::Arc;

use crate::explore::{Exploration, Verdict};
use crate::history::History;
use crate::report::failure::failure;
use crate::report::shrunk::shrunk;
use crate::report::summary::{Summary, summary};
use crate::report::text::TextOptions;
use crate::run::Run;
use crate::scenario::Scenario;
use crate::schedule::Schedule;
use crate::shrink::Shrunk;

/// What a search found. As text it is the report that the command line prints.
#[derive(Debug, Clone)]
pub struct Found {
    pub(super) scenario: Arc<Scenario>,
    /// Verdict, coverage, outcomes, and the failing run as it was found.
    pub exploration: Exploration,
    /// The failure made small.
    pub shrunk: Option<Shrunk>,
    pub(super) summary: Summary,
}

impl Found {
    pub fn verdict(&self) -> Verdict {
        self.exploration.verdict
    }

    /// Why it is inconclusive.
    pub fn reasons(&self) -> &[String] {
        &self.exploration.reasons
    }

    /// The smallest failing run; the one that was found, where it was not made small.
    pub fn failure(&self) -> Option<&Run> {
        match &self.shrunk {
            Some(shrunk) => Some(&shrunk.smallest.run),
            None => self.exploration.failure.as_ref(),
        }
    }

    /// What the smallest failing run did.
    pub fn history(&self) -> Option<&History> {
        self.failure().map(|run| &run.history)
    }

    /// The schedule of the smallest failing run. [`PinnedSchedule`](crate::schedule::PinnedSchedule) keeps it in a file.
    pub fn schedule(&self) -> Option<Schedule> {
        match &self.shrunk {
            Some(shrunk) => Some(shrunk.smallest.schedule.clone()),
            None => self.history().map(Schedule::of),
        }
    }

    /// Fails the test unless every interleaving was covered and none fails.
    ///
    /// # Panics
    /// With the timeline of the failing schedule, or the reasons why the search is inconclusive.
    #[track_caller]
    pub fn assert_holds(&self) {
        assert!(self.verdict() == Verdict::Holds, "\n{self}\n");
    }

    /// Fails the test unless the smallest failing schedule violates what has this name.
    ///
    /// # Panics
    /// With what was found instead.
    #[track_caller]
    pub fn assert_fails(&self, violation: &str) {
        let fails = |run: &Run| run.violated().iter().any(|name| name == violation);
        assert!(
            self.verdict() == Verdict::Fails && self.failure().is_some_and(fails),
            "\nno schedule that violates `{violation}` was found\n{self}\n"
        );
    }
}

impl Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = TextOptions::default();
        let mut parts = Vec::new();
        if let Some(run) = self.failure() {
            let explanation = match &self.shrunk {
                Some(shrunk) => shrunk.explanation.as_ref(),
                None => self.exploration.explanation.as_ref(),
            };
            parts.push(failure(run, explanation, &options));
        }
        if let Some(result) = &self.shrunk {
            let found = self
                .exploration
                .failure
                .as_ref()
                .map_or(0, |run| run.history.turns.len());
            parts.push(shrunk(result, &self.scenario, found, &options));
        }
        parts.push(summary(&self.summary, &options));
        formatter.write_str(&parts.join("\n\n"))
    }
}
