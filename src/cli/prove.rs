//! `pgbraid prove`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pgbraid::report::document::Purpose;

use super::exit::CommandError;
use super::limits::Limits;
use super::report::report;
use super::{Common, EXIT_CODES};

/// Cover every interleaving, or say what is missing
///
/// Runs one schedule of each class of schedules that cannot lead to different outcomes, and some of them twice to check
/// that nothing but the schedule decides. The scenario holds if none fails.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Prove {
    /// Scenario: a TOML file, or a specification of isolationtester (.spec)
    scenario: PathBuf,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  pgbraid prove fixtures/counter-atomic.toml
      prove that the fix of the lost update leaves no failing interleaving
  pgbraid prove fixtures/list-refresh-parent-lock-3.toml --check-determinism
      run every schedule twice
  pgbraid prove fixtures/last-items-for-update.toml --timeout 60 --format json
      stop after a minute, with exit code 4 if not everything is covered by then";

impl Prove {
    pub fn run(self) -> Result<ExitCode, CommandError> {
        let explored = self
            .limits
            .explore(&self.scenario, &self.common, true, self.limits.dpor())?;
        report(explored, Purpose::Prove, &self.common)
    }
}
