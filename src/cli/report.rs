//! An exploration as text or JSON.

use std::path::PathBuf;
use std::process::ExitCode;

use pgbraid::explore::{Exploration, Strategy, Verdict};
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
use super::shrinking::Shrinkage;

/// Writes the report, and returns the exit code of its verdict. `notes` go with the summary.
pub fn report(mut explored: Explored, notes: &[String], common: &Common) -> Result<ExitCode, Failure> {
    let code = write_report(&explored, notes, common)?;
    match explored.unwritten.take() {
        Some(failure) => Err(failure),
        None => Ok(code),
    }
}

fn write_report(explored: &Explored, notes: &[String], common: &Common) -> Result<ExitCode, Failure> {
    let Explored {
        scenario,
        strategy,
        exploration,
        shrinkage,
        notes: own,
        ..
    } = explored;
    let notes = &[own, notes].concat();
    let shrinkage = shrinkage.as_ref();
    let output = common.output.as_deref();
    let text = match common.format {
        Format::Table => as_text(explored, notes, &output::text_options(output)),
        Format::Json => as_json(scenario, strategy.as_ref(), exploration, shrinkage, notes),
    };
    output::write(&text, output)?;
    Ok(exit::code(exploration.verdict))
}

fn names(scenario: &Scenario, order: &[usize]) -> Vec<String> {
    order
        .iter()
        .map(|&index| scenario.sessions[index].name.clone())
        .collect()
}

/// Writes the report on a schedule that was made small, and returns the exit code of a failure.
pub fn report_shrunk(scenario: &Scenario, shrinkage: &Shrinkage, common: &Common) -> Result<ExitCode, Failure> {
    let output = common.output.as_deref();
    let text = match common.format {
        Format::Table => shrunk_as_text(scenario, shrinkage, &output::text_options(output)).join("\n\n"),
        Format::Json => {
            let failure = shrunk_failure(scenario, shrinkage);
            let report = json::ShrinkReport {
                scenario: scenario.name.clone(),
                failure,
                shrink: shrink_as_json(scenario, shrinkage),
            };
            // its keys are strings and its values have no way to fail
            serde_json::to_string_pretty(&report).unwrap_or_default()
        }
    };
    output::write(&text, output)?;
    Ok(exit::code(match shrinkage.is_confirmed() {
        true => Verdict::Fails,
        false => Verdict::Inconclusive,
    }))
}

fn shrunk_as_text(scenario: &Scenario, shrinkage: &Shrinkage, options: &TextOptions) -> Vec<String> {
    let result = &shrinkage.shrunk;
    let run = &result.smallest.run;
    let mut parts = vec![failure(run, result.explanation.as_ref(), options)];
    parts.push(shrunk(result, scenario, shrinkage.found_turns, options));
    if let Some(path) = &shrinkage.files.pinned {
        parts.push(format!(
            "pinned as {}; run it with: pgbraid replay {}",
            visible(&path.display().to_string()),
            output::shell_word(path.as_os_str())
        ));
    }
    if let Some(path) = &shrinkage.files.scenario {
        parts.push(format!(
            "the smallest scenario is {}",
            visible(&path.display().to_string())
        ));
    }
    parts
}

fn shrunk_failure(scenario: &Scenario, shrinkage: &Shrinkage) -> json::Failure {
    let Shrunk {
        smallest, explanation, ..
    } = &shrinkage.shrunk;
    json::Failure::new(
        &smallest.run.history,
        &smallest.run.violations,
        &names(scenario, &smallest.run.order()),
    )
    .explained(explanation.as_ref(), &smallest.run.history)
}

fn shrink_as_json(scenario: &Scenario, shrinkage: &Shrinkage) -> json::Shrink {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    json::Shrink::new(
        &shrinkage.shrunk,
        scenario,
        shrinkage.found_turns,
        path(&shrinkage.files.pinned),
    )
}

fn as_text(explored: &Explored, notes: &[String], options: &TextOptions) -> String {
    let Explored {
        scenario,
        strategy,
        exploration,
        shrinkage,
        ..
    } = explored;
    let mut parts = Vec::new();
    match (&exploration.failure, shrinkage) {
        (_, Some(shrinkage)) => parts.extend(shrunk_as_text(scenario, shrinkage, options)),
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
    let told = Summary::new(scenario, strategy.as_ref(), exploration, notes);
    parts.push(summary(&told, options));
    parts.join("\n\n")
}

fn as_json(
    scenario: &Scenario,
    strategy: &dyn Strategy,
    exploration: &Exploration,
    shrinkage: Option<&Shrinkage>,
    notes: &[String],
) -> String {
    let found = exploration.failure.as_ref().map(|failure| {
        json::Failure::new(
            &failure.history,
            &failure.violations,
            &names(scenario, &failure.order()),
        )
        .explained(exploration.explanation.as_ref(), &failure.history)
    });
    let failure = shrinkage.map(|shrinkage| shrunk_failure(scenario, shrinkage)).or(found);
    let report = json::Report {
        scenario: scenario.name.clone(),
        strategy: strategy.name().to_owned(),
        seed: strategy.seed(),
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
        shrink: shrinkage.map(|shrinkage| shrink_as_json(scenario, shrinkage)),
        warnings: scenario.warnings.clone(),
        notes: notes.to_vec(),
    };
    // its keys are strings and its values have no way to fail
    serde_json::to_string_pretty(&report).unwrap_or_default()
}
