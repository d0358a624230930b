//! `pgbraid spec`

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use pgbraid::isolation::{
    self, DEFAULT_STEP_LIMIT, Expected, ExpectedError, Specification, Standard, SuiteOptions, TestError, Tested,
    settings,
};
use pgbraid::postgres::PostgresError;
use pgbraid::report::Format;
use pgbraid::report::document::{Compared, Comparison, Document};
use pgbraid::report::text::specifications::entry;
use pgbraid::report::text::{Detail, text};
use pgbraid::terminal::visible;

use super::exit::{CommandError, INPUT};
use super::files::replace;
use super::host::Host;
use super::{choice, output};

/// Run isolation specifications, printing what isolationtester prints
///
/// One specification is run as PostgreSQL's isolationtester runs it, and prints the same. Several, or one with
/// --expected, are a test run: each is run in a database of its own, and its output is compared with what is expected.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Spec {
    /// Specifications, or folders: every .spec file in them; `-` is standard input
    #[arg(value_name = "PATH", default_value = "-")]
    paths: Vec<PathBuf>,

    /// Print the permutations and run nothing
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Print the specification as a scenario file for `pgbraid explore`, and run nothing
    #[arg(long, conflicts_with = "dry_run")]
    to_scenario: bool,

    /// With --to-scenario: use only the steps in the N-th named permutation [default: all steps]
    #[arg(long, value_name = "N", requires = "to_scenario")]
    permutation: Option<usize>,

    /// Folder of expected outputs: NAME.out, or a variant NAME_1.out to NAME_9.out [default: the folder `expected`
    /// beside a folder of specifications]
    #[arg(long, value_name = "FOLDER")]
    expected: Option<PathBuf>,

    /// Write the output of each specification that runs to its end to NAME.out in this folder
    #[arg(long, value_name = "FOLDER")]
    results: Option<PathBuf>,

    /// What a test run prints
    #[arg(long, value_parser = choice::format(), default_value = Format::Table.name())]
    format: Format,

    /// Write the report of a test run, or the scenario, to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Server to run on, as a URL or a connection string [default: an embedded server, started and stopped by pgbraid]
    #[arg(long, value_name = "URL", env = "PGBRAID_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,

    /// Specifications to run at a time; those that use state shared by all databases run alone [default: the number of
    /// cores]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// Cancel a step after this many seconds, and give up after twice as many [default: 300]
    #[arg(long, value_name = "SECONDS", env = "PGISOLATIONTIMEOUT", hide_env_values = true,
          value_parser = clap::value_parser!(u64).range(1..))]
    step_timeout: Option<u64>,
}

const HELP: &str = "\
Examples:
  pgbraid spec fk-contention.spec
      print what isolationtester prints, on a server that pgbraid starts by itself
  pgbraid spec --database-url postgres://me@localhost/postgres < fk-contention.spec
      the same on another server, in a database that pgbraid creates and drops
  pgbraid spec specs/ --expected expected/ --format junit --output spec.xml
      a test run for a CI service

Exit codes:
  0  the specification was run, or every output is as expected
  1  the run was given up as isolationtester would, or some output differs
  2  a specification or an option is wrong, or an expected output is not there
  3  the environment is wrong: no server, a lost connection";

impl Spec {
    pub fn run(self) -> Result<ExitCode, CommandError> {
        let files = find_files(&self.paths)?;
        let specifications: Vec<Specification> = files.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        if self.dry_run {
            return print_permutations(&specifications);
        }
        if self.to_scenario {
            let [specification] = specifications.as_slice() else {
                return Err(CommandError::Usage(
                    "one specification is made into one scenario".into(),
                ));
            };
            let scenario = specification.scenario(self.permutation)?;
            for warning in &scenario.warnings {
                output::say(format_args!("warning: {}", visible(warning)));
            }
            output::write(scenario.to_toml().trim_end(), self.output.as_deref())?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(folder) = self
            .expected
            .iter()
            .chain(&self.results)
            .find(|folder| !folder.is_dir())
        {
            return Err(CommandError::NoFolder(folder.clone()));
        }
        match (specifications.as_slice(), self.expected_folder()) {
            ([], _) => Err(CommandError::NoFiles {
                extension: "spec",
                paths: self.paths,
            }),
            ([_], None) if self.asks_for_test_run() => Err(CommandError::Usage(
                "--format, --output and --results belong to a test run: add --expected, the folder of expected outputs"
                    .into(),
            )),
            ([one], None) => self.run_one(one),
            (_, None) => Err(CommandError::Usage(
                "several specifications are a test run: --expected says where the expected outputs are".into(),
            )),
            (several, Some(expected)) => self.run_suite(several, &expected),
        }
    }

    fn asks_for_test_run(&self) -> bool {
        self.format != Format::Table || self.output.is_some() || self.results.is_some()
    }

    fn run_one(&self, specification: &Specification) -> Result<ExitCode, CommandError> {
        let host = Host::obtain(self.database_url.as_deref())?;
        let settings = match self.database_url {
            Some(_) => settings::of_environment(|name| std::env::var(name).ok()),
            None => settings::of_test_run(),
        };
        let options = self.options(&host, settings);
        match isolation::run_one(specification, &options, &mut Standard::default()) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            // the reason is printed where isolationtester prints it
            Err(TestError::GivenUp(_)) => Ok(ExitCode::FAILURE),
            Err(TestError::Output(cause)) => {
                output::while_read(Err(cause)).map_err(CommandError::StandardOutput)?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn run_suite(&self, specifications: &[Specification], expected: &Path) -> Result<ExitCode, CommandError> {
        let host = Host::obtain(self.database_url.as_deref())?;
        let options = self.options(&host, settings::of_test_run());
        let text_options = output::text_options(self.output.as_deref());
        let live = self.format == Format::Table && self.output.is_none();
        let started = Instant::now();
        let mut compared = Vec::new();
        let mut environment = None;
        let mut printed = Ok(());
        let mut done = |tested: Tested| {
            let name = &specifications[tested.index].name;
            let outcome = self.outcome(name, &tested, expected);
            let passed = outcome == Comparison::Passed;
            let one = Compared {
                name: name.clone(),
                elapsed: tested.elapsed,
                outcome,
            };
            if live && printed.is_ok() {
                printed = output::print(&format!("{}\n", entry(&one, &text_options)));
            }
            compared.push(one);
            match tested.result {
                Err(error @ (TestError::Postgres(PostgresError::Wire(_)) | TestError::Output(_))) => {
                    environment = Some(error);
                }
                Err(error @ TestError::Lost(_)) if !passed => environment = Some(error),
                _ => {}
            }
        };
        isolation::run_suite(specifications, &options, &mut done)?;
        let elapsed = started.elapsed();
        if host.interrupt.is_cancelled() {
            return Err(CommandError::Interrupted);
        }
        drop(options);
        drop(host);
        printed?;
        let code = exit_code(&compared);
        let document = Document::of_specifications(compared, elapsed);
        let report = match live {
            true => text(&document, Detail::Summary, &text_options),
            false => output::render(self.format, &document, self.output.as_deref())?,
        };
        output::write(&report, self.output.as_deref())?;
        match environment {
            Some(error) => Err(error.into()),
            None => Ok(code),
        }
    }

    fn outcome(&self, name: &str, tested: &Tested, folder: &Path) -> Comparison {
        match &tested.result {
            // an expected output may end that way, too
            Ok(()) | Err(TestError::GivenUp(_) | TestError::Lost(_)) => {}
            Err(error) => return Comparison::Error(error.to_string()),
        }
        if let Some(results) = &self.results
            && let Err(cause) = replace(&results.join(format!("{name}.out")), &tested.transcript)
        {
            return Comparison::Error(format!("cannot write to {}: {cause}", results.display()));
        }
        match Expected::read(folder, name) {
            Err(ExpectedError::Missing(path)) => Comparison::NothingExpected(path),
            Err(error) => Comparison::Error(error.to_string()),
            Ok(expected) => match expected.mismatch(&tested.transcript) {
                None => Comparison::Passed,
                Some(mismatch) => Comparison::Differs(mismatch),
            },
        }
    }

    fn options(&self, host: &Host, mut settings: Vec<settings::Setting>) -> SuiteOptions {
        if self.database_url.is_none() {
            settings.extend(settings::of_embedded_server());
        }
        SuiteOptions {
            server: host.server.clone(),
            jobs: match self.jobs {
                Some(jobs) => usize::from(jobs),
                None => std::thread::available_parallelism().map_or(1, usize::from),
            },
            settings,
            step_limit: self.step_timeout.map_or(DEFAULT_STEP_LIMIT, Duration::from_secs),
            background: host.runtime().handle().clone(),
            interrupt: host.interrupt.clone(),
        }
    }

    /// The folder that was named, or PostgreSQL's own layout: `specs` and `expected` side by side.
    fn expected_folder(&self) -> Option<PathBuf> {
        if self.expected.is_some() {
            return self.expected.clone();
        }
        let folders: Vec<&PathBuf> = self.paths.iter().filter(|path| path.is_dir()).collect();
        let [folder] = folders.as_slice() else {
            return None;
        };
        let folder = std::path::absolute(folder).ok()?;
        Some(folder.parent()?.join("expected")).filter(|expected| expected.is_dir())
    }
}

fn exit_code(compared: &[Compared]) -> ExitCode {
    let nothing_expected = |one: &Compared| matches!(one.outcome, Comparison::NothingExpected(_));
    match compared {
        all if all.iter().any(nothing_expected) => ExitCode::from(INPUT),
        all if all.iter().all(|one| one.outcome == Comparison::Passed) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn read(path: &Path) -> Result<Specification, CommandError> {
    Ok(match path.as_os_str() == "-" {
        true => Specification::from_reader("stdin", "standard input", std::io::stdin())?,
        false => Specification::from_file(path)?,
    })
}

fn print_permutations(specifications: &[Specification]) -> Result<ExitCode, CommandError> {
    use std::io::{IsTerminal, Write};
    let on_terminal = std::io::stdout().is_terminal();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut print = || {
        for specification in specifications {
            for permutation in specification.permutations() {
                let written = specification.written(&permutation);
                match on_terminal {
                    true => writeln!(out, "{}", visible(&written.to_string()))?,
                    false => writeln!(out, "{written}")?,
                }
            }
        }
        out.flush()
    };
    output::while_read(print()).map_err(CommandError::StandardOutput)?;
    Ok(ExitCode::SUCCESS)
}

/// The named files, and those in the named folders, ordered by name.
fn find_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CommandError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |cause| CommandError::Unreadable {
            path: path.clone(),
            cause,
        };
        let mut found = Vec::new();
        for each in std::fs::read_dir(path).map_err(unreadable)? {
            found.push(each.map_err(unreadable)?.path());
        }
        found.retain(|file| file.extension() == Some(OsStr::new("spec")));
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

impl From<TestError> for CommandError {
    fn from(error: TestError) -> CommandError {
        match error {
            TestError::Interrupted => CommandError::Interrupted,
            TestError::Postgres(error @ PostgresError::Wire(_)) => CommandError::Server(error),
            TestError::Postgres(error) if error.may_not_create_databases() => {
                CommandError::MayNotCreateDatabases(error)
            }
            TestError::Output(cause) => CommandError::StandardOutput(cause),
            other => CommandError::Specifications(other),
        }
    }
}
