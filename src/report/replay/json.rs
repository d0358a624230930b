//! As one JSON object, for programs. The keys are stable: they are added to, never renamed or removed.

use std::time::Duration;

use serde::Serialize;

use super::{Replayed, Status, headline};
use crate::replay::Judgement;
use crate::report::json::{Failure, Verdict, millis};

#[derive(Debug, Serialize)]
struct Report {
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

/// The whole result of a replay.
pub fn json(replayed: &[Replayed], elapsed: Duration) -> String {
    let count = |status| replayed.iter().filter(|one| one.status() == status).count();
    let passed = count(Status::Passed);
    let report = Report {
        verdict: if passed == replayed.len() { "passed" } else { "failed" },
        passed,
        failed: count(Status::Failed),
        inconclusive: count(Status::Inconclusive),
        errors: count(Status::Error),
        elapsed_ms: millis(elapsed),
        schedules: replayed.iter().map(schedule).collect(),
    };
    // its keys are strings and its values have no way to fail
    serde_json::to_string_pretty(&report).unwrap_or_default()
}

fn schedule(replayed: &Replayed) -> Schedule {
    let replay = replayed.result.as_ref().ok();
    let names = |order: Vec<usize>, sessions: &[String]| -> Vec<String> {
        order
            .into_iter()
            .filter_map(|index| sessions.get(index).cloned())
            .collect()
    };
    Schedule {
        file: replayed.path.display().to_string(),
        status: match replayed.status() {
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
            Judgement::Differs(_) => "differs",
            Judgement::NotControlled(_) => "not controlled",
        }),
        message: headline(replayed),
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
        failure: replay.filter(|replay| !replay.run.violations.is_empty()).map(|replay| {
            let run = &replay.run;
            Failure::new(
                &run.history,
                &run.violations,
                &names(run.order(), &run.history.sessions),
            )
        }),
    }
}
