//! What the threads of an exploration do: run one schedule after another, each thread on a scratch database of its own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;

use tokio_util::sync::CancellationToken;

use super::{DeterminismCheck, Job, Key, Options};
use crate::history::Uncontrolled;
use crate::run::{Ordered, Run, RunError, RunSource, Template, Worker, differs, leaves_otherwise};

/// What a worker reports.
pub enum WorkerMessage {
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

/// Runs the jobs that arrive, until there are no more or one has no result. Reports if the runs left something behind
/// that is not restored. `opening` stops a worker that has not begun yet.
pub fn work(
    worker: usize,
    template: Arc<Template>,
    options: &Options,
    opening: CancellationToken,
    stop: CancellationToken,
    jobs: &Receiver<Job>,
    report: &Sender<WorkerMessage>,
) -> Result<Option<Uncontrolled>, RunError> {
    let _last_words = LastWords { worker, report };
    // a coordinator that no longer listens has what it needs
    let tell = |key: Key, run: Result<Run, RunError>, checked: bool| {
        report
            .send(WorkerMessage::Done {
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
    bench.stop_by(stop);
    if report.send(WorkerMessage::Idle(worker)).is_err() {
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
            && let Err(error) = check(&mut bench, first)
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

/// Runs the schedule of `run` again, and notes in it what differed.
fn check(worker: &mut Worker, run: &mut Run) -> Result<(), RunError> {
    let again = worker.run_live(&mut Ordered::of(run))?;
    if let Some(difference) = differs(run, &again) {
        run.uncontrolled.push(Uncontrolled::RunsDiffer(difference));
    } else if let Some(table) = leaves_otherwise(run, &again) {
        run.uncontrolled.push(Uncontrolled::TablesDiffer { table });
    }
    let others = again.uncontrolled.into_iter();
    let new: Vec<Uncontrolled> = others.filter(|what| !run.uncontrolled.contains(what)).collect();
    run.uncontrolled.extend(new);
    if run.source == RunSource::Learned {
        run.source = RunSource::Confirmed;
    }
    Ok(())
}

/// Reports a worker that panicked, so that nobody waits for it.
struct LastWords<'a> {
    worker: usize,
    report: &'a Sender<WorkerMessage>,
}

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let run = Err(RunError::Interrupted);
            // a coordinator that no longer listens has what it needs
            let _ = self.report.send(WorkerMessage::Done {
                worker: self.worker,
                key: Key::new(),
                run,
                checked: false,
            });
        }
    }
}
