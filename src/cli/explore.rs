//! `pgbraid explore`

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use pgbraid::explore::{Dpor, Exhaustive, Exploration, Options, Random, Strategy, Verdict, explore, interleavings};
use pgbraid::report::anomaly::anomaly;
use pgbraid::report::json;
use pgbraid::report::outcomes::{OutcomeRow, outcomes};
use pgbraid::report::summary::{self, Summary, summary};
use pgbraid::report::text::TextOptions;
use pgbraid::report::timeline::timeline;
use pgbraid::report::violations::violations;
use pgbraid::run::Template;
use pgbraid::scenario::Scenario;

use super::Common;
use super::checks::Checks;
use super::exit::{self, Failure};
use super::host::Host;
use super::output::{self, Format};
use super::progress::ProgressLine;

/// Look for a schedule that breaks the scenario
///
/// Runs the sessions of the scenario in one order of their steps after another, each from the same state, and stops at
/// the first that fails: an invariant is not true at the end, an error ends a session that does not allow it, or
/// sessions deadlock.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Explore {
    /// Scenario file (TOML)
    scenario: PathBuf,

    /// Which schedules to run
    #[arg(long, value_enum, default_value_t = StrategyName::Dpor)]
    strategy: StrategyName,

    /// Stop after this many schedules; the verdict is then inconclusive
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_schedules: Option<u64>,

    /// Stop after this many seconds; the verdict is then inconclusive
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,

    /// How many schedules `random` draws
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    samples: u64,

    /// Seed of `random`, for the same schedules again [default: a new one each time, which is printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Let `dpor` tell interchangeable sessions (copies without parameters of their own) apart
    #[arg(long)]
    no_symmetry: bool,

    /// Go on after a failure, to collect all outcomes
    #[arg(long)]
    keep_going: bool,

    /// Longest time that a step may take while it waits for no other session
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    step_timeout: Duration,

    #[command(flatten)]
    checks: Checks,

    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  pgbraid explore fixtures/counter.toml
      find the lost update, on a server that pgbraid starts by itself
  pgbraid explore fixtures/counter.toml --keep-going
      run every interleaving and list the outcomes
  pgbraid explore fixtures/counter-10.toml --strategy random --samples 500 --seed 7
      sample where there are too many
  pgbraid explore fixtures/seats.toml --database-url postgres://me@localhost/postgres --format json
      run on another server, in databases that pgbraid creates and drops";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StrategyName {
    /// Every interleaving, by running one schedule of each class that cannot differ
    Dpor,
    /// Every interleaving, depth first
    Exhaustive,
    /// A sample, uniform over interleavings
    Random,
}

impl Explore {
    pub fn run(self) -> Result<ExitCode, Failure> {
        let mut scenario = Scenario::from_file(&self.scenario)?;
        self.checks.add_to(&mut scenario);
        let scenario = Arc::new(scenario);
        let line = ProgressLine::new(match self.strategy {
            StrategyName::Exhaustive => u64::try_from(interleavings(&scenario)).ok(),
            StrategyName::Random => Some(self.samples),
            StrategyName::Dpor => None,
        });
        line.say("starting the server");
        let host = Host::obtain(self.common.database_url.as_deref())?;
        line.say("running the setup");
        let prepared = host.runtime.block_on(async {
            tokio::select! {
                biased;
                () = host.interrupt.cancelled() => Err(pgbraid::run::RunError::Interrupted),
                template = Template::prepare(host.server.clone(), scenario.clone()) => template,
            }
        });
        let template = Arc::new(prepared?);
        let mut strategy = self.strategy(&template);
        let options = Options {
            jobs: self.jobs(),
            max_schedules: self.max_schedules,
            timeout: self.timeout,
            keep_going: self.keep_going,
            step_timeout: self.step_timeout,
            interrupt: host.interrupt.clone(),
        };
        let exploration = explore(&template, strategy.as_mut(), &options, &mut |progress| {
            line.show(progress)
        })?;
        drop(line);
        let output = self.common.output.as_deref();
        let report = match self.common.format {
            Format::Table => as_text(
                &scenario,
                strategy.as_ref(),
                &exploration,
                &output::text_options(output),
            ),
            Format::Json => as_json(&scenario, strategy.as_ref(), &exploration),
        };
        drop(host);
        output::write(&report, output)?;
        Ok(exit::code(exploration.verdict))
    }

    fn strategy(&self, template: &Template) -> Box<dyn Strategy> {
        let scenario = template.scenario();
        match self.strategy {
            StrategyName::Dpor => Box::new(Dpor::new(
                scenario.clone(),
                template.footprints().clone(),
                !self.no_symmetry,
            )),
            StrategyName::Exhaustive => Box::new(Exhaustive::new()),
            StrategyName::Random => Box::new(Random::new(
                scenario,
                self.seed.unwrap_or_else(rand::random),
                self.samples,
            )),
        }
    }

    fn jobs(&self) -> usize {
        match self.common.jobs {
            Some(jobs) => usize::from(jobs),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text
        .parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("a number of seconds above 0 is wanted, such as 60 or 0.5".to_owned()),
    }
}

fn names(scenario: &Scenario, order: &[usize]) -> Vec<String> {
    order
        .iter()
        .map(|&index| scenario.sessions[index].name.clone())
        .collect()
}

fn as_text(scenario: &Scenario, strategy: &dyn Strategy, exploration: &Exploration, options: &TextOptions) -> String {
    let mut parts = Vec::new();
    if let Some(failure) = &exploration.failure {
        parts.push(timeline(&failure.history, options));
        parts.push(violations(
            &failure.violations,
            &failure.outcome.tables,
            &failure.history,
            options,
        ));
        if let Some(explanation) = exploration
            .explanation
            .as_ref()
            .filter(|one| one.explains(&failure.violations))
        {
            parts.push(anomaly(explanation, &failure.history, options));
        }
    }
    let rows: Vec<OutcomeRow> = exploration
        .outcomes
        .iter()
        .map(|tally| OutcomeRow {
            id: tally.id.clone(),
            schedules: tally.schedules,
            fails: !tally.violations.is_empty(),
            violations: tally.violations.clone(),
            order: names(scenario, &tally.order),
            summary: String::new(),
        })
        .collect();
    parts.push(outcomes(&rows, options));
    let verdict = match exploration.verdict {
        Verdict::Holds => summary::Verdict::Holds,
        Verdict::Fails => summary::Verdict::Fails {
            schedules: exploration.failures,
            exhaustive: exploration.exhaustive,
        },
        Verdict::Inconclusive => summary::Verdict::Inconclusive {
            reasons: exploration.reasons.clone(),
        },
    };
    parts.push(summary(
        &Summary {
            scenario: scenario.name.clone(),
            verdict,
            strategy: strategy.name().to_owned(),
            seed: strategy.seed(),
            schedules_run: exploration.schedules_run,
            interleavings: exploration.interleavings.clone(),
            elapsed: exploration.elapsed,
            warnings: scenario.warnings.clone(),
            notes: match exploration.verdict {
                Verdict::Fails => exploration.reasons.clone(),
                _ => Vec::new(),
            },
        },
        options,
    ));
    parts.join("\n\n")
}

fn as_json(scenario: &Scenario, strategy: &dyn Strategy, exploration: &Exploration) -> String {
    let failure = exploration.failure.as_ref().map(|failure| {
        json::Failure::new(
            &failure.history,
            &failure.violations,
            &names(scenario, &failure.order()),
        )
        .explained(exploration.explanation.as_ref(), &failure.history)
    });
    let report = json::Report {
        scenario: scenario.name.clone(),
        strategy: strategy.name().to_owned(),
        seed: strategy.seed(),
        verdict: match exploration.verdict {
            Verdict::Holds => json::Verdict::Holds,
            Verdict::Fails => json::Verdict::Fails,
            Verdict::Inconclusive => json::Verdict::Inconclusive,
        },
        reasons: exploration.reasons.clone(),
        exhaustive: exploration.exhaustive,
        interleavings: exploration.interleavings.clone(),
        schedules_run: exploration.schedules_run,
        elapsed_ms: u64::try_from(exploration.elapsed.as_millis()).unwrap_or(u64::MAX),
        outcomes: exploration
            .outcomes
            .iter()
            .map(|tally| json::Outcome {
                id: tally.id.clone(),
                schedules: tally.schedules,
                fails: !tally.violations.is_empty(),
                violations: tally.violations.clone(),
                order: names(scenario, &tally.order),
            })
            .collect(),
        failure,
        warnings: scenario.warnings.clone(),
        notes: Vec::new(),
    };
    // its keys are strings and its values have no way to fail
    serde_json::to_string_pretty(&report).unwrap_or_default()
}
