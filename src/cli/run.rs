//! `pgbraid run`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use pgbraid::input::Reading;
use pgbraid::postgres::host;
use pgbraid::report::document::Purpose;
use pgbraid::scenario::Scenario;
use toml::Value;

use super::exit::CommandError;
use super::limits::Limits;
use super::report::report;
use super::{Common, EXIT_CODES, files};

/// Run copies of a program at the same time, and look for an order of their statements that goes wrong
///
/// Every run starts from the state that --setup makes, or from a copy of the database that --database-url names, or from an
/// empty database. Runs are in databases that pgbraid creates and drops; it writes to no other.
///
/// The program connects to the address in DATABASE_URL (or PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE), behind which
/// pgbraid holds each of its statements until it is scheduled. A schedule fails if an invariant is not true at the end, a
/// copy exits with a code other than 0, or the copies deadlock.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct RunPrograms {
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,

    /// How many copies run at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    copies: u16,

    /// SQL that makes the state that every run starts from; the database that --database-url names is not copied then
    #[arg(long, value_name = "FILE")]
    setup: Option<PathBuf>,

    /// Query whose first value must be true at the end; may be given several times
    #[arg(long, value_name = "SQL")]
    invariant: Vec<String>,

    /// Text that each copy reads from its standard input
    #[arg(long, value_name = "TEXT")]
    stdin: Option<String>,

    /// Exit code beside 0 that does not fail a schedule; may be given several times
    #[arg(long, value_name = "CODE")]
    allow_exit: Vec<u8>,

    /// Write the scenario to this file first, to edit it or to pin its schedules
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  pgbraid run --setup schema.sql --invariant 'SELECT count(*) = 1 FROM account' -- php import.php
      two imports at the same time
  pgbraid run --database-url postgres://me@localhost/shop --serializable -- php import.php
      two imports on copies of the database shop: is what they do that of some serial order?
  pgbraid run --copies 3 --setup schema.sql --scenario import.toml -- python3 import.py --id 7
      the same with three, and a scenario file to edit";

impl RunPrograms {
    pub fn run(self) -> Result<ExitCode, CommandError> {
        if self.limits.pins() && self.scenario.is_none() {
            return Err(CommandError::Usage(
                "--pin goes with --scenario: a pinned schedule names the file of its scenario".into(),
            ));
        }
        let copied = match (&self.setup, &self.common.server.database_url) {
            (None, Some(url)) => Some(host::database_named_by(url)?.ok_or(CommandError::Usage(
                "--database-url names no database: name the one to copy, or make the state with --setup".into(),
            ))?),
            _ => None,
        };
        let text = self.text(copied.as_deref())?;
        let (path, name) = match &self.scenario {
            Some(path) => {
                files::replace(path, text.as_bytes()).map_err(|cause| CommandError::Output {
                    path: path.display().to_string(),
                    cause,
                })?;
                (path.as_path(), path.display().to_string())
            }
            None => (Path::new("program"), "command line".to_owned()),
        };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let scenario = match &self.scenario {
            Some(path) => Scenario::read(path, Reading::default())?,
            None => Scenario::from_toml(&stem, &name, &text, Path::new(""))?,
        };
        let strategy = self.limits.dpor();
        let explored = self
            .limits
            .explore_scenario(scenario, path, &self.common, true, strategy)?;
        report(explored, Purpose::Explore, &self.common)
    }

    /// The scenario, as its file has it.
    fn text(&self, copied: Option<&str>) -> Result<String, CommandError> {
        let quoted = |text: &str| Value::String(text.to_owned()).to_string();
        let mut text = String::new();
        if let Some(database) = copied {
            text += &format!("setup_database = {}\n\n", quoted(database));
        }
        if let Some(setup) = &self.setup {
            // beside the scenario's file it would be another
            let whole = setup.canonicalize().unwrap_or_else(|_| setup.clone());
            text += &format!("setup_file = {}\n\n", quoted(&whole.to_string_lossy()));
        }
        let words: Vec<String> = self.command.iter().map(|word| quoted(word)).collect();
        text += "[[session]]\nname = \"program\"\n";
        text += &format!("copies = {}\ncommand = [{}]\n", self.copies, words.join(", "));
        if self.scenario.is_some() {
            let folder = std::env::current_dir().map_err(CommandError::CurrentFolder)?;
            text += &format!("cwd = {}\n", quoted(&folder.to_string_lossy()));
        }
        if let Some(stdin) = &self.stdin {
            text += &format!("stdin = {}\n", quoted(stdin));
        }
        if !self.allow_exit.is_empty() {
            text += &format!("allow_exit = {:?}\n", self.allow_exit);
        }
        for sql in &self.invariant {
            text += &format!("\n[[invariant]]\nname = {0}\nsql = {0}\n", quoted(sql));
        }
        Ok(text)
    }
}
