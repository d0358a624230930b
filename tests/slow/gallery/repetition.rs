//! The same scenario again and again gives the same.

use pgbraid::explore::{Exploration, Reason, Verdict};
use pgbraid::history::History;

use super::check::{Case, load};
use crate::common::lab::Lab;

/// Everything of an exploration that must not change.
#[derive(Debug, PartialEq)]
struct Findings {
    verdict: Verdict,
    reasons: Vec<Reason>,
    schedules_run: u64,
    failures: u64,
    /// Id, schedules, violations and an example's order, in the order in which they were reached.
    outcomes: Vec<(String, u64, Vec<String>, Vec<usize>)>,
    failure: Option<History>,
}

impl Findings {
    fn of(exploration: Exploration) -> Findings {
        let outcomes = exploration.outcomes.into_iter();
        Findings {
            verdict: exploration.verdict,
            reasons: exploration.reasons,
            schedules_run: exploration.schedules_run,
            failures: exploration.failures,
            outcomes: outcomes
                .map(|tally| (tally.id, tally.schedules, tally.violations, tally.order))
                .collect(),
            failure: exploration.failure.map(|run| run.history),
        }
    }
}

/// Alternates between one and two jobs, and starts from a new setup each time.
fn findings(name: &str, repetition: usize) -> Findings {
    let scenario = load(name);
    let (case, lab) = (Case::named(name), Lab::new());
    let template = lab.prepare(&scenario);
    let mut strategy = case.strategy(&template);
    Findings::of(lab.explore_template(&template, strategy.as_mut(), &case.options(1 + repetition % 2)))
}

/// Explores the scenario of a case so often, and compares what is found each time with what was found first.
pub fn check(name: &str, times: usize) {
    let first = findings(name, 0);
    for repetition in 1..times {
        let again = findings(name, repetition);
        assert!(
            again == first,
            "repetition {repetition}:\n{again:#?}\nbut first:\n{first:#?}"
        );
    }
}
