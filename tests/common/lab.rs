//! Runs scenarios in this process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pgbraid::explore::{Exhaustive, Exploration, Options, Strategy, explore};
use pgbraid::postgres::Server;
use pgbraid::run::{Ordered, Run, RunError, Template, Workbench};
use pgbraid::scenario::Scenario;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::program;
use super::server::{runtime, shared_server};

const STEP_TIMEOUT: Duration = Duration::from_secs(20);

/// A place of a test's own on the shared server. Its databases are dropped when it is.
pub struct Lab {
    pub runtime: Runtime,
    pub server: Arc<Server>,
}

impl Lab {
    pub fn new() -> Lab {
        let runtime = runtime();
        let server = runtime.block_on(Server::connect(shared_server(), true)).unwrap();
        Lab {
            runtime,
            server: Arc::new(server),
        }
    }

    pub fn try_prepare(&self, scenario: &Arc<Scenario>) -> Result<Arc<Template>, RunError> {
        let template = self
            .runtime
            .block_on(Template::prepare(self.server.clone(), scenario.clone()))?;
        Ok(Arc::new(template))
    }

    pub fn prepare(&self, scenario: &Arc<Scenario>) -> Arc<Template> {
        self.try_prepare(scenario).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Explores on a fresh template with these strategy and bounds.
    pub fn explore(&self, scenario: &Arc<Scenario>, strategy: &mut dyn Strategy, options: &Options) -> Exploration {
        self.explore_template(&self.prepare(scenario), strategy, options)
    }

    pub fn explore_template(
        &self,
        template: &Arc<Template>,
        strategy: &mut dyn Strategy,
        options: &Options,
    ) -> Exploration {
        explore(template, strategy, options, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs every interleaving of the scenario that this text describes.
    pub fn explore_all(&self, toml: &str) -> Exploration {
        self.explore(&scenario(toml), &mut Exhaustive::new(), &exhaustive(2))
    }

    pub fn bench(&self, toml: &str) -> Bench<'_> {
        self.bench_with_timeout(toml, STEP_TIMEOUT)
    }

    pub fn bench_with_timeout(&self, toml: &str, step_timeout: Duration) -> Bench<'_> {
        let template = self.prepare(&scenario(toml));
        let workbench = self
            .runtime
            .block_on(Workbench::open(template.clone(), step_timeout))
            .unwrap();
        Bench {
            runtime: &self.runtime,
            scenario: template.scenario().clone(),
            workbench,
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let dropped = self.runtime.block_on(self.server.drop_all_scratch());
        if !std::thread::panicking() {
            dropped.unwrap();
        }
    }
}

/// A workbench that runs given orders.
pub struct Bench<'a> {
    runtime: &'a Runtime,
    scenario: Arc<Scenario>,
    workbench: Workbench,
}

impl Bench<'_> {
    /// Runs the sessions in this order of their names, one a step, as [`Ordered::steps`] does.
    pub fn run(&mut self, order: &str) -> Run {
        self.try_run(order).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn try_run(&mut self, order: &str) -> Result<Run, RunError> {
        let sessions = self.sessions(order);
        self.runtime.block_on(self.workbench.run(&mut Ordered::steps(sessions)))
    }

    /// Runs the sessions in this order of their names, one a move, as [`Ordered::new`] does.
    pub fn run_moves(&mut self, order: &str) -> Run {
        let sessions = self.sessions(order);
        let run = self.runtime.block_on(self.workbench.run(&mut Ordered::new(sessions)));
        run.unwrap_or_else(|error| panic!("{error}"))
    }

    fn sessions(&self, order: &str) -> Vec<usize> {
        let place = |name| {
            let place = self.scenario.sessions.iter().position(|session| session.name == name);
            place.unwrap_or_else(|| panic!("no session {name}"))
        };
        order.split_whitespace().map(place).collect()
    }

    /// The same order again and again gives the same run, which is returned.
    pub fn run_repeatedly(&mut self, times: usize, order: &str) -> Run {
        let first = self.run(order);
        for repetition in 2..=times {
            let again = self.run(order);
            assert_eq!(again.history, first.history, "repetition {repetition}");
            assert_eq!(again.decisions, first.decisions, "repetition {repetition}");
            assert_eq!(again.outcome, first.outcome, "repetition {repetition}");
            assert_eq!(again.violations, first.violations, "repetition {repetition}");
        }
        assert_eq!(first.uncontrolled, []);
        first
    }
}

/// A scenario from the text of its file.
pub fn scenario(toml: &str) -> Arc<Scenario> {
    match Scenario::from_toml("test", "test.toml", toml, Path::new(".")) {
        Ok(scenario) => Arc::new(scenario),
        Err(error) => panic!("{:?}", miette::Report::new(error)),
    }
}

/// The scenario of this name under `fixtures/`.
pub fn fixture(name: &str) -> Scenario {
    Scenario::from_file(program::fixture(name)).unwrap_or_else(|error| panic!("{error}"))
}

/// No bounds, and all outcomes.
pub fn exhaustive(jobs: usize) -> Options {
    Options {
        jobs,
        max_schedules: None,
        timeout: None,
        keep_going: true,
        step_timeout: STEP_TIMEOUT,
        check_determinism: Default::default(),
        interrupt: CancellationToken::new(),
    }
}
