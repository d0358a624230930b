//! `pgbraid explore`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pgbraid::explore::{NamedStrategy, Parameters, STRATEGIES};
use pgbraid::report::document::Purpose;

use super::exit::CommandError;
use super::limits::Limits;
use super::report::report;
use super::{Common, EXIT_CODES, choice};

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
    #[arg(long, value_parser = choice::strategy(), default_value = STRATEGIES[0].name)]
    strategy: NamedStrategy,

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

impl Explore {
    pub fn run(self) -> Result<ExitCode, CommandError> {
        let misplaced = [
            ("--seed", self.seed.is_some(), draws as fn(&NamedStrategy) -> bool),
            ("--samples", self.samples.is_some(), draws),
            ("--depth", self.depth.is_some(), has_depth),
        ];
        for (option, is_given, takes_it) in misplaced {
            if is_given && !takes_it(&self.strategy) {
                return Err(CommandError::Usage(goes_with(option, takes_it).into()));
            }
        }
        let strategy = self.strategy.with(Parameters {
            symmetric: self.limits.symmetric(),
            samples: self.samples.unwrap_or(1000),
            seed: self.seed.unwrap_or_else(rand::random),
            depth: self.depth.unwrap_or(3),
        });
        let explored = self.limits.explore(&self.scenario, &self.common, false, strategy)?;
        report(explored, Purpose::Explore, &self.common)
    }
}

fn draws(strategy: &NamedStrategy) -> bool {
    strategy.draws
}

fn has_depth(strategy: &NamedStrategy) -> bool {
    strategy.has_depth
}

/// What is said of an option that the chosen strategy does not take.
fn goes_with(option: &str, takes_it: fn(&NamedStrategy) -> bool) -> String {
    let strategies: Vec<&str> = STRATEGIES
        .iter()
        .filter(|one| takes_it(one))
        .map(|one| one.name)
        .collect();
    format!("{option} goes with --strategy {}", strategies.join(" or "))
}
