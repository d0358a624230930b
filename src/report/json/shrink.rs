//! A failing schedule that was made small.

use serde::Serialize;

use super::failure::Failure;
use super::{Verdict, sentences};
use crate::explore::Reason;
use crate::report::document;
use crate::schedule::Schedule;

/// The result of making one failing schedule small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    /// The scenario's name.
    scenario: String,
    verdict: Verdict,
    /// Why the verdict is inconclusive.
    reasons: Vec<String>,
    /// Their codes, in the same order.
    reason_codes: Vec<&'static str>,
    failure: Failure,
    shrink: Shrink,
}

/// How a failing schedule was made small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Shrink {
    /// The smallest schedule, as pinned schedules have it.
    schedule: Vec<String>,
    /// Names of the sessions that race.
    racing: Vec<String>,
    /// How often it failed when it was replayed.
    confirmed: u32,
    confirmations: u32,
    /// Turns of the schedule that was found.
    found_turns: usize,
    runs: u64,
    /// Candidates that had been run before.
    known: u64,
    /// No order has fewer context switches.
    minimal: bool,
    smallest_scenario: Option<SmallestScenario>,
    /// The file that it was pinned in.
    pinned: Option<String>,
}

/// The smallest part of the scenario that still fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct SmallestScenario {
    /// As a scenario file.
    toml: String,
    schedule: Vec<String>,
    dropped_sessions: Vec<String>,
    dropped_steps: Vec<DroppedStep>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct DroppedStep {
    /// As the scenario file names it, without the number of a copy.
    session: String,
    step: String,
}

impl Report {
    pub(super) fn new(report: &document::ShrinkReport) -> Report {
        Report {
            scenario: report.scenario.clone(),
            verdict: report.verdict.into(),
            reasons: sentences(&report.reasons),
            reason_codes: report.reasons.iter().map(Reason::code).collect(),
            failure: Failure::new(&report.failure),
            shrink: Shrink::new(&report.shrink),
        }
    }
}

impl Shrink {
    pub(super) fn new(shrink: &document::Shrink) -> Shrink {
        let pinned = shrink.files.pinned.as_ref();
        Shrink {
            schedule: entries(&shrink.schedule),
            racing: shrink.racing.clone(),
            confirmed: shrink.confirmed.fails,
            confirmations: shrink.confirmed.of,
            found_turns: shrink.found_turns,
            runs: shrink.runs,
            known: shrink.known,
            minimal: shrink.is_minimal,
            smallest_scenario: shrink.smallest_scenario.as_ref().map(SmallestScenario::new),
            pinned: pinned.map(|pinned| pinned.path.display().to_string()),
        }
    }
}

impl SmallestScenario {
    fn new(smallest: &document::SmallestScenario) -> SmallestScenario {
        let dropped = |(session, step): &(String, String)| DroppedStep {
            session: session.clone(),
            step: step.clone(),
        };
        SmallestScenario {
            toml: smallest.toml.clone(),
            schedule: entries(&smallest.schedule),
            dropped_sessions: smallest.dropped_sessions.clone(),
            dropped_steps: smallest.dropped_steps.iter().map(dropped).collect(),
        }
    }
}

fn entries(schedule: &Schedule) -> Vec<String> {
    schedule.entries.iter().map(ToString::to_string).collect()
}
