//! What a search found.

use std::fmt::{self, Display};

use crate::explore::{Reason, Verdict};
use crate::history::History;
use crate::pipeline::Findings;
use crate::report::document::{Added, Document};
use crate::report::text::{Detail, TextOptions, text};
use crate::run::Run;
use crate::schedule::Schedule;

/// What a search found. As text it is the report that the command line prints.
#[derive(Debug, Clone)]
pub struct Found(pub Findings);

impl Found {
    /// What the search says of the scenario.
    pub fn verdict(&self) -> Verdict {
        self.0.verdict()
    }

    /// Why it is inconclusive.
    pub fn reasons(&self) -> &[Reason] {
        &self.0.exploration.reasons
    }

    /// The smallest failing run, or the one that was found if it was not made small.
    pub fn failure(&self) -> Option<&Run> {
        self.0.failure()
    }

    /// What the smallest failing run did.
    pub fn history(&self) -> Option<&History> {
        self.failure().map(|run| &run.history)
    }

    /// The schedule of the smallest failing run. [`PinnedSchedule`](crate::schedule::PinnedSchedule) keeps it in a file.
    pub fn schedule(&self) -> Option<Schedule> {
        self.0.schedule()
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
        let document = Document::of_search(&self.0, Added::default());
        formatter.write_str(&text(&document, Detail::Failure, &TextOptions::default()))
    }
}
