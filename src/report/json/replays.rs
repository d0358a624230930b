//! A replay of pinned schedules.

use serde::Serialize;

use super::failure::Failure;
use super::{Verdict, millis, sentences};
use crate::history::Uncontrolled;
use crate::replay::Judgement;
use crate::report::document::{self, ReplayedSchedule, Replays, Status};
use crate::report::text::replays::headline;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether every file passed.
    verdict: &'static str,
    passed: usize,
    failed: usize,
    inconclusive: usize,
    errors: usize,
    elapsed_ms: u64,
    schedules: Vec<Schedule>,
}

#[derive(Debug, Serialize)]
struct Schedule {
    file: String,
    /// `passed`, `failed`, `inconclusive` or `error`.
    status: &'static str,
    /// `met`, `now holds`, `now fails`, `fails otherwise`, `left order`, `differs`, `not controlled`; null for an error.
    judgement: Option<&'static str>,
    /// In words; null where it passed.
    message: Option<String>,
    /// What was not under control; empty if that does not count.
    reasons: Vec<String>,
    /// Their codes, in the same order.
    reason_codes: Vec<&'static str>,
    updated: bool,
    elapsed_ms: u64,
    scenario: Option<String>,
    expect: Option<&'static str>,
    /// What it is pinned to violate.
    violates: Vec<String>,
    /// What it did.
    verdict: Option<Verdict>,
    times: u32,
    outcome: Option<String>,
    /// Indexes of entries that were not followed.
    left_order: Vec<usize>,
    failure: Option<Failure>,
}

impl Report {
    pub(super) fn new(replays: &Replays) -> Report {
        Report {
            verdict: if replays.all_passed() { "passed" } else { "failed" },
            passed: replays.count(Status::Passed),
            failed: replays.count(Status::Failed),
            inconclusive: replays.count(Status::Inconclusive),
            errors: replays.count(Status::Error),
            elapsed_ms: millis(replays.elapsed),
            schedules: replays.schedules.iter().map(schedule).collect(),
        }
    }
}

fn schedule(replayed: &ReplayedSchedule) -> Schedule {
    let replay = replayed.result.as_ref().ok();
    let reasons = match replay.map(|replay| &replay.judgement) {
        Some(Judgement::NotControlled(reasons)) => reasons.clone(),
        Some(Judgement::Differs { difference, .. }) => vec![Uncontrolled::RunsDiffer(difference.clone())],
        _ => Vec::new(),
    };
    Schedule {
        file: replayed.path.display().to_string(),
        status: match replayed.status {
            Status::Passed => "passed",
            Status::Failed => "failed",
            Status::Inconclusive => "inconclusive",
            Status::Error => "error",
        },
        judgement: replay.map(|replay| match &replay.judgement {
            Judgement::Met => "met",
            Judgement::Holds => "now holds",
            Judgement::Fails => "now fails",
            Judgement::FailsOtherwise { .. } => "fails otherwise",
            Judgement::LeftOrder => "left order",
            Judgement::Differs { .. } => "differs",
            Judgement::NotControlled(_) => "not controlled",
        }),
        message: headline(replayed),
        reasons: sentences(&reasons),
        reason_codes: reasons.iter().map(Uncontrolled::code).collect(),
        updated: replayed.updated,
        elapsed_ms: millis(replayed.elapsed()),
        scenario: replay.map(|replay| replay.scenario.clone()),
        expect: replay.map(|replay| replay.file.pinned.expect.word()),
        violates: replay
            .map(|replay| replay.file.pinned.violates.clone())
            .unwrap_or_default(),
        verdict: replay.map(|replay| match replay.run.violations.is_empty() {
            true => Verdict::Holds,
            false => Verdict::Fails,
        }),
        times: replay.map_or(0, |replay| replay.times),
        outcome: replay.map(|replay| replay.run.outcome.id.clone()),
        left_order: replay
            .map(|replay| replay.departures.iter().map(|departure| departure.entry).collect())
            .unwrap_or_default(),
        failure: replay
            .filter(|replay| !replay.run.violations.is_empty())
            .map(|replay| Failure::new(&document::Failure::new(&replay.run, None))),
    }
}
