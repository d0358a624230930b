//! Runs schedules that the caller chooses.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{DEFAULT_STEP_TIMEOUT, TestError};
use crate::postgres::host::Host;
use crate::run::{Run, Template, Worker, interruptible, runtime};
use crate::scenario::Scenario;
use crate::schedule::{Follower, Schedule};

/// A scenario whose setup has been run, on scratch databases that are dropped with it. Runs one schedule after another,
/// each from the state after setup.
///
/// It waits for the server in the thread that calls it, so in asynchronous code it belongs into `spawn_blocking`.
///
/// ```
/// use pgbraid::Scenario;
/// use pgbraid::schedule::Schedule;
/// use pgbraid::testing::Bench;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut bench = Bench::open(Scenario::from_file("fixtures/rails-increment.toml")?)?;
/// let both_find = ["request-1 until find", "request-2 until find", "request-1 to end", "request-2 to end"];
/// let run = bench.run(&Schedule::parse(both_find).expect("every entry names a session"))?;
/// assert_eq!(run.violated(), ["no like is lost"]);
/// # Ok(())
/// # }
/// ```
pub struct Bench {
    // dropped before the host, whose databases it is connected to
    worker: Worker,
    template: Arc<Template>,
    _host: Host,
}

impl Bench {
    /// Runs the setup and connects the sessions.
    ///
    /// # Errors
    /// When there is no server, or it rejects a statement of the scenario.
    pub fn open(scenario: Scenario) -> Result<Bench, TestError> {
        let host = Host::shared(runtime()?)?;
        let stop = CancellationToken::new();
        let preparing = Template::prepare(host.server().clone(), Arc::new(scenario));
        let template = Arc::new(host.runtime().block_on(interruptible(&stop, preparing))?);
        let worker = Worker::open(template.clone(), DEFAULT_STEP_TIMEOUT, stop)?;
        Ok(Bench {
            worker,
            template,
            _host: host,
        })
    }

    /// The scenario that it runs.
    pub fn scenario(&self) -> &Scenario {
        self.template.scenario()
    }

    /// Runs a schedule. It does not report if the run leaves the schedule's order; [`Schedule::of`] shows what was run.
    ///
    /// # Errors
    /// When the scenario lacks what the schedule names, or the run has no result.
    pub fn run(&mut self, schedule: &Schedule) -> Result<Run, TestError> {
        let plan = schedule.fit(self.template.scenario())?;
        Ok(self.worker.run_live(&mut Follower::new(&plan))?)
    }
}
