//! One pinned schedule.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Judgement, ReplayError, ReplayOptions};
use crate::postgres::Server;
use crate::run::{Run, RunError, Template, Worker, differs, interruptible, runtime};
use crate::scenario::Scenario;
use crate::schedule::{Departure, Follower, PinnedFile};

/// The result of running a pinned schedule.
#[derive(Debug, Clone)]
pub struct Replay {
    pub file: PinnedFile,
    /// The name of its scenario.
    pub scenario: String,
    pub judgement: Judgement,
    /// The first run.
    pub run: Run,
    /// Where it left the pinned order.
    pub departures: Vec<Departure>,
    /// How often it was run.
    pub times: u32,
    /// Preparation included.
    pub elapsed: Duration,
}

/// Serialises replays that prepare transactions, since their names are shared by the whole server.
static PREPARES: Mutex<()> = Mutex::new(());

/// Runs a pinned schedule in scratch databases, which are dropped at the end.
///
/// # Errors
/// When its scenario has a mistake or lacks what the schedule names, or a run has no result.
pub fn replay(server: &Arc<Server>, file: PinnedFile, options: &ReplayOptions) -> Result<Replay, ReplayError> {
    let started = Instant::now();
    let scenario = Arc::new(Scenario::read(&file.scenario_path()?, file.pinned.reading)?);
    let plan = file.fit(&scenario)?;
    let _alone = scenario
        .prepares_transactions()
        .then(|| PREPARES.lock().unwrap_or_else(PoisonError::into_inner));

    let runtime = runtime()?;
    let preparing = Template::prepare(server.clone(), scenario.clone());
    let template = Arc::new(runtime.block_on(interruptible(&options.interrupt, preparing))?);
    let mut bench = Worker::open(template.clone(), options.step_timeout, options.interrupt.clone())?;
    let mut run_once = || -> Result<(Run, Vec<Departure>), RunError> {
        let mut follower = Follower::new(&plan);
        let run = bench.run_live(&mut follower)?;
        let departures = follower.departures(&run.history);
        Ok((run, departures))
    };
    let (run, departures) = run_once()?;
    let mut difference = None;
    let mut times = 1;
    while times < options.times && difference.is_none() {
        let (again, _) = run_once()?;
        times += 1;
        difference = differs(&run, &again).map(|what| (times, what));
    }
    bench.close()?;
    runtime.block_on(template.drop_database())?;

    Ok(Replay {
        judgement: Judgement::of(&file.pinned, &run, &departures, difference),
        file,
        scenario: scenario.name.clone(),
        run,
        departures,
        times,
        elapsed: started.elapsed(),
    })
}
