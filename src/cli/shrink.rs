//! `pgbraid shrink`

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use pgbraid::explore::Verdict;
use pgbraid::replay::{ReplayOptions, replay};
use pgbraid::report::document::{Document, Files};
use pgbraid::scenario::Scenario;
use pgbraid::schedule::PinnedFile;
use pgbraid::shrink::{ShrinkOptions, shrink};

use super::Common;
use super::exit::{self, CommandError};
use super::host::Host;
use super::limits::seconds;
use super::output;
use super::progress::ProgressLine;
use super::shrinking::Shrinking;

/// Make a failing schedule minimal
///
/// Runs smaller schedules and keeps those that violate the same: fewer sessions that race, fewer context switches, the
/// earliest order; and of the scenario itself, fewer sessions and steps.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Shrink {
    /// File of a pinned schedule that fails
    schedule: PathBuf,

    #[command(flatten)]
    shrinking: Shrinking,

    /// Longest time that a step may take without waiting for another session
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    step_timeout: Duration,

    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  pgbraid shrink found.toml
      show the smallest schedule that violates the same
  pgbraid shrink found.toml --pin schedules/ --smallest-scenario smallest.toml
      keep it for `pgbraid replay`, and the smallest scenario too";

impl Shrink {
    pub fn run(self) -> Result<ExitCode, CommandError> {
        let file = PinnedFile::read(&self.schedule)?;
        let scenario_file = file.scenario_path()?;
        let reading = file.pinned.reading;
        self.shrinking.check(&scenario_file)?;
        output::check(self.common.output.as_deref())?;
        let line = ProgressLine::new(None);
        line.say("starting the server");
        let host = Host::for_scenarios(self.common.server.database_url.as_deref())?;
        let options = ReplayOptions {
            jobs: 1,
            times: 1,
            step_timeout: self.step_timeout,
            interrupt: host.interrupt.clone(),
        };
        let started = Instant::now();
        line.say("running the schedule");
        let replayed = replay(&host.server, file, &options)?;
        let scenario = Arc::new(Scenario::read(&scenario_file, reading)?);
        let template = host.prepare(&scenario)?;
        let options = ShrinkOptions {
            most_runs: ShrinkOptions::MOST_RUNS,
            confirmations: self.shrinking.confirm,
            step_timeout: self.step_timeout,
            interrupt: host.interrupt.clone(),
        };
        let shrunk = shrink(&template, &replayed.run, &options, &mut |progress| {
            line.shrinking(progress)
        })?;
        let elapsed = started.elapsed();
        drop(line);
        drop(host);
        let mut files = Files::default();
        self.shrinking
            .write(&shrunk, &scenario_file, reading, None, &mut files)?;
        if let Some(note) = self.shrinking.nothing_smaller(&shrunk) {
            output::say(format_args!("note: {note}"));
        }
        let found_turns = replayed.run.history.turns.len();
        let document = Document::of_shrink(&scenario, &shrunk, found_turns, files, elapsed);
        let output = self.common.output.as_deref();
        output::write(&output::render(self.common.format, &document, output)?, output)?;
        Ok(exit::code(match shrunk.doubt() {
            None => Verdict::Fails,
            Some(_) => Verdict::Inconclusive,
        }))
    }
}
