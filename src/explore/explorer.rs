//! Runs a strategy's schedules, several at a time, and takes their results in the strategy's order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use num_bigint::BigUint;
use tokio_util::sync::CancellationToken;

use super::by_source::{BySource, RunCounts};
use super::work::{WorkerMessage, work};
use super::{Coverage, Job, Key, Reason, Strategy, interleavings};
use crate::history::Uncontrolled;
use crate::run::{Ordered, Run, RunError, RunSource, Template, Worker, differs, leaves_otherwise};
use crate::scenario::Scenario;
use crate::verdict::dependencies::Explanation;

/// How often progress is reported and the time bound checked while no run ends.
const TICK: Duration = Duration::from_millis(100);

/// What bounds an exploration.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many schedules run at a time, each on a scratch database of its own.
    pub jobs: usize,
    /// Stop after so many schedules; the verdict is then inconclusive.
    pub max_schedules: Option<u64>,
    /// Stop searching after this time; the verdict is then inconclusive.
    pub timeout: Option<Duration>,
    /// Continues after a failure, to collect all outcomes.
    pub keep_going: bool,
    /// The longest time that a step may take while it does not wait for another session.
    pub step_timeout: Duration,
    /// Which schedules run twice, to check that they do the same both times.
    pub check_determinism: DeterminismCheck,
    /// Cancelling this ends the exploration early, with [`RunError::Interrupted`].
    pub interrupt: CancellationToken,
}

/// Which schedules run twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeterminismCheck {
    /// None is.
    #[default]
    None,
    /// A worker's first, second, fourth, eighth … schedule.
    Sample,
    /// Every one.
    All,
}

/// How far an exploration has got.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Schedules that have been run.
    pub schedules_run: u64,
    /// Of these, how many failed.
    pub failures: u64,
    /// How many there will be, where that is known.
    pub planned: Option<u64>,
}

/// What an exploration says of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every interleaving was covered and none fails.
    Holds,
    /// A schedule fails, and failed in the same way when it was run again.
    Fails,
    /// Not everything was covered, or something was not under control.
    Inconclusive,
}

/// What an exploration found.
#[derive(Debug, Clone)]
pub struct Exploration {
    /// What it says of the scenario.
    pub verdict: Verdict,
    /// Every interleaving was covered.
    pub exhaustive: bool,
    /// It ended with the first failing schedule, as intended.
    pub stopped_at_failure: bool,
    /// Why it is inconclusive.
    pub reasons: Vec<Reason>,
    /// Orders of the declared steps that keep each session's own order.
    pub interleavings: Option<BigUint>,
    /// Schedules that have been run.
    pub schedules_run: u64,
    /// How many of them failed.
    pub failures: u64,
    /// Where sessions are programs: how many were run with these.
    pub by_source: Option<RunCounts>,
    /// By program: how many paths it has taken, each by what it was told.
    pub paths: Vec<(String, usize)>,
    /// What else happened in them.
    pub tally: Tally,
    /// What those stand for.
    pub coverage: Coverage,
    /// How long it took.
    pub elapsed: Duration,
    /// In the order in which they were first reached.
    pub outcomes: Vec<OutcomeTally>,
    /// The first failing schedule.
    pub failure: Option<Run>,
    /// How its committed transactions depend on each other, if that could be determined.
    pub explanation: Option<Explanation>,
}

impl Exploration {
    /// Makes it inconclusive.
    pub fn put_in_doubt(&mut self, reason: Reason) {
        self.verdict = Verdict::Inconclusive;
        self.exhaustive = false;
        self.reasons.push(reason);
    }
}

/// In how many of the schedules run something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Some session was blocked.
    pub blocked: u64,
    /// PostgreSQL broke a deadlock.
    pub deadlocks: u64,
    /// An error ended a session that allows it.
    pub allowed_errors: u64,
    /// A session ran a transaction again.
    pub retries: u64,
    /// The schedule was run twice, and did the same both times.
    pub checked_twice: u64,
}

impl Tally {
    fn count(&mut self, run: &Run) {
        self.blocked += u64::from(run.history.turns.iter().any(|turn| !turn.waits.is_empty()));
        self.deadlocks += u64::from(!run.deadlocks.is_empty());
        self.allowed_errors +=
            u64::from(run.violations.is_empty() && run.history.ends.iter().any(|end| end.error.is_some()));
        self.retries += u64::from(run.history.ends.iter().any(|end| end.retries > 0));
    }
}

/// An outcome and the schedules that led to it.
#[derive(Debug, Clone)]
pub struct OutcomeTally {
    /// The id of the outcome, see [`Outcome`](crate::verdict::outcome::Outcome).
    pub id: String,
    /// How many of the schedules that have been run came to it.
    pub schedules: u64,
    /// Names of what it violates; empty where it holds.
    pub violations: Vec<String>,
    /// One schedule that leads to it: sessions by index, one entry for each turn.
    pub order: Vec<usize>,
}

/// Runs schedules until the strategy has no more, one fails, or a bound is reached.
///
/// # Errors
/// When a run has no result, or the exploration is interrupted before a schedule has failed; there is then no verdict
/// at all.
pub fn explore(
    template: &Arc<Template>,
    strategy: &mut dyn Strategy,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Exploration, RunError> {
    let started = Instant::now();
    let stop = options.interrupt.child_token();
    let opening = stop.child_token();
    let mut collector = Collector::default();
    let result = thread::scope(|scope| {
        let (report, reports) = channel();
        let mut workers = Vec::new();
        let mut threads = Vec::new();
        // the names of prepared transactions are shared by the whole server
        let jobs = if template.scenario().prepares_transactions() {
            1
        } else {
            options.jobs.max(1)
        };
        for index in 0..jobs {
            let (sender, jobs) = channel::<Job>();
            let (report, template) = (report.clone(), template.clone());
            let (opening, stop) = (opening.clone(), stop.clone());
            let jobs_of = move || work(index, template, options, opening, stop, &jobs, &report);
            threads.push(scope.spawn(jobs_of));
            workers.push(sender);
        }
        drop(report);
        let coordinator = Coordinator {
            strategy,
            options,
            started,
            workers,
            reports,
            stop: stop.clone(),
        };
        let result = coordinator.run(&mut collector, progress);
        // an interrupted search gives no verdict on its runs, and a failure is confirmed in a new database
        if !matches!(result, Ok(StopReason::Complete)) {
            stop.cancel();
            return result;
        }
        opening.cancel();
        for thread in threads {
            // one that panicked has reported it
            if let Ok(left_behind) = thread.join() {
                collector.note(left_behind?);
            }
        }
        result
    });
    let end = match result {
        // what was found counts, and is still confirmed
        Err(RunError::Interrupted) if collector.failure.is_some() => StopReason::Interrupted,
        result => result?,
    };
    let interrupt = match end {
        StopReason::Interrupted => CancellationToken::new(),
        _ => options.interrupt.clone(),
    };
    let to_confirm = collector.failure.clone().or_else(|| collector.first.take());
    let by_source = std::mem::take(&mut collector.by_source);
    let mut exploration = collector.into_exploration(strategy.coverage(), end, counted(template.scenario()));
    let observed = template.observed().filter(|_| !strategy.begins_again());
    if let Some(observed) = observed.filter(|_| exploration.verdict == Verdict::Holds) {
        if observed.begins_apart() {
            exploration.put_in_doubt(Reason::Uncontrolled(Uncontrolled::BeginNotScheduled));
        }
        if observed.tables_locked() {
            exploration.put_in_doubt(Reason::Uncontrolled(Uncontrolled::PrepareNotScheduled));
        }
    }
    exploration.by_source = template.observed().map(|_| by_source.counts);
    if let Some(run) = to_confirm {
        confirm(template, options, interrupt.clone(), run, &mut exploration)?;
    }
    if exploration.verdict == Verdict::Holds {
        confirm_sample(template, options, interrupt, by_source.into_sample(), &mut exploration)?;
    }
    exploration.paths = template
        .observed()
        .map(|observed| observed.learned().paths())
        .unwrap_or_default();
    for doubt in template.doubts() {
        match exploration.verdict {
            Verdict::Holds | Verdict::Inconclusive => exploration.put_in_doubt(Reason::Uncontrolled(doubt)),
            Verdict::Fails if doubt == Uncontrolled::OwnClock => {}
            Verdict::Fails => exploration.reasons.push(Reason::Uncontrolled(doubt)),
        }
    }
    if exploration.verdict == Verdict::Holds && !strategy.is_up_to_date() {
        exploration.put_in_doubt(Reason::Uncontrolled(Uncontrolled::SeenLate));
    }
    exploration.elapsed = started.elapsed();
    Ok(exploration)
}

/// How many interleavings there are, where that is known beforehand: programs do not say what they will do.
fn counted(scenario: &Scenario) -> Option<BigUint> {
    (!scenario.has_programs()).then(|| interleavings(scenario))
}

/// Why no more schedules are run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum StopReason {
    Complete,
    Failure,
    MaxSchedules(u64),
    Timeout(Duration),
    Interrupted,
}

struct Coordinator<'a> {
    strategy: &'a mut dyn Strategy,
    options: &'a Options,
    started: Instant,
    workers: Vec<Sender<Job>>,
    reports: Receiver<WorkerMessage>,
    stop: CancellationToken,
}

impl Coordinator<'_> {
    fn run(self, collector: &mut Collector, progress: &mut dyn FnMut(Progress)) -> Result<StopReason, RunError> {
        let mut idle: BTreeSet<usize> = BTreeSet::new();
        let mut under_way: BTreeSet<Key> = BTreeSet::new();
        let planned = self.strategy.planned();
        loop {
            let next = self.strategy.next_key();
            let frontier = next.iter().chain(under_way.first()).min();
            if let Some(end) = collector.commit(frontier, self.options) {
                return Ok(end);
            }
            progress(Progress {
                schedules_run: collector.schedules_run,
                failures: collector.failures,
                planned,
            });
            if next.is_none() && under_way.is_empty() {
                return Ok(StopReason::Complete);
            }
            while let Some(key) = self
                .strategy
                .next_key()
                .filter(|key| collector.is_wanted(key, self.options))
            {
                let Some(worker) = idle.pop_first() else { break };
                let Some(job) = self.strategy.next() else { break };
                under_way.insert(key);
                // a worker that is gone has reported why
                let _ = self.workers[worker].send(job);
            }
            if let Some(limit) = self.options.timeout.filter(|limit| self.started.elapsed() >= *limit) {
                return Ok(StopReason::Timeout(limit));
            }
            match self.reports.recv_timeout(TICK) {
                Ok(WorkerMessage::Idle(worker)) => {
                    idle.insert(worker);
                }
                Ok(WorkerMessage::Done {
                    worker,
                    key,
                    run,
                    checked,
                }) => {
                    let run = run?;
                    under_way.remove(&key);
                    idle.insert(worker);
                    let difference = self.strategy.observe(&key, &run);
                    collector.take(key, *run, difference, checked);
                }
                Err(RecvTimeoutError::Timeout) if self.stop.is_cancelled() => return Err(RunError::Interrupted),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(RunError::Interrupted),
            }
        }
    }
}

/// Results, taken in the order of their keys.
#[derive(Default)]
struct Collector {
    waiting: BTreeMap<Key, (Run, Option<Uncontrolled>, bool)>,
    /// The smallest key of a failing run, as far as is known.
    first_failure: Option<Key>,
    schedules_run: u64,
    failures: u64,
    tally: Tally,
    by_source: BySource,
    outcomes: Vec<OutcomeTally>,
    first: Option<Run>,
    failure: Option<Run>,
    /// By the text of the report.
    uncontrolled: BTreeMap<String, Uncontrolled>,
}

impl Collector {
    /// Whether a schedule with this key can still count.
    fn is_wanted(&self, key: &Key, options: &Options) -> bool {
        options.keep_going || self.first_failure.as_ref().is_none_or(|failure| key < failure)
    }

    fn take(&mut self, key: Key, run: Run, difference: Option<Uncontrolled>, checked: bool) {
        if !run.violations.is_empty() && self.first_failure.as_ref().is_none_or(|first| key < *first) {
            self.first_failure = Some(key.clone());
        }
        self.waiting.insert(key, (run, difference, checked));
    }

    /// Counts the runs before `frontier`; no schedule before it is still to come.
    fn commit(&mut self, frontier: Option<&Key>, options: &Options) -> Option<StopReason> {
        while let Some(entry) = self.waiting.first_entry() {
            if frontier.is_some_and(|frontier| entry.key() > frontier) {
                return None;
            }
            let (run, difference, checked) = entry.remove();
            let failed = self.count(run, difference, checked);
            if failed && !options.keep_going {
                return Some(StopReason::Failure);
            }
            if let Some(limit) = options.max_schedules.filter(|limit| self.schedules_run >= *limit) {
                let more = frontier.is_some() || !self.waiting.is_empty();
                return more.then_some(StopReason::MaxSchedules(limit));
            }
        }
        None
    }

    fn note(&mut self, uncontrolled: impl IntoIterator<Item = Uncontrolled>) {
        let named = uncontrolled.into_iter().map(|what| (what.to_string(), what));
        self.uncontrolled.extend(named);
    }

    fn count(&mut self, run: Run, difference: Option<Uncontrolled>, checked: bool) -> bool {
        let failed = !run.violations.is_empty();
        self.schedules_run += 1;
        self.failures += u64::from(failed);
        self.tally.count(&run);
        self.tally.checked_twice += u64::from(checked);
        self.by_source.count(&run, checked);
        self.note(difference);
        self.note(run.uncontrolled.iter().cloned());
        let violations: Vec<String> = run.violations.iter().map(|violation| violation.name()).collect();
        let known = self
            .outcomes
            .iter_mut()
            .find(|tally| tally.id == run.outcome.id && tally.violations == violations);
        match known {
            Some(tally) => tally.schedules += 1,
            None => {
                let (id, order) = (run.outcome.id.clone(), run.order());
                self.outcomes.push(OutcomeTally {
                    id,
                    schedules: 1,
                    violations,
                    order,
                });
            }
        }
        if failed && self.failure.is_none() {
            self.failure = Some(run);
        } else if self.first.is_none() {
            self.first = Some(run);
        }
        failed
    }

    fn into_exploration(self, coverage: Coverage, end: StopReason, interleavings: Option<BigUint>) -> Exploration {
        let mut reasons: Vec<Reason> = self.uncontrolled.into_values().map(Reason::from).collect();
        match end {
            StopReason::MaxSchedules(limit) => reasons.push(Reason::MaxSchedules(limit)),
            StopReason::Timeout(limit) => reasons.push(Reason::Timeout(limit)),
            StopReason::Interrupted => reasons.push(Reason::Interrupted),
            StopReason::Complete if !coverage.is_exhaustive => reasons.push(Reason::Sampled),
            StopReason::Complete | StopReason::Failure => {}
        }
        let exhaustive = coverage.is_exhaustive && end == StopReason::Complete && reasons.is_empty();
        let verdict = match self.failure {
            Some(_) => Verdict::Fails,
            None if exhaustive => Verdict::Holds,
            None => Verdict::Inconclusive,
        };
        Exploration {
            verdict,
            exhaustive,
            stopped_at_failure: end == StopReason::Failure,
            reasons,
            interleavings,
            schedules_run: self.schedules_run,
            failures: self.failures,
            by_source: None,
            paths: Vec::new(),
            tally: self.tally,
            coverage,
            elapsed: Duration::ZERO,
            outcomes: self.outcomes,
            failure: self.failure,
            explanation: None,
        }
    }
}

/// Runs a schedule again: the failing one, which counts only if it fails every time, or else the first, which shows
/// what no step sees (a table that chance writes to). For a failing one, determines the anomaly; if that cannot be
/// done, the verdict does not change.
fn confirm(
    template: &Arc<Template>,
    options: &Options,
    interrupt: CancellationToken,
    run: Run,
    exploration: &mut Exploration,
) -> Result<(), RunError> {
    let mut worker = Worker::open(template.clone(), options.step_timeout, interrupt)?;
    let again = worker.run_live(&mut Ordered::of(&run))?;
    let failed = !run.violations.is_empty();
    if let Some(counts) = &mut exploration.by_source {
        counts.live += 1;
        counts.confirmed_live += u64::from(run.source == RunSource::Learned && differs(&run, &again).is_none());
    }
    worker.outlast()?;
    let reason = if let Some(difference) = differs(&run, &again) {
        Reason::NotRepeated { failed, difference }
    } else if failed {
        if run.source != RunSource::Programs {
            exploration.failure = Some(again);
        }
        match worker.explain(&run) {
            Ok(explanation) => exploration.explanation = explanation,
            Err(RunError::Interrupted) => return Err(RunError::Interrupted),
            Err(error) => exploration.reasons.push(Reason::NotExplained(error.to_string())),
        }
        return Ok(());
    } else if let Some(table) = leaves_otherwise(&run, &again) {
        Reason::LeftOtherwise { table }
    } else if let Some(what) = again.uncontrolled.into_iter().next() {
        Reason::Uncontrolled(what)
    } else {
        return Ok(());
    };
    if !exploration.reasons.contains(&reason) {
        exploration.put_in_doubt(reason);
    }
    Ok(())
}

/// Runs schedules with the programs that were run from what had been learned of them.
fn confirm_sample(
    template: &Arc<Template>,
    options: &Options,
    interrupt: CancellationToken,
    sample: Vec<Run>,
    exploration: &mut Exploration,
) -> Result<(), RunError> {
    if sample.is_empty() {
        return Ok(());
    }
    let mut worker = Worker::open(template.clone(), options.step_timeout, interrupt)?;
    for run in sample {
        let again = worker.run_live(&mut Ordered::of(&run))?;
        let reason = if let Some(difference) = differs(&run, &again) {
            let failed = false;
            Some(Reason::NotRepeated { failed, difference })
        } else if let Some(table) = leaves_otherwise(&run, &again) {
            Some(Reason::LeftOtherwise { table })
        } else {
            again.uncontrolled.into_iter().next().map(Reason::Uncontrolled)
        };
        if let Some(counts) = &mut exploration.by_source {
            counts.live += 1;
            counts.confirmed_live += u64::from(reason.is_none());
        }
        if let Some(reason) = reason {
            exploration.put_in_doubt(reason);
            break;
        }
    }
    worker.outlast()?;
    worker.close()
}
