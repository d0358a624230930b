//! What one run did, with nothing in it that differs between two runs of the same schedule.

/// What one run did: every step with its result, its waits and when it went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The sessions' names; everything else refers to a session by its index here.
    pub sessions: Vec<String>,
    /// One entry a step sent, in the order in which they were sent. The index is the turn.
    pub turns: Vec<Turn>,
    /// What was scheduled, in order: every step sent, and every resumption of a session that had been released.
    pub moves: Vec<Move>,
    /// How each session ended, by session.
    pub ends: Vec<SessionEnd>,
}

impl History {
    /// All of it.
    pub fn so_far(&self) -> SoFar<'_> {
        SoFar {
            turns: &self.turns,
            moves: &self.moves,
        }
    }
}

/// What can be scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MoveKind {
    /// A session sends its next step.
    Step,
    /// A session whose step was blocked, and that has been released, runs until the step is over or blocked anew.
    Resume,
    /// The step of a blocked session is ended by a timeout that the session has set.
    Timeout,
}

/// One choice of the schedule, and whom it moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub session: usize,
    pub kind: MoveKind,
    /// The turn of its step.
    pub turn: usize,
    /// Turns whose steps were over with it, in the order in which they ended.
    pub finished: Vec<usize>,
    /// Sessions that it released: they are resumed by moves of their own.
    pub released: Vec<usize>,
    /// Other sessions that came from one wait into another.
    pub moved: Vec<usize>,
    /// Sessions that may run their transactions again, now that one which their error released has resumed.
    pub lets_retry: Vec<usize>,
}

impl Move {
    pub fn new(session: usize, kind: MoveKind, turn: usize) -> Move {
        Move {
            session,
            kind,
            turn,
            finished: Vec::new(),
            released: Vec::new(),
            moved: Vec::new(),
            lets_retry: Vec::new(),
        }
    }
}

/// A run up to a choice: steps that are blocked have [`Turn::IN_FLIGHT`] for their end.
#[derive(Debug, Clone, Copy)]
pub struct SoFar<'a> {
    pub turns: &'a [Turn],
    pub moves: &'a [Move],
}

impl SoFar<'_> {
    /// Of released sessions, the one that began to wait first.
    pub fn first_to_wait(self, released: impl Iterator<Item = usize>) -> Option<usize> {
        // a session waits from its own last move on
        released.min_by_key(|&session| self.moves.iter().rposition(|one| one.session == session))
    }
}

/// A session sent a step.
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
    /// BEGIN (or START TRANSACTION …) sent right ahead of the step, as written; `None` where the transaction was open.
    pub begin: Option<String>,
    /// 0 for the first run of a transaction, 1 for the first retry, …
    pub attempt: u32,
    pub result: StepResult,
    /// The waits of this step, in order; empty where it never blocked.
    pub waits: Vec<Wait>,
    /// The last turn by the time that this step finished: its own index where it never blocked.
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
    /// The last turn by the time that this wait ended.
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
