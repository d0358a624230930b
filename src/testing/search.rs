//! A search for failing schedules: what is searched, how, and within which bounds.

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Found, TestError};
use crate::explore::{DeterminismCheck, Options, StrategyKind};
use crate::pipeline::{Plan, search};
use crate::postgres::host::Host;
use crate::report::diagnostic::shown;
use crate::run::{RunError, Template, interruptible, runtime};
use crate::scenario::Scenario;
use crate::shrink::ShrinkOptions;

/// By default, the longest time that a step may take while it does not wait for another session.
pub const DEFAULT_STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// A search that has not started. [`Search::run`] runs it and waits; `.await` does the same in asynchronous code.
#[derive(Debug, Clone)]
#[must_use = "a search does nothing until it is run"]
pub struct Search {
    scenario: Arc<Scenario>,
    plan: Plan,
}

impl Scenario {
    /// A search that covers every interleaving, and runs some schedules twice to check that nothing but the schedule
    /// decides.
    pub fn prove(self) -> Search {
        let mut search = self.explore();
        search.plan.options.check_determinism = DeterminismCheck::Sample;
        search
    }

    /// A search for a failing schedule. It covers every interleaving too, unless it finds one.
    pub fn explore(self) -> Search {
        Search {
            scenario: Arc::new(self),
            plan: Plan {
                strategy: StrategyKind::Dpor { symmetric: true },
                options: Options {
                    jobs: thread::available_parallelism().map_or(1, usize::from),
                    max_schedules: None,
                    timeout: None,
                    keep_going: false,
                    step_timeout: DEFAULT_STEP_TIMEOUT,
                    check_determinism: DeterminismCheck::None,
                    interrupt: CancellationToken::new(),
                },
                confirmations: Some(ShrinkOptions::CONFIRMATIONS),
            },
        }
    }
}

impl Search {
    /// How many schedules run at a time; by default, as many as the machine has cores.
    pub fn jobs(mut self, jobs: usize) -> Search {
        self.plan.options.jobs = jobs.max(1);
        self
    }

    /// Stops after this many schedules; the verdict is then inconclusive.
    pub fn max_schedules(mut self, schedules: u64) -> Search {
        self.plan.options.max_schedules = Some(schedules.max(1));
        self
    }

    /// Stops after this time; the verdict is then inconclusive.
    pub fn timeout(mut self, timeout: Duration) -> Search {
        self.plan.options.timeout = Some(timeout);
        self
    }

    /// The longest time that a step may take while it does not wait for another session.
    pub fn step_timeout(mut self, timeout: Duration) -> Search {
        self.plan.options.step_timeout = timeout;
        self
    }

    /// Continues after a failure, to collect all outcomes.
    pub fn keep_going(mut self) -> Search {
        self.plan.options.keep_going = true;
        self
    }

    /// Runs every schedule, including those that are equivalent to others.
    pub fn exhaustively(mut self) -> Search {
        self.plan.strategy = StrategyKind::Exhaustive;
        self
    }

    /// Draws this many schedules, with equal probability for each interleaving. Without a failure this is inconclusive.
    pub fn sampled(mut self, samples: u64, seed: u64) -> Search {
        self.plan.strategy = StrategyKind::Random { samples, seed };
        self
    }

    /// Draws this many schedules by priorities: each shows a failure that takes `depth` turns in a certain order with a
    /// known probability (see [`Pct`](crate::explore::Pct)). Without a failure this is inconclusive.
    pub fn sampled_by_priority(mut self, samples: u64, seed: u64, depth: u32) -> Search {
        self.plan.strategy = StrategyKind::Pct {
            samples,
            seed,
            depth: depth.max(1),
        };
        self
    }

    /// Leaves a failing schedule as it was found.
    pub fn without_shrinking(mut self) -> Search {
        self.plan.confirmations = None;
        self
    }

    /// Runs the search to its end, on a separate thread, so this may be called anywhere.
    ///
    /// # Errors
    /// When there is no server, it rejects a statement of the scenario, or a run has no result.
    pub fn run(self) -> Result<Found, TestError> {
        match thread::spawn(move || self.search()).join() {
            Ok(found) => found,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Runs the search and fails the test unless every interleaving was covered and none fails.
    ///
    /// # Panics
    /// With the timeline of the smallest failing schedule; with the reasons, if the search is inconclusive; with the
    /// error, if there is no result.
    #[track_caller]
    pub fn assert_holds(self) {
        match self.run() {
            Ok(found) => found.assert_holds(),
            Err(error) => panic!("{:?}", shown(error)),
        }
    }

    /// Runs the search and fails the test unless a schedule violates the invariant with this name (or `deadlock`, `not
    /// serializable`, `error 23505 in worker-1`). Returns what was found.
    ///
    /// # Panics
    /// With what was found instead; with the error, if there is no result.
    #[track_caller]
    pub fn assert_fails(self, violation: &str) -> Found {
        match self.run() {
            Ok(found) => {
                found.assert_fails(violation);
                found
            }
            Err(error) => panic!("{:?}", shown(error)),
        }
    }

    fn search(self) -> Result<Found, TestError> {
        let runtime = runtime()?;
        let mut host = Host::shared(runtime)?;
        let found = self.search_on(&host)?;
        host.close()?;
        Ok(found)
    }

    fn search_on(self, host: &Host) -> Result<Found, TestError> {
        let Search { scenario, plan } = self;
        let preparing = Template::prepare(host.server().clone(), scenario);
        let template = host
            .runtime()
            .block_on(interruptible(&plan.options.interrupt, preparing))?;
        let findings = search(&Arc::new(template), &plan, &mut |_| {})?;
        Ok(Found(findings))
    }
}

/// Runs the search on a separate thread; dropping the future ends it early.
impl IntoFuture for Search {
    type Output = Result<Found, TestError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(mut self) -> Self::IntoFuture {
        // a clone of this search must not end with it
        self.plan.options.interrupt = self.plan.options.interrupt.child_token();
        let end = self.plan.options.interrupt.clone().drop_guard();
        Box::pin(async move {
            let (sender, found) = tokio::sync::oneshot::channel();
            thread::spawn(move || {
                // if the future was dropped, nobody wants the answer
                let _ = sender.send(self.search());
            });
            // without an answer, the thread has panicked
            let found = found.await.unwrap_or_else(|_| Err(RunError::Interrupted.into()));
            drop(end);
            found
        })
    }
}
