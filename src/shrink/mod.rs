//! Makes a failing schedule small, by running smaller ones.
//!
//! Candidates are run on the server and kept only if they violate the same (see [`Target`]), in this order:
//!
//! 1. Fewer sessions that race. In the unchanged scenario every session runs, since invariants count on it; those with
//!    no part in the race run by themselves after it, or before it.
//! 2. Fewer sessions and steps in the scenario itself, by delta debugging over the steps of each session's text. A
//!    transaction is never left open; what the server rejects, or what uses a variable that no longer exists, is not a
//!    candidate. If the sessions race, no serial order of what is left may violate the same: it would not be the race
//!    then.
//! 3. Fewer context switches; of the orders with the fewest, the one in which the fewest steps wait; and of those the
//!    earliest: it begins with the first session and leaves it soonest.
//!
//! Both are kept: the smallest failing schedule of the unchanged scenario, and that of the smallest scenario.

mod arrangement;
mod ddmin;
mod order;
mod reduce;
mod sessions;
mod steps;
mod target;
mod trials;

pub use target::Target;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::explore::Reason;
use crate::run::{Run, RunError, Template, Worker};
use crate::scenario::Scenario;
use crate::schedule::{Follower, Schedule};
use crate::verdict::dependencies::Explanation;
use arrangement::Arrangement;
use trials::Trials;

/// How a failing schedule is made small.
#[derive(Debug, Clone)]
pub struct ShrinkOptions {
    /// The most candidates that are run.
    pub most_runs: u64,
    /// How often the result is replayed.
    pub confirmations: u32,
    /// The longest time that a step may take while it does not wait for another session.
    pub step_timeout: Duration,
    /// Cancelling this ends it early, with [`RunError::Interrupted`].
    pub interrupt: CancellationToken,
}

impl ShrinkOptions {
    /// The most candidates that are run by default.
    pub const MOST_RUNS: u64 = 1_000;
    /// How often the result is replayed by default.
    pub const CONFIRMATIONS: u32 = 20;
}

/// A failing schedule made small.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// The smallest schedule of the unchanged scenario that was found.
    pub smallest: Smallest,
    /// Sessions that race in it, ascending; empty if a serial order fails.
    pub racing: Vec<usize>,
    /// How its committed transactions depend on each other, if that could be determined.
    pub explanation: Option<Explanation>,
    /// The smallest scenario, if part of the whole one is enough.
    pub scenario: Option<SmallestScenario>,
    /// Candidates run.
    pub runs: u64,
    /// Candidates that had been run before.
    pub known: u64,
    /// Whether no order has fewer context switches; if false, there were too many orders to run.
    pub is_minimal: bool,
}

impl Shrunk {
    /// Why the failure is not reliable; `None` if it failed every time.
    pub fn doubt(&self) -> Option<Reason> {
        self.smallest.confirmed.doubt()
    }
}

/// A failing schedule for which nothing smaller was found.
#[derive(Debug, Clone)]
pub struct Smallest {
    pub run: Run,
    /// Following it does what `run` did.
    pub schedule: Schedule,
    pub confirmed: Confirmed,
}

/// How often a schedule failed in the same way when it was replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmed {
    pub fails: u32,
    pub of: u32,
}

impl Confirmed {
    pub fn every_time(self) -> bool {
        self.fails == self.of
    }

    /// Why the failure is not reliable; `None` if it failed every time.
    pub fn doubt(self) -> Option<Reason> {
        let Confirmed { fails, of } = self;
        (!self.every_time()).then_some(Reason::NotConfirmed { fails, of })
    }
}

/// A scenario from which nothing more can be dropped.
#[derive(Debug, Clone)]
pub struct SmallestScenario {
    pub scenario: Arc<Scenario>,
    pub smallest: Smallest,
    /// Sessions that are not in it.
    pub dropped_sessions: Vec<String>,
    /// Steps that are not in it: a session and the step's name, once for all copies of the session.
    pub dropped_steps: Vec<(String, String)>,
}

/// The progress of shrinking.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub runs: u64,
}

/// Makes the failing run of a scenario small. `run` belongs to `template`'s scenario.
///
/// # Errors
/// When the server fails, or a run other than that of a candidate has no result.
pub fn shrink(
    template: &Arc<Template>,
    run: &Run,
    options: &ShrinkOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Shrunk, RunError> {
    let scenario = template.scenario().clone();
    let Some(target) = Target::of(run, &scenario) else {
        return Err(RunError::NothingFails);
    };
    let mut trials = Trials::new(template, target, options, progress)?;
    let failing = sessions::reduce(&mut trials, run)?;
    let (whole, is_minimal) = order::reduce(&mut trials, failing)?;
    let arrangement = Arrangement::of(&whole);
    let smaller = steps::reduce(&mut trials, &arrangement, &whole)?;
    let (runs, known) = (trials.runs(), trials.known());
    drop(trials);

    let smallest = confirm(template, None, whole, options)?;
    let mut worker = Worker::open(template.clone(), options.step_timeout, options.interrupt.clone())?;
    // that it cannot be explained does not change that it fails
    let explanation = match worker.explain(&smallest.run) {
        Ok(explanation) => explanation,
        Err(RunError::Interrupted) => return Err(RunError::Interrupted),
        Err(_) => None,
    };
    let scenario = smaller
        .map(|smaller| -> Result<SmallestScenario, RunError> {
            let smallest = confirm(template, Some(&smaller.scenario), smaller.run, options)?;
            Ok(SmallestScenario {
                scenario: smaller.scenario,
                smallest,
                dropped_sessions: smaller.dropped_sessions,
                dropped_steps: smaller.dropped_steps,
            })
        })
        .transpose()?
        .filter(|scenario| scenario.smallest.confirmed.every_time());
    Ok(Shrunk {
        racing: arrangement.racing,
        smallest,
        explanation,
        scenario,
        runs,
        known,
        is_minimal,
    })
}

/// Replays a run, in a new database, by its schedule as people write it.
fn confirm(
    template: &Arc<Template>,
    scenario: Option<&Arc<Scenario>>,
    run: Run,
    options: &ShrinkOptions,
) -> Result<Smallest, RunError> {
    let mut worker = Worker::open(template.clone(), options.step_timeout, options.interrupt.clone())?;
    if let Some(scenario) = scenario {
        worker.change_scenario(scenario.clone())?;
    }
    let scenario = scenario.unwrap_or(template.scenario());
    let times = options.confirmations.max(1);
    let mut smallest = None;
    for schedule in [Schedule::of(&run.history), Schedule::step_by_step(&run.history)] {
        // its names are the scenario's own
        let Ok(plan) = schedule.fit(scenario) else { continue };
        let mut fails = 0;
        for _ in 0..times {
            let again = worker.run_live(&mut Follower::new(&plan))?;
            let same = again.history == run.history && again.violations == run.violations;
            fails += u32::from(same);
            if !same && fails == 0 {
                break;
            }
        }
        let confirmed = Confirmed { fails, of: times };
        let found = smallest.get_or_insert((schedule.clone(), confirmed));
        if fails > found.1.fails {
            *found = (schedule, confirmed);
        }
        if fails > 0 {
            break;
        }
    }
    worker.close()?;
    let nothing = || (Schedule::step_by_step(&run.history), Confirmed { fails: 0, of: times });
    let (schedule, confirmed) = smallest.unwrap_or_else(nothing);
    Ok(Smallest {
        run,
        schedule,
        confirmed,
    })
}
