//! The result of a search for failing schedules.

use std::time::Duration;

use num_bigint::BigUint;

use super::coverage::proof;
use super::failure::named;
use super::{Document, Failure, Files, Shrink};
use crate::explore::{Reason, RunCounts, Verdict};
use crate::pipeline::Findings;
use crate::report::text::summary::duration;

/// Work after the search is reported separately if it took longer than this.
const WORTH_MENTIONING: Duration = Duration::from_secs(1);

/// The report of a search.
#[derive(Debug, Clone)]
pub struct Search {
    pub purpose: Purpose,
    /// The scenario's name.
    pub scenario: String,
    pub verdict: Verdict,
    /// Why it is inconclusive; with a failure, why not everything is known about it.
    pub reasons: Vec<Reason>,
    /// Every interleaving was covered.
    pub exhaustive: bool,
    /// It ended with the first failing schedule, as intended.
    pub stopped_at_failure: bool,
    /// The strategy's name, as the command line spells it.
    pub strategy: &'static str,
    /// The seed of a strategy that samples.
    pub seed: Option<u64>,
    /// How many interleavings there are.
    pub interleavings: Option<BigUint>,
    pub schedules_run: u64,
    /// Where sessions are programs: how many were run with these.
    pub by_source: Option<RunCounts>,
    /// By program: how many paths it has taken.
    pub paths: Vec<(String, usize)>,
    /// How many of them failed.
    pub failures: u64,
    pub elapsed: Duration,
    pub outcomes: Vec<Outcome>,
    /// The smallest failing schedule, or the one that was found if it was not made small.
    pub failure: Option<Failure>,
    /// How it was made small.
    pub shrink: Option<Shrink>,
    /// About the scenario.
    pub warnings: Vec<String>,
    /// About what was run.
    pub notes: Vec<String>,
    /// What the search cost and covered, beyond the numbers above.
    pub account: Vec<String>,
}

/// The purpose of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// To find a failure.
    #[default]
    Explore,
    /// To cover every interleaving: the report says what the schedules run stand for.
    Prove,
}

/// One outcome and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The same for the same outcome, whatever the strategy, the run or the machine.
    pub id: String,
    /// How many schedules led to it.
    pub schedules: u64,
    /// Names of what was violated; empty if it does not fail.
    pub violations: Vec<String>,
    /// An example schedule: session names, one for each step.
    pub order: Vec<String>,
}

impl Outcome {
    pub fn fails(&self) -> bool {
        !self.violations.is_empty()
    }
}

/// What a command adds to what was found.
#[derive(Debug, Clone, Default)]
pub struct Added {
    pub purpose: Purpose,
    /// What was written.
    pub files: Files,
    pub notes: Vec<String>,
}

impl Document {
    pub fn of_search(findings: &Findings, added: Added) -> Document {
        let Findings {
            scenario,
            exploration,
            shrunk,
            shrinking_took,
            notes,
        } = findings;
        let Added {
            purpose,
            files,
            notes: of_command,
        } = added;
        let outcomes = exploration.outcomes.iter().map(|tally| Outcome {
            id: tally.id.clone(),
            schedules: tally.schedules,
            violations: tally.violations.clone(),
            order: named(&tally.order, |session| {
                scenario.sessions.get(session).map(|session| session.name.clone())
            }),
        });
        let took = (*shrinking_took > WORTH_MENTIONING).then(|| {
            format!(
                "making the failure small and confirming it took {} more",
                duration(*shrinking_took)
            )
        });
        let covered = match purpose {
            Purpose::Explore => exploration.coverage.notes.clone(),
            Purpose::Prove => proof(exploration),
        };
        Document::Search(Box::new(Search {
            purpose,
            scenario: scenario.name.clone(),
            verdict: exploration.verdict,
            reasons: exploration.reasons.clone(),
            exhaustive: exploration.exhaustive,
            stopped_at_failure: exploration.stopped_at_failure,
            strategy: exploration.coverage.strategy,
            seed: exploration.coverage.seed,
            interleavings: exploration.interleavings.clone(),
            schedules_run: exploration.schedules_run,
            by_source: exploration.by_source,
            paths: exploration.paths.clone(),
            failures: exploration.failures,
            elapsed: exploration.elapsed,
            outcomes: outcomes.collect(),
            failure: findings.failure().map(|run| Failure::new(run, findings.explanation())),
            shrink: shrunk
                .as_ref()
                .map(|shrunk| Shrink::new(shrunk, scenario, findings.found_turns(), files)),
            warnings: scenario.warnings.clone(),
            notes: notes.clone(),
            account: took.into_iter().chain(of_command).chain(covered).collect(),
        }))
    }
}
