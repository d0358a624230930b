//! What bounds an exploration, and how it runs: the options that `explore` and `prove` share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pgbraid::explore::{DeterminismCheck, Options, StrategyKind};
use pgbraid::input::Reading;
use pgbraid::pipeline::{Findings, Plan, search};
use pgbraid::report::document::Files;
use pgbraid::scenario::Scenario;

use super::Common;
use super::exit::CommandError;
use super::host::Host;
use super::output;
use super::progress::ProgressLine;
use super::shrinking::Shrinking;

#[derive(Debug, Args)]
pub struct Limits {
    /// Stop after this many schedules; the verdict is then inconclusive
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_schedules: Option<u64>,

    /// Stop searching after this many seconds; the verdict is then inconclusive. Shrinking a failure takes additional
    /// time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,

    /// Continue after a failure, to collect all outcomes
    #[arg(long)]
    keep_going: bool,

    /// Treat interchangeable sessions (copies without parameters of their own) as different
    #[arg(long)]
    no_symmetry: bool,

    /// Run every schedule twice, and compare what happened
    #[arg(long)]
    check_determinism: bool,

    /// Run the programs themselves for every schedule, and nothing from what was learned of them
    #[arg(long)]
    live: bool,

    /// Require every outcome to equal that of some serial order of the committed transactions, like `serializable =
    /// true` in the scenario
    #[arg(long)]
    serializable: bool,

    /// For a specification (.spec): use only the steps in its N-th named permutation [default: all steps]
    #[arg(long, value_name = "N")]
    permutation: Option<usize>,

    /// Longest time that a step may take without waiting for another session
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    step_timeout: Duration,

    /// Show a failing schedule as it was found, not the smallest
    #[arg(long, conflicts_with_all = ["pin", "smallest_scenario", "confirm"])]
    no_shrink: bool,

    #[command(flatten)]
    shrinking: Shrinking,
}

/// What was found, and the files that it was written to.
pub struct Explored {
    pub findings: Findings,
    pub files: Files,
    /// Further remarks.
    pub notes: Vec<String>,
    /// A requested file that could not be written.
    pub unwritten: Option<CommandError>,
}

impl Limits {
    /// The strategy that covers every interleaving by running few.
    pub fn dpor(&self) -> StrategyKind {
        StrategyKind::Dpor {
            symmetric: self.symmetric(),
        }
    }

    /// Whether interchangeable sessions may stand for each other.
    pub fn symmetric(&self) -> bool {
        !self.no_symmetry
    }

    /// Explores a scenario on a server that is gone when this returns. `sample_determinism` runs some schedules twice
    /// even if not all are to be run twice.
    pub fn explore(
        &self,
        path: &Path,
        common: &Common,
        sample_determinism: bool,
        strategy: StrategyKind,
    ) -> Result<Explored, CommandError> {
        let scenario = Scenario::read(path, self.reading())?;
        self.explore_scenario(scenario, path, common, sample_determinism, strategy)
    }

    fn reading(&self) -> Reading {
        Reading {
            serializable: self.serializable,
            permutation: self.permutation,
        }
    }

    /// Whether a failing schedule is to be pinned.
    pub fn pins(&self) -> bool {
        self.shrinking.pin.is_some()
    }

    /// As [`Limits::explore`], with a scenario that has been read. `path` is that of its file.
    pub fn explore_scenario(
        &self,
        mut scenario: Scenario,
        path: &Path,
        common: &Common,
        sample_determinism: bool,
        strategy: StrategyKind,
    ) -> Result<Explored, CommandError> {
        let reading = self.reading();
        if self.serializable {
            scenario.require_serializable();
        }
        let scenario = Arc::new(scenario);
        self.shrinking.check(path)?;
        output::check(common.output.as_deref())?;
        let line = ProgressLine::new(strategy.most_schedules(&scenario));
        line.say("starting the server");
        let host = Host::for_scenarios(common.server.database_url.as_deref())?;
        line.say("running the setup");
        let template = host.prepare(&scenario)?;
        if self.live {
            template.learn_nothing();
        }
        let plan = Plan {
            strategy,
            options: Options {
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
            },
            confirmations: (!self.no_shrink).then_some(self.shrinking.confirm),
        };
        let findings = search(&template, &plan, &mut |progress| line.show(progress))?;
        drop(line);
        drop(host);
        let (mut files, mut notes, mut unwritten) = (Files::default(), Vec::new(), None);
        if let Some(shrunk) = &findings.shrunk {
            if shrunk.doubt().is_none() {
                let seed = findings.exploration.coverage.seed;
                let written = self.shrinking.write(shrunk, path, reading, seed, &mut files);
                unwritten = written.err();
            }
            notes.extend(self.shrinking.nothing_smaller(shrunk));
        }
        Ok(Explored {
            findings,
            files,
            notes,
            unwritten,
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
