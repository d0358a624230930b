//! Writes what programs sent as a script: a scenario whose sessions have steps.
//!
//! [`record`] runs a scenario's programs once. [`lines`](mod@lines) makes statements of what each of them sent,
//! [`bind`] finds out where their values come from, and [`script`] makes a scenario of it all. [`check`] runs that and
//! compares it with what the programs did.

mod bind;
mod check;
mod lines;
mod pieces;
mod script;
mod steps;

pub use check::{Difference, compare};
pub use script::{Counterpart, Script};

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::postgres::Server;
use crate::run::{Exchange, Run, RunError, Scheduler, Template, Worker, interruptible, runtime};
use crate::scenario::Scenario;

/// What the programs of a scenario did.
#[derive(Debug)]
pub struct Recording {
    pub run: Run,
    /// By session; empty where it is no program.
    pub transcripts: Vec<Vec<Exchange>>,
}

/// How scenarios are run.
#[derive(Debug, Clone)]
pub struct RecordOptions {
    /// The longest time that a step may take while it does not wait for another session.
    pub step_timeout: Duration,
    /// Cancelling this ends the run with [`RunError::Interrupted`].
    pub interrupt: CancellationToken,
}

/// Runs a scenario once in a scratch database, which is dropped at the end. `scheduler` is made for the scenario as it is
/// run.
///
/// # Errors
/// When its setup or a statement fails, or the run has no result.
pub fn record<S: Scheduler>(
    server: &Arc<Server>,
    scenario: &Arc<Scenario>,
    scheduler: impl FnOnce(&Scenario) -> S,
    options: &RecordOptions,
) -> Result<Recording, RunError> {
    let runtime = runtime()?;
    let preparing = Template::prepare(server.clone(), scenario.clone());
    let template = Arc::new(runtime.block_on(interruptible(&options.interrupt, preparing))?);
    let mut scheduler = scheduler(template.scenario());
    let mut bench = Worker::open(template.clone(), options.step_timeout, options.interrupt.clone())?;
    let run = bench.run(&mut scheduler)?;
    let transcripts = bench.transcripts();
    bench.close()?;
    runtime.block_on(template.drop_database())?;
    Ok(Recording { run, transcripts })
}
