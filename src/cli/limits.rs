//! What bounds an exploration, and how it is run: the options that `explore` and `prove` share.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use pgbraid::explore::{DeterminismCheck, Exploration, Options, Strategy, Verdict, explore};
use pgbraid::report::summary::duration;
use pgbraid::run::{RunError, Template};
use pgbraid::scenario::{Reading, Scenario};

use super::Common;
use super::exit::Failure;
use super::host::Host;
use super::output;
use super::progress::ProgressLine;
use super::shrinking::{Shrinkage, Shrinking};

/// A time after the search that is told apart from it.
const WORTH_MENTIONING: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct Limits {
    /// Stop after this many schedules; the verdict is then inconclusive
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_schedules: Option<u64>,

    /// Stop searching after this many seconds; the verdict is then inconclusive. Making a failure small comes after that
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,

    /// Go on after a failure, to collect all outcomes
    #[arg(long)]
    keep_going: bool,

    /// Tell interchangeable sessions (copies without parameters of their own) apart
    #[arg(long)]
    pub no_symmetry: bool,

    /// Run every schedule twice, and compare what happened
    #[arg(long)]
    check_determinism: bool,

    /// Require every outcome to be that of some serial order of the committed transactions, as `serializable = true` in
    /// the scenario does
    #[arg(long)]
    serializable: bool,

    /// Of a specification (.spec): of each session, the steps that the N-th named permutation uses [default: all]
    #[arg(long, value_name = "N")]
    permutation: Option<usize>,

    /// Longest time that a step may take while it waits for no other session
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    step_timeout: Duration,

    /// Show a failing schedule as it was found, not the smallest
    #[arg(long, conflicts_with_all = ["pin", "smallest_scenario", "confirm"])]
    no_shrink: bool,

    #[command(flatten)]
    shrinking: Shrinking,
}

/// An exploration and what was explored.
pub struct Explored {
    pub scenario: Arc<Scenario>,
    pub strategy: Box<dyn Strategy>,
    pub exploration: Exploration,
    /// The failure made small.
    pub shrinkage: Option<Shrinkage>,
    /// A file that was asked for could not be written.
    pub unwritten: Option<Failure>,
    /// What happened after the search.
    pub notes: Vec<String>,
}

impl Limits {
    /// Explores a scenario with the strategy that `strategy` makes, on a server that is gone when this returns.
    /// `sample_determinism` runs some schedules twice even when not all are to be.
    pub fn explore(
        &self,
        path: &Path,
        common: &Common,
        sample_determinism: bool,
        total: impl FnOnce(&Scenario) -> Option<u64>,
        strategy: impl FnOnce(&Template) -> Box<dyn Strategy>,
    ) -> Result<Explored, Failure> {
        let reading = Reading {
            serializable: self.serializable,
            permutation: self.permutation,
        };
        let scenario = Arc::new(Scenario::read(path, reading)?);
        self.shrinking.check()?;
        output::check(common.output.as_deref())?;
        let line = ProgressLine::new(total(&scenario));
        line.say("starting the server");
        let host = Host::for_scenarios(common.server.database_url.as_deref())?;
        line.say("running the setup");
        let template = host.prepare(&scenario)?;
        let mut strategy = strategy(&template);
        let options = Options {
            jobs: common.server.jobs(),
            max_schedules: self.max_schedules,
            timeout: self.timeout,
            keep_going: self.keep_going,
            step_timeout: self.step_timeout,
            check_determinism: match (self.check_determinism, sample_determinism) {
                (true, _) => DeterminismCheck::All,
                (false, true) => DeterminismCheck::Sample,
                (false, false) => DeterminismCheck::None,
            },
            interrupt: host.interrupt.clone(),
        };
        let mut exploration = explore(&template, strategy.as_mut(), &options, &mut |progress| {
            line.show(progress)
        })?;
        let failing = exploration
            .failure
            .as_ref()
            .filter(|_| exploration.verdict == Verdict::Fails);
        let mut notes = template.notes().to_vec();
        let started = Instant::now();
        let shrunk = failing
            .filter(|_| !self.no_shrink)
            .map(|run| self.shrinking.shrink(&template, run, self.step_timeout, &host, &line))
            .transpose();
        let mut shrinkage = match shrunk {
            // the failure was found and has failed again; it is shown as it is
            Err(RunError::Interrupted) => {
                notes.push("interrupted: this is the schedule as it was found, not made small".to_owned());
                None
            }
            shrunk => shrunk?,
        };
        if started.elapsed() > WORTH_MENTIONING {
            notes.push(format!(
                "making the failure small and confirming it took {} more",
                duration(started.elapsed())
            ));
        }
        drop(line);
        drop(host);
        let mut unwritten = None;
        if let Some(shrinkage) = &mut shrinkage {
            match shrinkage.shrunk.smallest.confirmed.doubt() {
                Some(doubt) => exploration.put_in_doubt(doubt),
                None => {
                    unwritten = shrinkage.write(&self.shrinking, path, reading, strategy.seed()).err();
                }
            }
            notes.extend(self.shrinking.nothing_smaller(shrinkage));
        }
        Ok(Explored {
            scenario,
            strategy,
            exploration,
            shrinkage,
            unwritten,
            notes,
        })
    }
}

pub fn seconds(text: &str) -> Result<Duration, String> {
    match text
        .parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("a number of seconds above 0 is wanted, such as 60 or 0.5".to_owned()),
    }
}
