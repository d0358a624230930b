//! What was not under control in a run.

use thiserror::Error;

/// Something other than the schedule that may have decided what a run did. The text is a clause for people; programs
/// use the [code](Uncontrolled::code).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the text of each variant says what it is")]
pub enum Uncontrolled {
    #[error(
        "the server does not let pgbraid set deadlock_timeout, so which session is a deadlock's victim is not under control"
    )]
    DeadlockVictim,
    #[error("the server did not report a deadlock check in time; the victim of a deadlock may differ")]
    DeadlockCheckLate,
    #[error("a timeout that the session set ended a wait")]
    WaitTimedOut,
    /// It is not known what a timeout would do to a step that waited. Holds the reason in words.
    #[error("{0}")]
    TimeoutNotExplored(String),
    #[error(
        "a serializable transaction was released, and on a server that pgbraid did not start it cannot let it wait until \
         the other's commit is complete"
    )]
    SerializableReleased,
    #[error(
        "a session was released while others had steps left, and on a server that pgbraid did not start it cannot let \
         those come first"
    )]
    ReleasedAhead,
    #[error(
        "sessions were released together, and on a server that pgbraid did not start it cannot decide which resumes first"
    )]
    ReleasedTogether,
    #[error(
        "the program of session {session} sent statements over two connections at the same time, and pgbraid runs them \
         one after the other, in the order in which they came; `connections` in the scenario makes each a session"
    )]
    ConcurrentConnections { session: String },
    /// A request was under way whose handling waited for another's, in the same process, as a statement came.
    #[error(
        "a statement came while requests to instance {instance} waited for each other inside it, and to which of them it \
         belongs is not known"
    )]
    RequestsNotToldApart {
        /// The service's name, and the number of the instance.
        instance: String,
    },
    #[error("session {session} waited for something outside the database that no other session gave it: a timer, say")]
    WaitedForTimer {
        /// The session's name.
        session: String,
    },
    /// What a service does after it has answered is part of no request.
    #[error(
        "instance {instance} had work left when it had answered, which waits for a time: what it does then, and in which \
         order with other requests, is not explored"
    )]
    WorkLeft {
        /// The service's name, and the number of the instance.
        instance: String,
    },
    /// What a program does elsewhere is in no schedule.
    #[error(
        "{program} connected to pgbraid in no run: does it use the address that DATABASE_URL, or PGHOST and PGPORT, name?"
    )]
    NeverConnected {
        /// The session's program, or the service, in words.
        program: String,
    },
    /// A program is notified, and what it does then is no answer to a statement.
    #[error(
        "program {program} was notified of something (LISTEN): when that reaches it, and what it does then, is not scheduled"
    )]
    Notified {
        /// The session's name, or that of the service with the number of the instance.
        program: String,
    },
    /// In which order programs look at their clocks is no part of a schedule.
    #[error(
        "programs send times of their own clocks, and something compares times: in which order programs take them is not \
         explored"
    )]
    OwnClock,
    #[error("the program of session {session} cancelled a statement that waited, by a timer of its own")]
    ProgramCancelled { session: String },
    #[error(
        "session {session} waited for a lock on a file, or for another request to its service, before its first statement, \
         and in which order programs start is not explored"
    )]
    StartOrder { session: String },
    #[error(
        "session {session} changes the schema, and what drivers read of the system catalogs was not scheduled; \
         `prelude = \"scheduled\"` in the scenario has that scheduled too"
    )]
    PreludeNotScheduled {
        /// The session's name.
        session: String,
    },
    #[error(
        "statements of the programs take the time of their transactions, and when those begin was not scheduled in every \
         run; the strategy dpor does that"
    )]
    BeginNotScheduled,
    /// A statement may lock whole tables, and what prepares a statement waits for that.
    #[error(
        "a statement may lock whole tables, and when programs prepare theirs was not scheduled in every run; the strategy \
         dpor does that"
    )]
    PrepareNotScheduled,
    /// The run began in a state other than the one after setup. Holds what differed.
    #[error(
        "a run began in another state than the one after setup, because an earlier run left something behind that \
         pgbraid does not restore: {}",
        .0.join(", ")
    )]
    LeftBehind(Vec<String>),
    #[error("in two runs of the same schedule, {0}")]
    RunsDiffer(RunDifference),
    #[error(
        "the program of session {session} got the same answers in two runs and did not do the same at step {step}: \
         time, chance, or work outside the run decides"
    )]
    ProgramDiffers {
        /// The session's name.
        session: String,
        /// The step's name.
        step: String,
    },
    #[error(
        "more than {runs} runs are needed to find a serial order for the outcome of a schedule, or to know that there is none"
    )]
    SerialOrders { runs: usize },
    #[error(
        "a serial order of the transactions did something else when it was run again: time, chance, or work outside the run decides"
    )]
    SerialOrderDiffers,
    #[error(
        "a transaction of session {session} failed, and it did something else then; whether a serial order leads to the same is \
         not known, since the transaction fails in none"
    )]
    SerialAfterFailure {
        /// The session's name.
        session: String,
    },
    #[error(
        "session {session} had transactions open on two connections at the same time, which have no place in a serial order"
    )]
    TransactionsOverlap {
        /// The session's name.
        session: String,
    },
    #[error("session {session} prepared a transaction, which has no place in a serial order")]
    TransactionPrepared {
        /// The session's name.
        session: String,
    },
    /// A run after the search, which confirms what it found, has met a statement that is new.
    #[error("the programs did something that no run of the search had shown, when a schedule was run again at its end")]
    SeenLate,
    #[error(
        "the program of session {session} did not do at step {step} what it had done before when it was told the same: \
         time, chance, or work outside the run decides"
    )]
    LearnedDiffers {
        /// The session's name.
        session: String,
        /// The step's name.
        step: String,
    },
    #[error("two runs of the same schedule left table {table} in different states")]
    TablesDiffer { table: String },
    /// Moves are counted from 1.
    #[error("two runs of the same schedule differ at move {number}")]
    MovesDiffer { number: usize },
    #[error("one run of the same schedule ended before move {number}")]
    EndedEarly { number: usize },
    #[error("a session that was enabled at move {number} of one run was not in another")]
    NotEnabled { number: usize },
}

impl Uncontrolled {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Uncontrolled::DeadlockVictim => "deadlock-victim",
            Uncontrolled::DeadlockCheckLate => "deadlock-check-late",
            Uncontrolled::WaitTimedOut => "wait-timed-out",
            Uncontrolled::TimeoutNotExplored(_) => "timeout-not-explored",
            Uncontrolled::SerializableReleased => "serializable-released",
            Uncontrolled::ReleasedAhead => "released-ahead",
            Uncontrolled::ReleasedTogether => "released-together",
            Uncontrolled::ConcurrentConnections { .. } => "concurrent-connections",
            Uncontrolled::RequestsNotToldApart { .. } => "requests-not-told-apart",
            Uncontrolled::WaitedForTimer { .. } => "waited-for-timer",
            Uncontrolled::WorkLeft { .. } => "work-left",
            Uncontrolled::NeverConnected { .. } => "never-connected",
            Uncontrolled::Notified { .. } => "notified",
            Uncontrolled::OwnClock => "own-clock",
            Uncontrolled::ProgramCancelled { .. } => "program-cancelled",
            Uncontrolled::StartOrder { .. } => "start-order",
            Uncontrolled::PreludeNotScheduled { .. } => "prelude-not-scheduled",
            Uncontrolled::PrepareNotScheduled => "prepare-not-scheduled",
            Uncontrolled::BeginNotScheduled => "begin-not-scheduled",
            Uncontrolled::LeftBehind(_) => "left-behind",
            Uncontrolled::SerialOrders { .. } => "serial-orders",
            Uncontrolled::SerialAfterFailure { .. } => "serial-after-failure",
            Uncontrolled::TransactionsOverlap { .. } => "transactions-overlap",
            Uncontrolled::TransactionPrepared { .. } => "transaction-prepared",
            Uncontrolled::TablesDiffer { .. } => "tables-differ",
            Uncontrolled::RunsDiffer(_)
            | Uncontrolled::SeenLate
            | Uncontrolled::SerialOrderDiffers
            | Uncontrolled::ProgramDiffers { .. }
            | Uncontrolled::LearnedDiffers { .. }
            | Uncontrolled::MovesDiffer { .. }
            | Uncontrolled::EndedEarly { .. }
            | Uncontrolled::NotEnabled { .. } => "runs-differ",
        }
    }
}

/// Where two runs of the same schedule differed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the text of each variant says what it is")]
pub enum RunDifference {
    #[error("step {step} of {session} behaved differently")]
    Step { session: String, step: String },
    #[error("step {step} of {session} gave different results")]
    Result { session: String, step: String },
    #[error("different sessions were enabled before step {step} of {session}")]
    Enabled { session: String, step: String },
    #[error("the sessions ended differently")]
    Ends,
    #[error("they broke different invariants")]
    Violations,
}
