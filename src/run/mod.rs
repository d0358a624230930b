//! Executes one schedule, one step at a time, and returns its history.
//!
//! [`execute`] drives [`Session`]s and asks a [`Scheduler`] which enabled one moves. It knows neither where the
//! sessions' steps come from nor how the scheduler decides.

mod any_session;
mod attached;
mod binding;
mod check;
mod checks;
mod committed_states;
mod condition;
mod conversations;
mod custom_settings;
mod dependencies;
mod driver;
mod executor;
mod large_objects;
mod launch;
mod level;
mod one_step;
mod ordered;
mod reach;
mod recorded;
mod retold;
mod sameness;
mod scheduler;
mod script;
mod serial;
mod session;
mod setup_command;
mod setup_database;
pub mod timeouts;
mod trial;
pub(crate) mod unscheduled;
mod wait_for;
mod watch;
mod workbench;
mod worker;

pub use any_session::AnySession;
#[cfg(test)]
pub use attached::Learned;
pub use attached::{
    Answered, Attached, Exchange, ExchangeKind, Knowledge, Memory, Observed, Place, RequestError, Said,
};
pub use condition::Conditions;
pub use driver::Driver;
pub use executor::{Execution, Limits, execute};
pub use ordered::Ordered;
pub(crate) use ordered::{Entry, first_without_timeout, take_first};
#[cfg(test)]
pub(crate) use retold::Retold;
#[cfg(not(test))]
use retold::Retold;
pub use sameness::{differs, leaves_otherwise};
pub use scheduler::{Candidate, Decision, Scheduler};
pub use script::Script;
pub use serial::{Judgement, SerialError, SerialOracle};
pub use session::{DeadlockCheck, Finished, Next, Outside, Pending, Progress, Session, WaitTimeout};
#[doc(hidden)]
pub use workbench::FreeRun;
pub use workbench::{Run, RunSource, Template, Workbench};
pub use worker::Worker;
pub(crate) use worker::{interruptible, runtime};

use std::path::PathBuf;
use std::time::Duration;

use crate::history::{Exit, NoAnswer};
use crate::postgres::PostgresError;
use crate::postgres::wire::ServerError;
use crate::process::Output;
use crate::proxy::ProxyError;
use crate::scenario::ScenarioError;
use crate::scenario::source::SqlText;

/// Why a run has no result. None of these is a verdict.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error("session {session}, step {step}: {source}")]
    Session {
        session: String,
        step: String,
        source: PostgresError,
    },
    #[error(
        "session {session}, step {step} neither finished nor waited for another session of the run within {limit:?}{}",
        outsider.as_ref().map(|text| format!("; it waits for {text}")).unwrap_or_default()
    )]
    StepTimeout {
        session: String,
        step: String,
        limit: Duration,
        outsider: Option<String>,
    },
    #[error("no session can continue: {waiting} waits for a lock that no session of the run will release")]
    Stuck { waiting: String },
    /// A variable was used whose step returned several rows.
    #[error(
        "session {session}: variable :{variable} has no single value, since step {source_step} returned {rows} rows"
    )]
    SeveralRows {
        session: String,
        variable: String,
        source_step: String,
        rows: usize,
        used_in: Box<SqlText>,
    },
    /// The server rejected a `when`.
    #[error("the condition of step {step} of session {session} failed: {error}")]
    Condition {
        session: String,
        step: String,
        error: Box<ServerError>,
        sql: Box<SqlText>,
    },
    #[error("`ignore` names `{table}.{column}`, but setup made no such column; the tables are: {}", tables.join(", "))]
    NothingToIgnore {
        table: String,
        column: String,
        tables: Vec<String>,
    },
    /// Something that belongs to the whole server has changed.
    #[error(
        "while {what} ran, what all databases of the server share was changed: {}; pgbraid does not undo that{}",
        changes.join(", "),
        if *given { " (where another client of the server did that, run again)" } else { "" }
    )]
    ReachedOut {
        what: &'static str,
        changes: Vec<String>,
        given: bool,
    },
    /// The server rejects a statement of the scenario.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error("{doing} took longer than {limit:?}; a lock held outside the run may be in the way")]
    TakesTooLong { doing: &'static str, limit: Duration },
    /// The scenario's outcomes cannot be compared with those of serial orders.
    #[error(transparent)]
    Serial(#[from] SerialError),
    /// A program could not be started.
    #[error("session {session}: starting {program} in {} failed: {source}", folder.display())]
    Launch {
        session: String,
        program: String,
        folder: PathBuf,
        source: std::io::Error,
    },
    #[error("session {session}: {source}")]
    Proxy { session: String, source: ProxyError },
    #[error("session {session}: {source}")]
    Request { session: String, source: RequestError },
    #[error(
        "the request of session {session} gets no answer even if it is the first to run: {cause}{}",
        printed(output)
    )]
    NeverAnswered {
        session: String,
        cause: NoAnswer,
        output: Output,
    },
    #[error("service {service} ended with {exit}{}", printed(output))]
    ServiceEnded {
        service: String,
        exit: Exit,
        output: Output,
    },
    #[error(
        "service {service} has answered, and does not come to rest within {limit:?}: a thread of it runs, or does not read \
         what the server has sent, so it is not known when the request is over"
    )]
    Restless { service: String, limit: Duration },
    #[error("service {service} was not ready within {limit:?}{}", printed(output))]
    NotReady {
        service: String,
        limit: Duration,
        output: Output,
    },
    #[error(
        "service {service} changes the database as it starts, or may: `{sql}`\n  have `setup` or `setup_command` do that, so \
         that every run begins in the same state"
    )]
    ChangesAtStart { service: String, sql: String },
    #[error(
        "the program of session {session} neither sent a statement nor ended within {limit:?}{}",
        printed(output)
    )]
    Silent {
        session: String,
        limit: Duration,
        output: Output,
    },
    #[error(
        "the program of session {session} has ended, but a process that it has started keeps its connection open, and has \
         neither sent a statement nor ended within {limit:?}{}",
        printed(output)
    )]
    Outlived {
        session: String,
        limit: Duration,
        output: Output,
    },
    #[error(
        "the program of {session} uses more than {connections} connections at the same time, and each is a session; say how \
         many with `connections`"
    )]
    MoreConnections { session: String, connections: usize },
    #[error("there is no service {0}")]
    NoService(String),
    #[error(
        "{} waited longer than {limit:?} for something outside the database: a lock on a file, or another part of the program",
        sessions.join(" and ")
    )]
    WaitsOutside { sessions: Vec<String>, limit: Duration },
    #[error("the program that makes the state ended with {exit}{}", printed(output))]
    SetupFailed { exit: crate::history::Exit, output: Output },
    #[error("database {database} cannot be copied: {reason}")]
    NotCopied { database: String, reason: String },
    #[error("`setup_database` names {0}, a database of the server that `--database-url` names, and no server is named")]
    NothingToCopy(String),
    #[error("starting a worker failed: {0}")]
    Runtime(std::io::Error),
    /// A run that violates nothing was given to be made small.
    #[error("the schedule does not fail, so it cannot be made smaller")]
    NothingFails,
    /// A run met something that was not learned of the programs. The schedule is run again with them.
    #[error("the programs must be asked")]
    NotLearned,
    #[error("interrupted")]
    Interrupted,
}

/// The end of what a program has printed.
fn printed(output: &Output) -> String {
    let text = match output.stderr.trim() {
        "" => output.stdout.trim(),
        errors => errors,
    };
    match text.lines().last() {
        Some(line) => format!("; the last that it printed is: {line}"),
        None => String::new(),
    }
}

impl RunError {
    /// The same as a mistake at its place in the scenario's file, if it is one.
    ///
    /// # Errors
    /// The error itself if it is not.
    pub fn into_mistake(self) -> Result<ScenarioError, RunError> {
        match self {
            RunError::Scenario(error) => Ok(error),
            other => other.mistake().ok_or(other),
        }
    }

    /// The file's name and the line, counted from 1, of a mistake in the scenario.
    pub fn place(&self) -> Option<(String, usize)> {
        match self {
            RunError::Scenario(error) => error.place(),
            other => other.mistake()?.place(),
        }
    }

    /// A mistake of the scenario that only a run reveals.
    fn mistake(&self) -> Option<ScenarioError> {
        match self {
            RunError::Condition { step, error, sql, .. } => Some(ScenarioError::rejected_sql(
                sql,
                None,
                &error.sqlstate,
                &error.message,
                error.hint.as_deref(),
                &format!("the condition of step `{step}`"),
            )),
            RunError::SeveralRows {
                session,
                variable,
                source_step,
                rows,
                used_in,
            } => Some(ScenarioError::several_rows(
                session,
                variable,
                source_step,
                *rows,
                used_in,
            )),
            _ => None,
        }
    }
}
