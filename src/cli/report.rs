//! An exploration as text or JSON.

use std::process::ExitCode;

use pgbraid::explore::Verdict;
use pgbraid::pipeline::Findings;
use pgbraid::report::failure::failure;
use pgbraid::report::json;
use pgbraid::report::outcomes::{OutcomeRow, outcomes};
use pgbraid::report::shrunk::shrunk;
use pgbraid::report::summary::{Summary, summary};
use pgbraid::report::text::TextOptions;
use pgbraid::scenario::Scenario;
use pgbraid::shrink::Shrunk;
use pgbraid::terminal::visible;

use super::Common;
use super::exit::{self, Failure};
use super::limits::Explored;
use super::output::{self, Format};
use super::shrinking::Files;

/// Writes the report, and returns the exit code of its verdict. `notes` go with the summary.
pub fn report(mut explored: Explored, notes: &[String], common: &Common) -> Result<ExitCode, Failure> {
    explored.findings.notes.extend(notes.iter().cloned());
    let Explored { findings, files, .. } = &explored;
    let output = common.output.as_deref();
    let text = match common.format {
        Format::Table => as_text(findings, files, &output::text_options(output)),
        Format::Json => as_json(findings, files),
    };
    output::write(&text, output)?;
    match explored.unwritten.take() {
        Some(failure) => Err(failure),
        None => Ok(exit::code(explored.findings.verdict())),
    }
}

fn names(scenario: &Scenario, order: &[usize]) -> Vec<String> {
    order
        .iter()
        .map(|&index| scenario.sessions[index].name.clone())
        .collect()
}

/// Writes the report on a schedule that was made small, and returns the exit code of a failure.
pub fn report_shrunk(
    scenario: &Scenario,
    shrunk: &Shrunk,
    found_turns: usize,
    files: &Files,
    common: &Common,
) -> Result<ExitCode, Failure> {
    let output = common.output.as_deref();
    let text = match common.format {
        Format::Table => {
            shrunk_as_text(scenario, shrunk, found_turns, files, &output::text_options(output)).join("\n\n")
        }
        Format::Json => {
            let failure = shrunk_failure(scenario, shrunk);
            let report = json::ShrinkReport {
                scenario: scenario.name.clone(),
                failure,
                shrink: shrink_as_json(scenario, shrunk, found_turns, files),
            };
            // its keys are strings and its values have no way to fail
            serde_json::to_string_pretty(&report).unwrap_or_default()
        }
    };
    output::write(&text, output)?;
    Ok(exit::code(match shrunk.doubt().is_none() {
        true => Verdict::Fails,
        false => Verdict::Inconclusive,
    }))
}

fn shrunk_as_text(
    scenario: &Scenario,
    result: &Shrunk,
    found_turns: usize,
    files: &Files,
    options: &TextOptions,
) -> Vec<String> {
    let run = &result.smallest.run;
    let mut parts = vec![failure(run, result.explanation.as_ref(), options)];
    parts.push(shrunk(result, scenario, found_turns, options));
    if let Some(path) = &files.pinned {
        parts.push(format!(
            "pinned as {}; run it with: pgbraid replay {}",
            visible(&path.display().to_string()),
            output::shell_word(path.as_os_str())
        ));
    }
    if let Some(path) = &files.scenario {
        parts.push(format!(
            "the smallest scenario is {}",
            visible(&path.display().to_string())
        ));
    }
    parts
}

fn shrunk_failure(scenario: &Scenario, shrunk: &Shrunk) -> json::Failure {
    let Shrunk {
        smallest, explanation, ..
    } = shrunk;
    json::Failure::new(
        &smallest.run.history,
        &smallest.run.violations,
        &names(scenario, &smallest.run.order()),
    )
    .explained(explanation.as_ref(), &smallest.run.history)
}

fn shrink_as_json(scenario: &Scenario, shrunk: &Shrunk, found_turns: usize, files: &Files) -> json::Shrink {
    let pinned = files.pinned.as_ref().map(|path| path.display().to_string());
    json::Shrink::new(shrunk, scenario, found_turns, pinned)
}

fn as_text(findings: &Findings, files: &Files, options: &TextOptions) -> String {
    let Findings {
        scenario,
        exploration,
        shrunk,
        notes,
        ..
    } = findings;
    let mut parts = Vec::new();
    match (&exploration.failure, shrunk) {
        (_, Some(shrunk)) => parts.extend(shrunk_as_text(scenario, shrunk, findings.found_turns(), files, options)),
        (Some(run), None) => parts.push(failure(run, exploration.explanation.as_ref(), options)),
        (None, None) => {}
    }
    let rows: Vec<OutcomeRow> = exploration
        .outcomes
        .iter()
        .map(|tally| OutcomeRow {
            id: tally.id.clone(),
            schedules: tally.schedules,
            fails: !tally.violations.is_empty(),
            violations: tally.violations.clone(),
            order: names(scenario, &tally.order),
            summary: String::new(),
        })
        .collect();
    parts.push(outcomes(&rows, options));
    let told = Summary::new(scenario, exploration, notes);
    parts.push(summary(&told, options));
    parts.join("\n\n")
}

fn as_json(findings: &Findings, files: &Files) -> String {
    let Findings {
        scenario,
        exploration,
        shrunk,
        notes,
        ..
    } = findings;
    let found = exploration.failure.as_ref().map(|failure| {
        json::Failure::new(
            &failure.history,
            &failure.violations,
            &names(scenario, &failure.order()),
        )
        .explained(exploration.explanation.as_ref(), &failure.history)
    });
    let failure = shrunk.as_ref().map(|shrunk| shrunk_failure(scenario, shrunk)).or(found);
    let report = json::Report {
        scenario: scenario.name.clone(),
        strategy: exploration.coverage.strategy.to_owned(),
        seed: exploration.coverage.seed,
        verdict: match exploration.verdict {
            Verdict::Holds => json::Verdict::Holds,
            Verdict::Fails => json::Verdict::Fails,
            Verdict::Inconclusive => json::Verdict::Inconclusive,
        },
        reasons: exploration.reasons.clone(),
        exhaustive: exploration.exhaustive,
        interleavings: exploration.interleavings.clone(),
        schedules_run: exploration.schedules_run,
        elapsed_ms: json::millis(exploration.elapsed),
        outcomes: exploration
            .outcomes
            .iter()
            .map(|tally| json::Outcome {
                id: tally.id.clone(),
                schedules: tally.schedules,
                fails: !tally.violations.is_empty(),
                violations: tally.violations.clone(),
                order: names(scenario, &tally.order),
            })
            .collect(),
        failure,
        shrink: shrunk
            .as_ref()
            .map(|shrunk| shrink_as_json(scenario, shrunk, findings.found_turns(), files)),
        warnings: scenario.warnings.clone(),
        notes: notes.clone(),
    };
    // its keys are strings and its values have no way to fail
    serde_json::to_string_pretty(&report).unwrap_or_default()
}
