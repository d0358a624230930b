//! An exploration as text or JSON.

use std::process::ExitCode;

use pgbraid::explore::{Exploration, Strategy, Verdict};
use pgbraid::report::anomaly::anomaly;
use pgbraid::report::json;
use pgbraid::report::outcomes::{OutcomeRow, outcomes};
use pgbraid::report::summary::{self, Summary, summary};
use pgbraid::report::text::TextOptions;
use pgbraid::report::timeline::timeline;
use pgbraid::report::violations::violations;
use pgbraid::scenario::Scenario;

use super::Common;
use super::exit::{self, Failure};
use super::limits::Explored;
use super::output::{self, Format};

/// Writes the report, and returns the exit code of its verdict. `notes` go with the summary.
pub fn report(explored: &Explored, notes: &[String], common: &Common) -> Result<ExitCode, Failure> {
    let Explored {
        scenario,
        strategy,
        exploration,
    } = explored;
    let output = common.output.as_deref();
    let text = match common.format {
        Format::Table => as_text(
            scenario,
            strategy.as_ref(),
            exploration,
            notes,
            &output::text_options(output),
        ),
        Format::Json => as_json(scenario, strategy.as_ref(), exploration, notes),
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

fn as_text(
    scenario: &Scenario,
    strategy: &dyn Strategy,
    exploration: &Exploration,
    notes: &[String],
    options: &TextOptions,
) -> String {
    let mut parts = Vec::new();
    if let Some(failure) = &exploration.failure {
        parts.push(timeline(&failure.history, options));
        parts.push(violations(
            &failure.violations,
            &failure.outcome.tables,
            &failure.history,
            options,
        ));
        let explanation = exploration.explanation.as_ref();
        if let Some(explanation) = explanation.filter(|explanation| explanation.explains(&failure.violations)) {
            parts.push(anomaly(explanation, &failure.history, options));
        }
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
    let verdict = match exploration.verdict {
        Verdict::Holds => summary::Verdict::Holds,
        Verdict::Fails => summary::Verdict::Fails {
            schedules: exploration.failures,
            exhaustive: exploration.exhaustive,
        },
        Verdict::Inconclusive => summary::Verdict::Inconclusive {
            reasons: exploration.reasons.clone(),
            failed: exploration.failures,
        },
    };
    parts.push(summary(
        &Summary {
            scenario: scenario.name.clone(),
            verdict,
            strategy: strategy.name().to_owned(),
            seed: strategy.seed(),
            schedules_run: exploration.schedules_run,
            interleavings: exploration.interleavings.clone(),
            elapsed: exploration.elapsed,
            warnings: scenario.warnings.clone(),
            notes: match exploration.verdict {
                Verdict::Fails => exploration.reasons.iter().chain(notes).cloned().collect(),
                _ => notes.to_vec(),
            },
        },
        options,
    ));
    parts.join("\n\n")
}

fn as_json(scenario: &Scenario, strategy: &dyn Strategy, exploration: &Exploration, notes: &[String]) -> String {
    let failure = exploration.failure.as_ref().map(|failure| {
        json::Failure::new(
            &failure.history,
            &failure.violations,
            &names(scenario, &failure.order()),
        )
        .explained(exploration.explanation.as_ref(), &failure.history)
    });
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
        elapsed_ms: u64::try_from(exploration.elapsed.as_millis()).unwrap_or(u64::MAX),
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
        warnings: scenario.warnings.clone(),
        notes: notes.to_vec(),
    };
    // its keys are strings and its values have no way to fail
    serde_json::to_string_pretty(&report).unwrap_or_default()
}
