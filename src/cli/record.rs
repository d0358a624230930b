//! `pgbraid record`

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pgbraid::explore::Verdict;
use pgbraid::input::Reading;
use pgbraid::record::{RecordOptions, record};
use pgbraid::scenario::Scenario;
use pgbraid::terminal::visible_lines;

use super::exit::{self, CommandError};
use super::host::Host;
use super::limits::seconds;
use super::output;

/// Write what the programs of a scenario send as a scenario of steps
///
/// Runs the programs one after the other, and writes a scenario whose sessions have their statements as steps. Values are
/// bound to where they came from: a column of an earlier step, a parameter of the session. Comments say what is a guess,
/// and what could not be written.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Record {
    /// Scenario whose sessions are programs, or requests to services
    scenario: PathBuf,

    /// Write the scenario of steps to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace the file if it exists
    #[arg(long, requires = "output")]
    force: bool,

    /// Server to run on, as a URL or a connection string [default: an embedded server, started and stopped by pgbraid].
    /// pgbraid creates databases of its own there; the one that is named is only read, where the state is a copy of it
    /// (`setup_database` in the scenario)
    #[arg(long, value_name = "URL", env = "PGBRAID_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,

    /// Longest time that a step may take without waiting for another session
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    step_timeout: Duration,
}

const EXAMPLES: &str = "\
Examples:
  pgbraid record shop.toml
      show the statements of the programs
  pgbraid record shop.toml -o shop-recorded.toml && pgbraid explore shop-recorded.toml
      explore the statements, without the programs

Exit codes:
  0  the steps, run one session after the other, do what the programs did
  2  the input is wrong, or a program does what no step can
  3  the environment is wrong: no server, no pg_dump for what a setup_command has made
  4  the steps do something else than the programs did; a comment in the file says what
  130  interrupted";

impl Record {
    pub fn run(self) -> Result<ExitCode, CommandError> {
        let scenario = Arc::new(Scenario::read(&self.scenario, Reading::default())?);
        let output = self.output.as_deref();
        if let Some(file) = output.filter(|file| file.is_file() && !self.force) {
            return Err(CommandError::Exists(file.to_owned()));
        }
        output::check(output)?;
        let host = Host::for_scenarios(self.database_url.as_deref())?;
        let options = RecordOptions {
            step_timeout: self.step_timeout,
            interrupt: host.interrupt.clone(),
        };
        let recorded = record(&host.server, &scenario, &options)
            .map_err(|error| CommandError::of_recording(error, &self.scenario))?;
        drop(host);
        output::write(recorded.text.trim_end(), output)?;
        for difference in &recorded.differences {
            output::say(visible_lines(&format!("warning: {difference}")));
        }
        Ok(exit::code(match recorded.differences.as_slice() {
            [] => Verdict::Holds,
            _ => Verdict::Inconclusive,
        }))
    }
}
