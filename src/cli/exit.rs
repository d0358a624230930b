//! How a command ends, and what it prints when it fails: errors are rendered here and nowhere else.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use miette::Diagnostic;
use pgbraid::explore::Verdict;
use pgbraid::isolation::{SpecificationError, TestError};
use pgbraid::postgres::PostgresError;
use pgbraid::postgres::embedded::EmbeddedError;
use pgbraid::postgres::host::HostError;
use pgbraid::postgres::wire::WireError;
use pgbraid::record::{NotScripted, RecordError};
use pgbraid::replay::ReplayError;
use pgbraid::report::RenderError;
use pgbraid::report::diagnostic::shown;
use pgbraid::run::RunError;
use pgbraid::scenario::ScenarioError;
use pgbraid::schedule::ScheduleError;

use super::output;

pub const INPUT: u8 = 2;
pub const ENVIRONMENT: u8 = 3;
/// The code that shells report for a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// The code for a verdict.
pub fn code(verdict: Verdict) -> ExitCode {
    ExitCode::from(match verdict {
        Verdict::Holds => 0,
        Verdict::Fails => 1,
        Verdict::Inconclusive => 4,
    })
}

/// Why a command has no verdict.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum CommandError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Specification(#[from] SpecificationError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Embedded(#[from] EmbeddedError),
    #[error("{0}")]
    #[diagnostic(help("check --database-url (or PGBRAID_DATABASE_URL), or leave it out for an embedded server"))]
    Server(PostgresError),
    #[error("{0}")]
    #[diagnostic(help(
        "a server is given as postgres://USER:PASSWORD@HOST:PORT/DATABASE, or as host=HOST user=USER dbname=DATABASE; \
         without one, an embedded server is started"
    ))]
    DatabaseUrl(PostgresError),
    #[error("{0}")]
    #[diagnostic(help(
        "pgbraid reaches servers without TLS: sslmode=disable or prefer, over a socket or an SSH tunnel, say"
    ))]
    TlsRequired(PostgresError),
    #[error("{0}")]
    #[diagnostic(help(
        "pgbraid has to see which backend waits for which, and gives its sessions settings of their own: name the \
         server itself, past the pooler, in --database-url"
    ))]
    Pooler(PostgresError),
    #[error("{0}")]
    #[diagnostic(help("pgbraid runs in databases of its own; allow its role to make them: ALTER ROLE … CREATEDB"))]
    MayNotCreateDatabases(PostgresError),
    #[error("{0}")]
    Run(RunError),
    #[error("{0}")]
    StepTimeout(RunError, #[help] &'static str),
    #[error("there is a file {} already", .0.display())]
    #[diagnostic(help("--force replaces it"))]
    Exists(PathBuf),
    #[error("no session of {} is a program: there is nothing to record", .0.display())]
    #[diagnostic(help("a session with `command` or `request` is one; docs/programs.md has the keys"))]
    NoPrograms(PathBuf),
    #[error("{0}")]
    #[diagnostic(help("`pgbraid explore` runs the program itself"))]
    NotScripted(NotScripted),
    #[error("{0}")]
    #[diagnostic(help(
        "`setup_command` makes the state, and the file is to hold it: install the server's client programs, or write what the \
         command makes as SQL into `setup`"
    ))]
    NoDump(RecordError),
    #[error("{0}")]
    NoTemporaryFolder(RecordError),
    #[error("cannot write {path}: {cause}")]
    Output { path: String, cause: std::io::Error },
    #[error("the current folder cannot be told: {0}")]
    CurrentFolder(std::io::Error),
    #[error("cannot write standard output: {0}")]
    StandardOutput(std::io::Error),
    #[error("the path of the scenario, {}, is not UTF-8: no pinned schedule can name it", .0.display())]
    Unpinnable(PathBuf),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Schedule(#[from] ScheduleError),
    #[error("cannot read {}: {cause}", .path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("the report cannot be written as JUnit XML: {0}")]
    Render(RenderError),
    #[error(transparent)]
    Specifications(TestError),
    #[error("{0}")]
    Usage(Cow<'static, str>),
    #[error("there is no .{extension} file in {}", in_words(.paths))]
    NoFiles {
        extension: &'static str,
        paths: Vec<PathBuf>,
    },
    #[error("there is no folder {}", .0.display())]
    NoFolder(PathBuf),
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    #[error("cannot start: {0}")]
    #[diagnostic(help(
        "pgbraid and its server open files for every session: `ulimit -n` shows how many may be open, and sets it"
    ))]
    TooFewDescriptors(std::io::Error),
    #[error("interrupted: no verdict")]
    Interrupted,
}

const STEP_TIMEOUT_HELP: &str = "a step that takes long by itself needs a larger --step-timeout; one that waits for a lock held outside the run \
     needs that lock released";

impl From<HostError> for CommandError {
    fn from(error: HostError) -> CommandError {
        match error {
            HostError::Embedded(EmbeddedError::Interrupted) => CommandError::Interrupted,
            HostError::Embedded(error) => CommandError::Embedded(error),
            HostError::Interrupted => CommandError::Interrupted,
            HostError::Server(error) => match error {
                PostgresError::ConnectionString(_) | PostgresError::Wire(WireError::NoHost) => {
                    CommandError::DatabaseUrl(error)
                }
                PostgresError::Wire(WireError::TlsRequired) => CommandError::TlsRequired(error),
                PostgresError::Pooler => CommandError::Pooler(error),
                other => CommandError::Server(other),
            },
        }
    }
}

impl From<RunError> for CommandError {
    fn from(error: RunError) -> CommandError {
        match error.into_mistake() {
            Ok(mistake) => CommandError::Scenario(mistake),
            Err(error @ RunError::StepTimeout { .. }) => CommandError::StepTimeout(error, STEP_TIMEOUT_HELP),
            Err(RunError::Interrupted) => CommandError::Interrupted,
            Err(RunError::Postgres(error)) if error.may_not_create_databases() => {
                CommandError::MayNotCreateDatabases(error)
            }
            Err(other) => CommandError::Run(other),
        }
    }
}

impl From<ReplayError> for CommandError {
    fn from(error: ReplayError) -> CommandError {
        match error {
            ReplayError::Schedule(error) => CommandError::Schedule(error),
            ReplayError::Scenario(error) => CommandError::Scenario(error),
            ReplayError::Run(error) => error.into(),
            ReplayError::Unreadable { path, cause } => CommandError::Unreadable { path, cause },
            ReplayError::Unwritable { path, cause } => CommandError::Output {
                path: path.display().to_string(),
                cause,
            },
        }
    }
}

impl CommandError {
    /// Why `file` was not recorded.
    pub fn of_recording(error: RecordError, file: &Path) -> CommandError {
        match error {
            RecordError::NoPrograms => CommandError::NoPrograms(file.to_owned()),
            RecordError::NotScripted(error) => CommandError::NotScripted(error),
            error @ RecordError::NoDump(_) => CommandError::NoDump(error),
            error @ RecordError::NoFolder(_) => CommandError::NoTemporaryFolder(error),
            RecordError::NotAccepted(mistake) => CommandError::Scenario(mistake),
            RecordError::Run(error) => error.into(),
        }
    }
}

/// Whether only space is missing, so that the path is right.
fn is_no_space(cause: &std::io::Error) -> bool {
    matches!(
        cause.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

fn in_words(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}

/// Prints on standard error what went wrong, and returns the exit code.
pub fn say(failure: CommandError) -> u8 {
    let code = failure.code();
    output::say(format_args!("{:?}", shown(failure)));
    code
}

impl CommandError {
    /// Prints on standard error what went wrong, and returns the exit code.
    pub fn report(self) -> ExitCode {
        ExitCode::from(say(self))
    }

    fn code(&self) -> u8 {
        match self {
            CommandError::Scenario(_) | CommandError::Specification(_) | CommandError::Schedule(_) => INPUT,
            CommandError::Unreadable { .. } | CommandError::NoFiles { .. } | CommandError::NoFolder(_) => INPUT,
            CommandError::Run(
                RunError::NothingToIgnore { .. }
                | RunError::ReachedOut { .. }
                | RunError::Serial(_)
                | RunError::Launch { .. }
                | RunError::Request { .. }
                | RunError::ServiceEnded { .. }
                | RunError::NotReady { .. }
                | RunError::ChangesAtStart { .. }
                | RunError::MoreConnections { .. }
                | RunError::NoService(_)
                | RunError::SetupFailed { .. }
                | RunError::NothingToCopy(_)
                | RunError::NothingFails,
            ) => INPUT,
            CommandError::DatabaseUrl(_)
            | CommandError::TlsRequired(_)
            | CommandError::Usage(_)
            | CommandError::Exists(_)
            | CommandError::NoPrograms(_)
            | CommandError::NotScripted(_)
            | CommandError::Unpinnable(_) => INPUT,
            CommandError::Output { cause, .. } if !is_no_space(cause) => INPUT,
            CommandError::Interrupted => INTERRUPTED,
            _ => ENVIRONMENT,
        }
    }
}
