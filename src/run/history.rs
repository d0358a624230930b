//! What one run did, with nothing in it that differs between two runs of the same schedule.

/// What one run did: every step with its result, its waits and when it went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The sessions' names; everything else refers to a session by its index here.
    pub sessions: Vec<String>,
    /// One entry a turn, in the order in which the sessions were let go on. The index is the turn.
    pub turns: Vec<Turn>,
    /// How each session ended, by session.
    pub ends: Vec<SessionEnd>,
}

/// A session was let go on by one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    pub session: usize,
    /// The step's name.
    pub step: String,
    /// Index in the session's declared steps; the commit that pgbraid adds to an autocommitted statement has that
    /// statement's index.
    pub step_index: usize,
    /// What the turn is for the session.
    pub role: TurnRole,
    /// Statement as written.
    pub sql: String,
    /// Statement with its variables filled in, for reading.
    pub filled: String,
    /// The values of the statement's variables; `None` where it is NULL, or shown otherwise than it is.
    pub values: Vec<Option<String>>,
    /// BEGIN (or START TRANSACTION …) sent right ahead of the step, as written; `None` where the transaction was open.
    pub begin: Option<String>,
    /// 0 for the first run of a transaction, 1 for the first retry, …
    pub attempt: u32,
    pub result: StepResult,
    /// The waits of this step, in order; empty where it never blocked.
    pub waits: Vec<Wait>,
    /// The turn whose reply let this step finish: its own index where it never blocked.
    pub finished_in: usize,
}

impl Turn {
    /// What `finished_in` is while the step is under way.
    pub const IN_FLIGHT: usize = usize::MAX;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnRole {
    /// A step of the scenario.
    Step,
    /// The commit of an autocommitted statement.
    Autocommit,
    /// The ROLLBACK that follows an error.
    Rollback,
    /// The end of the connection, where the session still has advisory locks that outlive transactions.
    Disconnect,
}

/// The name of the turn in which a session's connection ends.
pub const DISCONNECT: &str = "disconnect";

impl TurnRole {
    /// As outcomes and reports name it.
    pub fn name(self) -> &'static str {
        match self {
            TurnRole::Step => "step",
            TurnRole::Autocommit => "autocommit",
            TurnRole::Rollback => "rollback",
            TurnRole::Disconnect => DISCONNECT,
        }
    }
}

/// A stretch in which a step was blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Sessions that it waited for, ascending.
    pub blocked_by: Vec<usize>,
    /// The turn in which it began to wait.
    pub from: usize,
    /// The turn that ended this wait.
    pub until: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepResult {
    Rows {
        columns: Vec<String>,
        /// As text; in the statement's own order where it asks for one, else sorted.
        rows: Vec<Vec<Option<String>>>,
        ordered: bool,
        /// The command tag, such as `SELECT 1`.
        tag: String,
    },
    /// A statement without rows: its command tag, such as `UPDATE 1`.
    Done {
        tag: String,
    },
    Error(StepError),
}

/// An error of the server, less what names a process, a transaction or an object by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    pub sqlstate: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEnd {
    /// No error ended the session, and its last transaction was not rolled back.
    pub committed: bool,
    /// The error that ended the session.
    pub error: Option<StepError>,
    /// How often it ran a transaction again.
    pub retries: u32,
    /// Its variables at the end, by name, as text.
    pub variables: Vec<(String, Option<String>)>,
}
