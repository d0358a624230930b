//! What is to be explored: setup, sessions, invariants.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::scenario::program::{ProgramCommand, SessionProgram};
use crate::scenario::service::Service;
use crate::scenario::source::SqlText;
use crate::sql::{Isolation, Statement, StatementKind, Template};

/// A scenario, its copies expanded into sessions.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The file's stem, or the name given to the builder.
    pub name: String,
    /// Where it was read from, if it was read from a file.
    pub path: Option<PathBuf>,
    /// A database of the server, of which the state is a copy. The setup runs on the copy.
    pub setup_database: Option<String>,
    /// SQL that creates the state every run starts from; may hold several statements.
    pub setup: Option<SqlText>,
    /// A program that makes more of the state, once the setup has run.
    pub setup_command: Option<ProgramCommand>,
    /// Programs that sessions send requests to.
    pub services: Vec<Service>,
    /// The sessions, copies included, in their order.
    pub sessions: Vec<Session>,
    /// What must hold when the sessions are over.
    pub invariants: Vec<Invariant>,
    /// What a deadlock means.
    pub deadlock: DeadlockPolicy,
    /// What drivers read of the system catalogs by themselves is scheduled like any other statement.
    pub schedules_prelude: bool,
    /// Columns, as `table.column`, whose values are not part of an outcome.
    pub ignore: Vec<IgnoredColumn>,
    /// Every outcome must equal that of some serial order of the transactions that committed.
    pub serializable: bool,
    /// What users should know about the scenario: mostly sources of nondeterminism.
    pub warnings: Vec<String>,
}

/// The warnings of a scenario that says nothing about what must hold.
const NOTHING_MUST_HOLD: &str = "there are no invariants: only errors and deadlocks can fail a schedule";
const NEXT_TO_NOTHING_MUST_HOLD: &str = "there are no invariants, and deadlocks are allowed: only errors that a session does not allow \
                                         can fail a schedule; `--serializable` requires more";

impl Scenario {
    /// Whether a session is a program.
    pub fn has_programs(&self) -> bool {
        self.sessions.iter().any(|session| session.program.is_some())
    }

    /// Whether a step prepares a transaction, which then belongs to the whole server.
    pub fn prepares_transactions(&self) -> bool {
        let prepares = |step: &Step| step.statement.kind == StatementKind::PrepareTransaction;
        self.sessions.iter().any(|session| session.steps.iter().any(prepares))
    }

    /// Sets `serializable`.
    pub fn require_serializable(&mut self) {
        self.serializable = true;
        self.warnings
            .retain(|warning| warning != NOTHING_MUST_HOLD && warning != NEXT_TO_NOTHING_MUST_HOLD);
    }

    pub(crate) fn warn_if_nothing_must_hold(&mut self) {
        if self.invariants.is_empty() && !self.serializable {
            let warning = match self.deadlock {
                DeadlockPolicy::Fails => NOTHING_MUST_HOLD,
                DeadlockPolicy::Allowed => NEXT_TO_NOTHING_MUST_HOLD,
            };
            self.warnings.push(warning.to_owned());
        }
    }
}

/// One database connection and the ordered steps that it will run.
#[derive(Debug, Clone)]
pub struct Session {
    /// Unique within the scenario: `worker`, `worker-1` where there are copies, `worker.1` where a program has connections.
    pub name: String,
    /// The index of the `[[session]]` entry that this is a copy of.
    pub entry: usize,
    /// Its number among the copies, from 1; `None` where the entry has no copies.
    pub copy: Option<usize>,
    /// Its number among the connections of one program, from 1; `None` where the program is one session.
    pub connection: Option<usize>,
    /// The level that its transactions ask for, where they name no other.
    pub isolation: Isolation,
    /// Values known before the first step, by variable name.
    pub params: BTreeMap<String, Param>,
    /// What it runs, in this order.
    pub steps: Arc<[Step]>,
    /// SQLSTATEs that may end this session without failing the schedule.
    pub allow_errors: Vec<String>,
    /// When it runs a transaction again.
    pub retry: Option<Retry>,
    /// The program, or the request, that it is, where it has no steps of its own.
    pub program: Option<Arc<SessionProgram>>,
    /// BEGIN is a turn of its own: it takes the transaction's time, and that matters.
    pub begins_apart: bool,
}

impl Session {
    /// The name of its `[[session]]` entry: `worker` for `worker-1`.
    pub fn entry_name(&self) -> &str {
        let name = self.program_name();
        let suffix = self.copy.map(|number| format!("-{number}"));
        suffix.and_then(|suffix| name.strip_suffix(&suffix)).unwrap_or(name)
    }

    /// The name of its program: `worker-1` for `worker-1.2`.
    pub fn program_name(&self) -> &str {
        let suffix = self.connection.map(|number| format!(".{number}"));
        let name = suffix.and_then(|suffix| self.name.strip_suffix(&suffix));
        name.unwrap_or(&self.name)
    }

    /// Whether it is the same but for its name, so that one may do what the other does. Connections of a program are told
    /// apart by what they do.
    pub fn is_like(&self, other: &Session) -> bool {
        let has_part = |session: &Session| session.connection.is_some();
        self.entry == other.entry && self.params == other.params && !has_part(self) && !has_part(other)
    }
}

/// One statement of a session.
#[derive(Debug, Clone)]
pub struct Step {
    /// Unique within the session; made from the statement's first word unless the file names it.
    pub name: String,
    /// Whether the file named it.
    pub named: bool,
    /// Its text as the file has it.
    pub sql: SqlText,
    /// The SQL with `:name` replaced by `$n`.
    pub template: Template,
    /// What kind of statement it is.
    pub statement: Statement,
    /// The step is skipped unless this is true.
    pub when: Option<Condition>,
}

/// An SQL expression over a session's variables.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Its text as the file has it.
    pub sql: SqlText,
    /// The same with parameters in place of its variables.
    pub template: Template,
}

/// A query that must return exactly one true.
#[derive(Debug, Clone)]
pub struct Invariant {
    /// Its name, as reports show it.
    pub name: String,
    /// The query.
    pub sql: SqlText,
}

/// Which errors make a session run its whole transaction again, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// SQLSTATEs after which the transaction is run again.
    pub on: Vec<String>,
    /// How often at most.
    pub max: u32,
}

/// Whether sessions may deadlock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeadlockPolicy {
    /// A deadlock is a failure.
    #[default]
    Fails,
    /// It is not; the victim's error counts as any other.
    Allowed,
}

/// A parameter's value, typed as the same literal would be in SQL.
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    /// Untyped, as a quoted literal is: the server infers the type from the context.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Kept as text: numeric in SQL.
    Numeric(String),
    /// True or false.
    Boolean(bool),
}

/// A column whose values are not part of an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoredColumn {
    /// The table as it is named.
    pub table: String,
    /// The column as it is named.
    pub column: String,
}

impl From<&str> for Param {
    fn from(value: &str) -> Param {
        Param::Text(value.to_owned())
    }
}

impl From<String> for Param {
    fn from(value: String) -> Param {
        Param::Text(value)
    }
}

impl From<i64> for Param {
    fn from(value: i64) -> Param {
        Param::Integer(value)
    }
}

impl From<i32> for Param {
    fn from(value: i32) -> Param {
        Param::Integer(value.into())
    }
}

impl From<bool> for Param {
    fn from(value: bool) -> Param {
        Param::Boolean(value)
    }
}
