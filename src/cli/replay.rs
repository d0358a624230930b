//! `pgbraid replay`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use pgbraid::replay::{self, Replay, ReplayError, ReplayOptions, Replayed, find_files, replay_all};
use pgbraid::report::Format;
use pgbraid::report::document::{Document, Replays as Report, Status};
use pgbraid::report::github::annotations;
use pgbraid::run::RunError;
use pgbraid::terminal::visible_lines;
use similar::TextDiff;

use super::exit::{self, CommandError};
use super::files::replace;
use super::host::Host;
use super::limits::seconds;
use super::progress::ProgressLine;
use super::{Server, exit::ENVIRONMENT, exit::INPUT};
use super::{choice, output};

/// Run pinned schedules as tests
///
/// Runs each schedule that `explore --pin` or a person wrote, and compares what it leads to with what its file expects.
/// A session that blocks where it used to run does not stop a schedule: its turn passes until it is released.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Replays {
    /// Files of pinned schedules, or folders: every .toml file in them and below
    #[arg(required = true)]
    paths: Vec<PathBuf>,

    /// Number of times to run each; all histories must be identical
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,

    /// Change what the files expect to what their schedules do, and show the difference
    #[arg(long)]
    update: bool,

    /// Longest time that a step may take without waiting for another session
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    step_timeout: Duration,

    #[command(flatten)]
    server: Server,

    /// What to print
    #[arg(long, value_parser = choice::format(), default_value = Format::Table.name())]
    format: Format,

    /// Write the report to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const HELP: &str = "\
Examples:
  pgbraid replay schedules/
      run every pinned schedule
  pgbraid replay schedules/counter.toml --times 1000
      check that it does the same a thousand times
  pgbraid replay schedules/ --format junit --output replay.xml
      for a CI service; on GitHub, annotations are printed too

Exit codes:
  0  every schedule does what its file expects
  1  some schedule does not
  2  some file is wrong: the schedule, or its scenario
  3  the environment is wrong: no server, a lost connection
  4  a schedule that is expected to hold does, but not everything was under control";

/// The option's default.
const DEFAULT_STEP_TIMEOUT: Duration = Duration::from_secs(10);

impl Replays {
    pub fn run(self) -> Result<ExitCode, CommandError> {
        let files = find_files(&self.paths)?;
        if files.is_empty() {
            return Err(CommandError::NoFiles {
                extension: "toml",
                paths: self.paths,
            });
        }
        let line = ProgressLine::new(Some(files.len() as u64));
        line.say("starting the server");
        let host = Host::for_scenarios(self.server.database_url.as_deref())?;
        let options = ReplayOptions {
            jobs: self.server.jobs(),
            times: self.times,
            step_timeout: self.step_timeout,
            interrupt: host.interrupt.clone(),
        };
        let started = Instant::now();
        let results = replay_all(&host.server, &files, &options, &mut |over| line.replayed(over));
        let elapsed = started.elapsed();
        drop(line);
        if host.interrupt.is_cancelled() {
            return Err(CommandError::Interrupted);
        }
        drop(host);
        let mut replayed: Vec<Replayed> = files
            .into_iter()
            .zip(results)
            .map(|(path, result)| Replayed {
                path,
                result,
                updated: false,
            })
            .collect();
        let mut differences = String::new();
        if self.update {
            for one in &mut replayed {
                differences += &update(one)?;
            }
        }
        let report = Report::new(&replayed, |path| self.command(path), differences.clone(), elapsed);
        let of_verdicts = match (report.count(Status::Failed), report.count(Status::Inconclusive)) {
            (1.., _) => 1,
            (0, 1..) => 4,
            (0, 0) => 0,
        };
        self.report(&Document::Replays(report), &differences)?;
        Ok(exit_code(of_verdicts, replayed))
    }

    fn report(&self, document: &Document, differences: &str) -> Result<(), CommandError> {
        let output = self.output.as_deref();
        let text = output::render(self.format, document, output)?;
        if self.format != Format::Table && !differences.is_empty() {
            output::say(visible_lines(differences.trim_end()));
        }
        output::write(&text, output)?;
        if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
            for annotation in annotations(document) {
                output::say(annotation);
            }
        }
        Ok(())
    }

    /// The command that replays one file as this one does.
    fn command(&self, path: &Path) -> String {
        let mut command = format!("pgbraid replay {}", output::shell_word(path.as_os_str()));
        if self.times > 1 {
            command += &format!(" --times {}", self.times);
        }
        if self.step_timeout != DEFAULT_STEP_TIMEOUT {
            command += &format!(" --step-timeout {}", self.step_timeout.as_secs_f64());
        }
        command
    }
}

/// Rewrites the file's expectation; returns what changes.
fn update(replayed: &mut Replayed) -> Result<String, CommandError> {
    let Ok(replay) = &replayed.result else {
        return Ok(String::new());
    };
    let Some(text) = replay::update(replay) else {
        return Ok(String::new());
    };
    let difference = difference(replay, &text);
    replace(&replayed.path, text.as_bytes()).map_err(|cause| ReplayError::Unwritable {
        path: replayed.path.clone(),
        cause,
    })?;
    replayed.updated = true;
    Ok(difference)
}

fn difference(replay: &Replay, text: &str) -> String {
    let path = replay.file.path.display().to_string();
    TextDiff::from_lines(replay.file.text(), text)
        .unified_diff()
        .context_radius(1)
        .header(&path, &path)
        .to_string()
}

/// Reports files that could not be run. An error that kept others from being judged takes precedence over their
/// results.
fn exit_code(of_verdicts: u8, replayed: Vec<Replayed>) -> ExitCode {
    let errors = replayed.into_iter().filter_map(|one| one.result.err());
    let codes: Vec<u8> = errors
        .map(|error| match error {
            ReplayError::Run(RunError::Interrupted) => ENVIRONMENT,
            error => exit::say(error.into()),
        })
        .collect();
    ExitCode::from(match codes {
        codes if codes.contains(&ENVIRONMENT) => ENVIRONMENT,
        codes if codes.contains(&INPUT) => INPUT,
        _ => of_verdicts,
    })
}
