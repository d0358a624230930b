//! Runs schedules on a scratch database of its own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{DeterminismCheck, Job, Key, Options, Ordered};
use crate::run::{Run, RunError, Scheduler, Template, Workbench};
use crate::scenario::Scenario;
use crate::verdict::dependencies::Explanation;

/// What a worker tells.
pub enum Report {
    /// It waits for a job.
    Idle(usize),
    Done {
        worker: usize,
        key: Key,
        run: Result<Box<Run>, RunError>,
        /// It was run twice.
        checked: bool,
    },
}

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

    pub fn run(&mut self, scheduler: &mut dyn Scheduler) -> Result<Run, RunError> {
        let Worker {
            runtime,
            workbench,
            stop,
        } = self;
        runtime.block_on(interruptible(stop, workbench.run(scheduler)))
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

    /// See [`Workbench::left_behind`].
    fn left_behind(&mut self) -> Result<Option<String>, RunError> {
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

    /// Runs the schedule of `run` again, and notes in it what came out differently.
    fn check(&mut self, run: &mut Run) -> Result<(), RunError> {
        let again = self.run(&mut Ordered::of(run))?;
        if let Some(difference) = differs(run, &again) {
            run.uncontrolled
                .push(format!("in two runs of the same schedule, {difference}"));
        } else if let Some(table) = leaves_otherwise(run, &again) {
            run.uncontrolled
                .push(format!("two runs of the same schedule left table {table} otherwise"));
        }
        Ok(())
    }
}

/// Runs the jobs that come, until no more do or one comes to no result. Says in words where the runs left something
/// behind that is not taken back. `opening` gives up a worker that has not yet begun.
pub fn work(
    worker: usize,
    template: Arc<Template>,
    options: &Options,
    opening: CancellationToken,
    stop: CancellationToken,
    jobs: &Receiver<Job>,
    report: &Sender<Report>,
) -> Result<Option<String>, RunError> {
    let _last_words = LastWords { worker, report };
    // whoever does not listen any more has what it needs
    let tell = |key: Key, run: Result<Run, RunError>, checked: bool| {
        report
            .send(Report::Done {
                worker,
                key,
                run: run.map(Box::new),
                checked,
            })
            .is_ok()
    };
    let mut bench = match Worker::open(template, options.step_timeout, opening) {
        Ok(bench) => bench,
        Err(error) => {
            tell(Key::new(), Err(error), false);
            return Ok(None);
        }
    };
    bench.stop = stop;
    if report.send(Report::Idle(worker)).is_err() {
        return Ok(None);
    }
    let mut runs: u64 = 0;
    while let Ok(Job { key, mut scheduler }) = jobs.recv() {
        runs += 1;
        let checked = match options.check_determinism {
            DeterminismCheck::None => false,
            DeterminismCheck::Sample => runs.is_power_of_two(),
            DeterminismCheck::All => true,
        };
        let mut run = bench.run(scheduler.as_mut());
        if checked
            && let Ok(first) = &mut run
            && let Err(error) = bench.check(first)
        {
            run = Err(error);
        }
        let failed = run.is_err();
        if !tell(key, run, checked) || failed {
            return Ok(None);
        }
    }
    bench.left_behind()
}

/// Where two runs of the same schedule did not do the same, in words.
pub fn differs(one: &Run, other: &Run) -> Option<String> {
    let turns = one.history.turns.iter().zip(&other.history.turns);
    if let Some((turn, _)) = turns.into_iter().find(|(one, other)| one != other) {
        let session = &one.history.sessions[turn.session];
        return Some(format!("step {} of {session} did not do the same", turn.step));
    }
    if one.history != other.history {
        return Some("the sessions did not end alike".to_owned());
    }
    (one.violations != other.violations).then(|| "they broke different invariants".to_owned())
}

/// The first table in which two runs left different rows.
pub fn leaves_otherwise(one: &Run, other: &Run) -> Option<String> {
    let (before, now) = (&one.outcome.tables, &other.outcome.tables);
    let same = before.iter().zip(now).take_while(|(before, now)| before == now).count();
    before.get(same).or(now.get(same)).map(|table| table.name.clone())
}

/// Tells of a worker that panicked, so that nobody waits for it.
struct LastWords<'a> {
    worker: usize,
    report: &'a Sender<Report>,
}

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let run = Err(RunError::Interrupted);
            // whoever does not listen any more has what it needs
            let _ = self.report.send(Report::Done {
                worker: self.worker,
                key: Key::new(),
                run,
                checked: false,
            });
        }
    }
}

/// The runtime of one thread's connections.
pub fn runtime() -> Result<Runtime, RunError> {
    crate::descriptors::check().map_err(RunError::Runtime)?;
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().map_err(RunError::Runtime)
}

/// `work`, given up when `stop` is cancelled.
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
