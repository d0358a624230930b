//! How a command ends, and what it says when it fails: errors are rendered here and nowhere else.

use std::process::ExitCode;

use miette::{Diagnostic, Report};
use pgbraid::explore::Verdict;
use pgbraid::isolation::{SpecificationError, TestError};
use pgbraid::postgres::PostgresError;
use pgbraid::postgres::embedded::EmbeddedError;
use pgbraid::run::RunError;
use pgbraid::scenario::ScenarioError;

const INPUT: u8 = 2;
const ENVIRONMENT: u8 = 3;
/// As shells report a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// The code for a verdict.
pub fn code(verdict: Verdict) -> ExitCode {
    ExitCode::from(match verdict {
        Verdict::Holds => 0,
        Verdict::Fails => 1,
        Verdict::Inconclusive => 4,
    })
}

/// Why a command came to no verdict.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Failure {
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
    Run(RunError),
    #[error("{0}")]
    #[diagnostic(help("give the variable to a step that returns one row, or aggregate the rows"))]
    SeveralRows(RunError),
    #[error("{0}")]
    StepTimeout(RunError, #[help] &'static str),
    #[error("cannot write {path}: {cause}")]
    Output { path: String, cause: std::io::Error },
    #[error("cannot read {path}: {cause}")]
    Folder { path: String, cause: std::io::Error },
    #[error("the report cannot be written as JUnit XML: {0}")]
    Junit(quick_junit::SerializeError),
    #[error(transparent)]
    Specifications(TestError),
    #[error("{0}")]
    Usage(&'static str),
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    #[error("interrupted: no verdict")]
    Interrupted,
}

const STEP_TIMEOUT_HELP: &str = "a step that takes long by itself needs a larger --step-timeout; one that waits for a lock held outside the run \
     needs that lock released";

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        match error {
            RunError::Scenario(error) => Failure::Scenario(error),
            RunError::Condition { step, error, sql, .. } => Failure::Scenario(ScenarioError::rejected_sql(
                &sql,
                None,
                &error.sqlstate,
                &error.message,
                error.hint.as_deref(),
                &format!("the condition of step `{step}`"),
            )),
            RunError::SeveralRows { .. } => Failure::SeveralRows(error),
            RunError::StepTimeout { .. } => Failure::StepTimeout(error, STEP_TIMEOUT_HELP),
            RunError::Interrupted => Failure::Interrupted,
            other => Failure::Run(other),
        }
    }
}

impl Failure {
    /// Says on standard error what went wrong, and returns the exit code.
    pub fn report(self) -> ExitCode {
        let code = match &self {
            Failure::Scenario(_) | Failure::Specification(_) | Failure::SeveralRows(_) => INPUT,
            Failure::Run(RunError::NothingToIgnore { .. } | RunError::Serial(_)) => INPUT,
            Failure::Server(PostgresError::ConnectionString(_)) | Failure::Output { .. } | Failure::Usage(_) => INPUT,
            Failure::Folder { .. } => INPUT,
            Failure::Interrupted => INTERRUPTED,
            _ => ENVIRONMENT,
        };
        eprintln!("{:?}", Report::new(self));
        ExitCode::from(code)
    }
}
