//! `pgbraid explore`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use pgbraid::explore::{Dpor, Exhaustive, Random, Strategy, interleavings};
use pgbraid::run::Template;
use pgbraid::scenario::Scenario;

use super::Common;
use super::exit::Failure;
use super::limits::Limits;
use super::report::report;

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

    /// How many schedules `random` draws
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    samples: u64,

    /// Seed of `random`, for the same schedules again [default: a new one each time, which is printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  pgbraid explore fixtures/counter.toml
      find the lost update, on a server that pgbraid starts by itself
  pgbraid explore fixtures/counter.toml --keep-going
      go on after the failure, and list all outcomes
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
        let total = |scenario: &Scenario| match self.strategy {
            StrategyName::Exhaustive => u64::try_from(interleavings(scenario)).ok(),
            StrategyName::Random => Some(self.samples),
            StrategyName::Dpor => None,
        };
        let strategy = |template: &Template| self.strategy(template);
        let explored = self
            .limits
            .explore(&self.scenario, &self.common, false, total, strategy)?;
        report(&explored, &[], &self.common)
    }

    fn strategy(&self, template: &Template) -> Box<dyn Strategy> {
        let scenario = template.scenario();
        match self.strategy {
            StrategyName::Dpor => Box::new(Dpor::new(
                scenario.clone(),
                template.footprints().clone(),
                !self.limits.no_symmetry,
            )),
            StrategyName::Exhaustive => Box::new(Exhaustive::new()),
            StrategyName::Random => Box::new(Random::new(
                scenario,
                self.seed.unwrap_or_else(rand::random),
                self.samples,
            )),
        }
    }
}
