//! A workbench that works in a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Exchange, Ordered, Run, RunError, Scheduler, Template, Workbench};
use crate::history::Uncontrolled;
use crate::scenario::Scenario;
use crate::verdict::dependencies::Explanation;

/// A worker's workbench, and the runtime that its connections belong to.
pub struct Worker {
    runtime: Runtime,
    workbench: Workbench,
    stop: CancellationToken,
}

impl Worker {
    pub fn open(template: Arc<Template>, step_timeout: Duration, stop: CancellationToken) -> Result<Worker, RunError> {
        let runtime = runtime()?;
        let opening = Workbench::open(template, step_timeout);
        let workbench = runtime.block_on(interruptible(&stop, opening))?;
        Ok(Worker {
            runtime,
            workbench,
            stop,
        })
    }

    /// From now on, cancelling `stop` makes it give up.
    pub fn stop_by(&mut self, stop: CancellationToken) {
        self.stop = stop;
    }

    pub fn run(&mut self, scheduler: &mut dyn Scheduler) -> Result<Run, RunError> {
        let Worker {
            runtime,
            workbench,
            stop,
        } = self;
        runtime.block_on(interruptible(stop, workbench.run(scheduler)))
    }

    /// See [`Workbench::run_live`].
    pub fn run_live(&mut self, scheduler: &mut dyn Scheduler) -> Result<Run, RunError> {
        let Worker {
            runtime,
            workbench,
            stop,
        } = self;
        runtime.block_on(interruptible(stop, workbench.run_live(scheduler)))
    }

    /// See [`Workbench::transcripts`].
    pub fn transcripts(&self) -> Vec<Vec<Exchange>> {
        self.workbench.transcripts()
    }

    /// See [`Workbench::change_scenario`].
    pub fn change_scenario(&mut self, scenario: Arc<Scenario>) -> Result<(), RunError> {
        let Worker {
            runtime,
            workbench,
            stop,
        } = self;
        runtime.block_on(interruptible(stop, workbench.change_scenario(scenario)))
    }

    /// Finds out how the committed transactions of `run` depend on each other; see [`Workbench::explain`].
    pub fn explain(&mut self, run: &Run) -> Result<Option<Explanation>, RunError> {
        let Worker {
            runtime,
            workbench,
            stop,
        } = self;
        let mut order = Ordered::of(run);
        runtime.block_on(interruptible(stop, workbench.explain(&mut order, &run.history)))
    }

    /// See [`Workbench::outlast`].
    pub fn outlast(&mut self) -> Result<(), RunError> {
        let Worker {
            runtime,
            workbench,
            stop,
        } = self;
        runtime.block_on(interruptible(stop, workbench.outlast()))
    }

    /// See [`Workbench::left_behind`].
    pub fn left_behind(&mut self) -> Result<Option<Uncontrolled>, RunError> {
        let Worker {
            runtime,
            workbench,
            stop,
        } = self;
        runtime.block_on(interruptible(stop, workbench.left_behind()))
    }

    /// Drops its scratch database.
    pub fn close(self) -> Result<(), RunError> {
        let Worker { runtime, workbench, .. } = self;
        runtime.block_on(workbench.close())
    }
}

/// The runtime of one thread's connections.
pub fn runtime() -> Result<Runtime, RunError> {
    crate::descriptors::check().map_err(RunError::Runtime)?;
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().map_err(RunError::Runtime)
}

/// `work`, abandoned when `stop` is cancelled.
pub async fn interruptible<T>(
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, RunError>>,
) -> Result<T, RunError> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(RunError::Interrupted),
        result = work => result,
    }
}
