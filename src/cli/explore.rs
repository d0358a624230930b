//! `pgbraid explore`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use pgbraid::explore::StrategyKind;
use pgbraid::report::document::Purpose;

use super::exit::CommandError;
use super::limits::Limits;
use super::report::report;
use super::{Common, EXIT_CODES};

/// Look for a schedule that breaks the scenario
///
/// Runs the scenario's sessions in one order of their steps after another, each from the same state, and stops at the
/// first that fails: an invariant is not true at the end, an error ends a session that does not allow it, or sessions
/// deadlock.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Explore {
    /// Scenario: a TOML file, or a specification of isolationtester (.spec)
    scenario: PathBuf,

    /// Which schedules to run
    #[arg(long, value_enum, default_value_t = StrategyName::Dpor)]
    strategy: StrategyName,

    /// How many schedules `random` and `pct` draw [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    samples: Option<u64>,

    /// Seed for `random` and `pct`: the same seed draws the same schedules [default: a new one each time, which is
    /// printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Depth of the failures that `pct` finds with a known probability: how many turns must come in a certain order
    /// [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    depth: Option<u32>,

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
      continue after the failure, and list all outcomes
  pgbraid explore fixtures/counter-10.toml --strategy random --samples 500 --seed 7
      sample, since there are too many interleavings to cover
  pgbraid explore fixtures/seats.toml --database-url postgres://me@localhost/postgres --format json
      run on another server, in databases that pgbraid creates and drops";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StrategyName {
    /// Every interleaving, by running one schedule of each class of equivalent ones
    Dpor,
    /// Every interleaving, depth first
    Exhaustive,
    /// A sample, uniform over interleavings
    Random,
    /// A sample by priorities, which finds failures of small depth with a known probability (Burckhardt and others,
    /// ASPLOS 2010)
    Pct,
}

impl Explore {
    pub fn run(self) -> Result<ExitCode, CommandError> {
        let samples = matches!(self.strategy, StrategyName::Random | StrategyName::Pct);
        if !samples && (self.seed.is_some() || self.samples.is_some()) {
            return Err(CommandError::Usage(match self.seed {
                Some(_) => "--seed goes with --strategy random or pct",
                None => "--samples goes with --strategy random or pct",
            }));
        }
        if self.strategy != StrategyName::Pct && self.depth.is_some() {
            return Err(CommandError::Usage("--depth goes with --strategy pct"));
        }
        let explored = self
            .limits
            .explore(&self.scenario, &self.common, false, self.strategy())?;
        report(explored, Purpose::Explore, &self.common)
    }

    fn strategy(&self) -> StrategyKind {
        let samples = self.samples.unwrap_or(1000);
        let seed = self.seed.unwrap_or_else(rand::random);
        match self.strategy {
            StrategyName::Dpor => self.limits.dpor(),
            StrategyName::Exhaustive => StrategyKind::Exhaustive,
            StrategyName::Random => StrategyKind::Random { samples, seed },
            StrategyName::Pct => StrategyKind::Pct {
                samples,
                seed,
                depth: self.depth.unwrap_or(3),
            },
        }
    }
}
