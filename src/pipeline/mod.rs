//! From a scenario to the content of its report: search, confirm, shrink, explain.
//!
//! Both the command line and [`testing`](crate::testing) use this.

mod findings;

pub use findings::Findings;

use std::sync::Arc;
use std::time::Instant;

use crate::explore::{self, Options, StrategyKind, Verdict, explore};
use crate::run::{RunError, Template};
use crate::shrink::{self, ShrinkOptions, Shrunk, shrink};

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which schedules are run.
    pub strategy: StrategyKind,
    /// What bounds the search.
    pub options: Options,
    /// How often the smallest schedule is replayed; `None` leaves a failing schedule as it was found.
    pub confirmations: Option<u32>,
}

/// How far it has got.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// Schedules are run to find a failure.
    Searching(explore::Progress),
    /// A failing schedule is made small.
    Shrinking(shrink::Progress),
}

/// Searches the template's scenario for a failing schedule, runs the one that was found again, makes it small and names
/// the anomaly.
///
/// An interruption while a failure is made small does not discard the failure.
///
/// # Errors
/// When a run has no result, or the search is interrupted before a schedule has failed.
pub fn search(template: &Arc<Template>, plan: &Plan, progress: &mut dyn FnMut(Progress)) -> Result<Findings, RunError> {
    let mut strategy = plan.strategy.build(template);
    let mut exploration = explore(template, strategy.as_mut(), &plan.options, &mut |so_far| {
        progress(Progress::Searching(so_far));
    })?;
    let mut notes = template.notes();
    let started = Instant::now();
    let failing = exploration
        .failure
        .as_ref()
        .filter(|_| exploration.verdict == Verdict::Fails);
    let shrunk = match (failing, plan.confirmations) {
        (Some(run), Some(confirmations)) => {
            let options = ShrinkOptions {
                most_runs: ShrinkOptions::MOST_RUNS,
                confirmations,
                step_timeout: plan.options.step_timeout,
                interrupt: plan.options.interrupt.clone(),
            };
            let told = &mut |so_far| progress(Progress::Shrinking(so_far));
            match shrink(template, run, &options, told) {
                // the failure was found and has failed again; it is shown as it is
                Err(RunError::Interrupted) => {
                    notes.push("interrupted: this is the schedule as it was found, not made small".to_owned());
                    None
                }
                shrunk => Some(shrunk?),
            }
        }
        _ => None,
    };
    if let Some(doubt) = shrunk.as_ref().and_then(Shrunk::doubt) {
        exploration.put_in_doubt(doubt);
    }
    Ok(Findings {
        scenario: template.scenario().clone(),
        exploration,
        shrunk,
        shrinking_took: started.elapsed(),
        notes,
    })
}
