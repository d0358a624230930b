//! The command line: one file for each command, and what they share.

mod choice;
mod exit;
mod explore;
mod files;
mod host;
mod limits;
mod output;
mod progress;
mod prove;
mod record;
mod replay;
mod report;
mod run;
mod shrink;
mod shrinking;
mod spec;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use exit::CommandError;
use pgbraid::descriptors;
use pgbraid::report::Format;

/// Explores the interleavings of database transactions on a real PostgreSQL
#[derive(Debug, Parser)]
#[command(name = "pgbraid", version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  holds: every interleaving was covered, and none fails
  1  a schedule fails
  2  the input is wrong: scenario, options
  3  the environment is wrong: no server, a lost connection, a step that neither finishes nor blocks
  4  inconclusive: a bound was reached before everything was covered, or something was not under control
  130  interrupted, with no verdict";

#[derive(Debug, Subcommand)]
enum Command {
    Explore(explore::Explore),
    Prove(prove::Prove),
    Run(run::RunPrograms),
    Record(record::Record),
    Replay(replay::Replays),
    Shrink(shrink::Shrink),
    Spec(spec::Spec),
}

/// Where schedules run.
#[derive(Debug, Args)]
struct Server {
    /// Server to run on, as a URL or a connection string [default: an embedded server, started and stopped by pgbraid].
    /// pgbraid creates databases of its own there; the one that is named is only read, where the state is a copy of it
    /// (`run` without --setup, or `setup_database` in the scenario)
    #[arg(long, value_name = "URL", env = "PGBRAID_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,

    /// Schedules to run at a time, each on a scratch database of its own [default: the number of cores]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
}

/// Options of every command that explores.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    server: Server,

    /// What to print
    #[arg(long, value_parser = choice::format(), default_value = Format::Table.name())]
    format: Format,

    /// Write the report to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<std::path::PathBuf>,
}

impl Server {
    fn jobs(&self) -> usize {
        match self.jobs {
            Some(jobs) => usize::from(jobs),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    files::survive_size_limit();
    if let Err(cause) = descriptors::check() {
        return CommandError::TooFewDescriptors(cause).report();
    }
    let result = match cli.command {
        Command::Explore(command) => command.run(),
        Command::Prove(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Record(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Shrink(command) => command.run(),
        Command::Spec(command) => command.run(),
    };
    match result {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
