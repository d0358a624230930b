//! A failing schedule that was made small.

use std::path::PathBuf;
use std::time::Duration;

use super::failure::named;
use super::{Document, Failure};
use crate::explore::{Reason, Verdict};
use crate::scenario::Scenario;
use crate::schedule::Schedule;
use crate::shrink::{Confirmed, Shrunk};

/// The report on one failing schedule that was made small.
#[derive(Debug, Clone)]
pub struct ShrinkReport {
    /// The scenario's name.
    pub scenario: String,
    pub verdict: Verdict,
    /// Why it is inconclusive.
    pub reasons: Vec<Reason>,
    pub failure: Failure,
    pub shrink: Shrink,
    pub elapsed: Duration,
}

/// How a failing schedule was made small.
#[derive(Debug, Clone)]
pub struct Shrink {
    /// The smallest schedule.
    pub schedule: Schedule,
    /// Names of the sessions that race; empty if a serial order fails.
    pub racing: Vec<String>,
    /// How many sessions run by themselves.
    pub others: usize,
    pub confirmed: Confirmed,
    /// Turns of the schedule that was found.
    pub found_turns: usize,
    /// Candidates run.
    pub runs: u64,
    /// Candidates that had been run before.
    pub known: u64,
    /// No order has fewer context switches.
    pub is_minimal: bool,
    pub smallest_scenario: Option<SmallestScenario>,
    /// The files that were written.
    pub files: Files,
}

/// The smallest part of the scenario that still fails.
#[derive(Debug, Clone)]
pub struct SmallestScenario {
    /// As a scenario file.
    pub toml: String,
    pub schedule: Schedule,
    /// Names of the sessions that are not in it.
    pub dropped_sessions: Vec<String>,
    /// Steps that are not in it: the session, without the number of a copy, and the step's name.
    pub dropped_steps: Vec<(String, String)>,
}

/// The files that a failure made small was written to.
#[derive(Debug, Clone, Default)]
pub struct Files {
    pub pinned: Option<Pinned>,
    /// The smallest scenario.
    pub scenario: Option<PathBuf>,
}

/// A schedule in a file.
#[derive(Debug, Clone)]
pub struct Pinned {
    pub path: PathBuf,
    /// The command that runs it.
    pub replay: String,
}

impl Shrink {
    pub fn new(shrunk: &Shrunk, scenario: &Scenario, found_turns: usize, files: Files) -> Shrink {
        let name = |session: usize| scenario.sessions.get(session).map(|session| session.name.clone());
        Shrink {
            schedule: shrunk.smallest.schedule.clone(),
            racing: named(&shrunk.racing, name),
            others: scenario.sessions.len().saturating_sub(shrunk.racing.len()),
            confirmed: shrunk.smallest.confirmed,
            found_turns,
            runs: shrunk.runs,
            known: shrunk.known,
            is_minimal: shrunk.is_minimal,
            smallest_scenario: shrunk.scenario.as_ref().map(|smallest| SmallestScenario {
                toml: smallest.scenario.to_toml(),
                schedule: smallest.smallest.schedule.clone(),
                dropped_sessions: smallest.dropped_sessions.clone(),
                dropped_steps: smallest.dropped_steps.clone(),
            }),
            files,
        }
    }
}

impl Document {
    /// `found_turns` is the length of the schedule that was made small.
    pub fn of_shrink(
        scenario: &Scenario,
        shrunk: &Shrunk,
        found_turns: usize,
        files: Files,
        elapsed: Duration,
    ) -> Document {
        let doubt = shrunk.doubt();
        Document::Shrink(Box::new(ShrinkReport {
            scenario: scenario.name.clone(),
            verdict: match doubt {
                None => Verdict::Fails,
                Some(_) => Verdict::Inconclusive,
            },
            reasons: doubt.into_iter().collect(),
            failure: Failure::new(&shrunk.smallest.run, shrunk.explanation.as_ref()),
            shrink: Shrink::new(shrunk, scenario, found_turns, files),
            elapsed,
        }))
    }
}
