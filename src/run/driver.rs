//! One session's connection: how a statement is sent on it, and what the server says about its transaction.

use std::task::{Context, Poll, ready};

use super::RunError;
use super::checks::Checks;
use super::level::Level;
use super::session::{DeadlockCheck, Pending, WaitTimeout};
use super::timeouts::{self, SessionTimeouts, StepSql};
use crate::history::TxEnd;
use crate::postgres::PostgresError;
use crate::postgres::wire::{
    Connection, Reply, ResultSet, ServerError, ServerEvent, TransactionStatus, Value, WireError,
};
use crate::sql::{Isolation, StatementKind};

/// What a session has that a new connection does not.
const LEFT_BEHIND: &str = "SELECT concat_ws(', ',
   (SELECT 'settings ' || string_agg(name, ' ' ORDER BY name) FROM pg_catalog.pg_settings
    WHERE source = 'session' AND setting IS DISTINCT FROM reset_val),
   (SELECT 'prepared statements' WHERE EXISTS (SELECT FROM pg_catalog.pg_prepared_statements
    WHERE NOT starts_with(name, 'pgbraid'))),
   (SELECT 'cursors' WHERE EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable)),
   (SELECT 'channels' WHERE EXISTS (SELECT FROM pg_catalog.pg_listening_channels())),
   (SELECT 'advisory locks' WHERE EXISTS (SELECT FROM pg_catalog.pg_locks
    WHERE locktype = 'advisory' AND pid = pg_backend_pid())),
   (SELECT 'role' WHERE current_user <> session_user),
   (SELECT 'temporary tables' WHERE EXISTS (SELECT FROM pg_catalog.pg_class
    WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r')))";

/// Does what the end of a connection does to its advisory locks. Closing it and opening another would cost more, and a
/// closed connection's locks are released only when its process has ended, which the client does not learn.
pub const FREE_LOCKS: &str = "SELECT pg_advisory_unlock_all()";
/// This is not a transaction of the session, so it does not have the level that the session has set.
const BEGIN_OF_OWN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE NOT DEFERRABLE";

const DEADLOCK_DETECTED: &str = "40P01";

/// Sends a session's statements, one at a time. An autocommitted one becomes two: a BEGIN is sent before it, and its
/// commit is a turn of its own. The replies do not reveal that the client did not ask for this.
pub struct Driver {
    /// The session's name.
    name: String,
    connection: Connection,
    checks: Checks,
    /// Present if a session of the scenario may have a timeout.
    timeouts: Option<SessionTimeouts>,
    /// The level that the session starts with.
    isolation: Isolation,
    level: Level,
    savepoint_open: bool,
    /// The last transaction that ended was rolled back.
    rolled_back: bool,
    /// The BEGIN that belongs before the next statement has been sent on its own.
    begun: bool,
    under_way: Option<Request>,
    sent: Vec<Sent>,
}

/// A statement, and how it is to be sent.
#[derive(Debug, Clone)]
pub struct Request {
    pub action: Action,
    pub pending: Pending,
    /// The statement with `$n` for its values.
    pub sql: String,
    pub values: Vec<Value>,
    /// BEGIN to send before it, in the form in which it is sent.
    pub begin: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A step as written.
    Statement,
    /// A statement outside a transaction: BEGIN is sent before it, and a commit of its own follows.
    Autocommitted,
    Commit,
    Rollback,
    /// What the end of the connection does to advisory locks.
    Disconnect,
}

/// The reply to a request.
pub struct Answer {
    pub request: Request,
    pub result: Result<ResultSet, Box<ServerError>>,
    /// The level of the transaction that the statement was in.
    pub isolation: Isolation,
    /// How the statement ended it.
    pub end: Option<TxEnd>,
    /// The statement opened a transaction.
    pub opened: bool,
    /// For a deadlock's victim: the backends that the server named in the cycle, the victim's own blocker first.
    pub deadlock: Vec<i32>,
}

/// What has happened to the statement that was sent.
pub enum Received {
    Answered(Box<Answer>),
    /// It waits, and the server's deadlock check has run and found none.
    StillWaiting,
    /// The wait that was reported is over.
    Acquired,
}

/// A step in the form in which the server received it.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The statement with `$n` for its values.
    pub sql: String,
    pub values: Vec<Value>,
}

impl Request {
    /// A request of pgbraid's own: the commit of an autocommitted statement, a ROLLBACK, the end of the connection.
    pub fn own(action: Action, pending: Pending, begin: Option<String>) -> Request {
        let sql = match action {
            Action::Disconnect => FREE_LOCKS.to_owned(),
            _ => pending.statement.sql.clone(),
        };
        Request {
            action,
            pending,
            sql,
            values: Vec::new(),
            begin,
        }
    }

    fn step(&self) -> usize {
        self.pending.origin.step()
    }

    fn kind(&self) -> StatementKind {
        self.pending.statement.kind
    }
}

impl Driver {
    pub fn new(
        name: &str,
        isolation: Isolation,
        connection: Connection,
        default_check: Option<DeadlockCheck>,
        timeouts: Option<SessionTimeouts>,
    ) -> Driver {
        Driver {
            name: name.to_owned(),
            connection,
            checks: Checks::new(default_check),
            timeouts,
            isolation,
            level: Level::new(isolation),
            savepoint_open: false,
            rolled_back: false,
            begun: false,
            under_way: None,
            sent: Vec::new(),
        }
    }

    pub fn backend_pid(&self) -> i32 {
        self.connection.backend_pid()
    }

    /// Whether a transaction is open.
    pub fn is_open(&self) -> bool {
        self.connection.transaction() != TransactionStatus::Idle
    }

    /// Whether locks from before a savepoint outlive an error.
    pub fn has_savepoint(&self) -> bool {
        self.savepoint_open
    }

    /// The coming ROLLBACK is a turn of its own.
    pub fn keep_locks(&mut self) {
        self.savepoint_open = true;
    }

    pub fn has_rolled_back(&self) -> bool {
        self.rolled_back
    }

    /// What was sent, one entry for each turn of the session.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// Begins to make the session ready for another run: on the server as if newly connected.
    pub async fn begin_reset(&mut self) -> Result<(), RunError> {
        if self.is_open() {
            self.connection.simple("ROLLBACK").await.map_err(PostgresError::from)?;
        }
        self.connection
            .queue_simple("DISCARD ALL")
            .map_err(PostgresError::from)?;
        self.connection.flush().await.map_err(PostgresError::from)?;
        Ok(())
    }

    /// Completes what [`Driver::begin_reset`] began.
    pub async fn end_reset(&mut self) -> Result<(), RunError> {
        let reply = self.connection.reply().await.map_err(PostgresError::from)?;
        reply.into_result().map_err(|error| PostgresError::Query {
            doing: "making a session as if newly connected",
            error,
        })?;
        self.checks.forget();
        self.level = Level::new(self.isolation);
        self.savepoint_open = false;
        self.rolled_back = false;
        self.begun = false;
        self.under_way = None;
        if let Some(timeouts) = &mut self.timeouts {
            timeouts.reset();
        }
        self.sent.clear();
        Ok(())
    }

    /// What an earlier run has left on the connection, in words.
    pub async fn left_behind(&mut self) -> Result<Option<String>, RunError> {
        let reply = self.connection.simple(LEFT_BEHIND).await.map_err(PostgresError::from)?;
        let result = reply.into_result().map_err(|error| PostgresError::Query {
            doing: "comparing a session with a new connection",
            error,
        })?;
        let found = result.scalar().unwrap_or_default();
        Ok((!found.is_empty()).then(|| format!("session {}: {found}", self.name)))
    }

    /// Sends the BEGIN before the next statement on its own, as a client does.
    pub async fn send_begin(&mut self, sql: &str) -> Result<(), RunError> {
        if !self.begun {
            let reply = self.connection.simple(sql).await.map_err(PostgresError::from)?;
            self.begun = reply.error.is_none();
        }
        Ok(())
    }

    /// Rolls back after an error. This is not a turn if the error has released everything already.
    pub async fn roll_back(&mut self) -> Result<(), RunError> {
        let reply = self.connection.simple("ROLLBACK").await.map_err(PostgresError::from)?;
        reply.into_result().map_err(|error| PostgresError::Query {
            doing: "rolling back after an error",
            error,
        })?;
        self.checks.forget();
        Ok(())
    }

    /// Sends a statement. [`Driver::poll`] gives the reply.
    pub async fn send(&mut self, request: Request, check: DeadlockCheck) -> Result<(), RunError> {
        let queued = self.queue(&request, check);
        let flushed = match queued {
            Ok(()) => self.connection.flush().await,
            Err(error) => Err(error),
        };
        flushed.map_err(|error| self.lost(&request, error))?;
        self.sent.push(Sent {
            sql: request.sql.clone(),
            values: request.values.clone(),
        });
        self.under_way = Some(request);
        Ok(())
    }

    /// Everything is one request: if BEGIN fails, the rest is skipped.
    fn queue(&mut self, request: &Request, check: DeadlockCheck) -> Result<(), WireError> {
        let begin = match request.action {
            Action::Autocommitted => Some("BEGIN".to_owned()),
            Action::Disconnect => Some(BEGIN_OF_OWN.to_owned()),
            _ => request.begin.clone().filter(|_| !std::mem::take(&mut self.begun)),
        };
        if let Some(begin) = &begin {
            self.connection.queue_statement(begin, &[])?;
        }
        let in_transaction = begin.is_some() || self.connection.transaction() == TransactionStatus::Open;
        if in_transaction {
            self.queue_deadlock_check(check)?;
        }
        let mut instead = None;
        if let Some(timeouts) = &mut self.timeouts
            && matches!(request.action, Action::Statement | Action::Autocommitted)
        {
            let sql = timeouts.begin(request.step(), in_transaction);
            for sql in &sql.ahead {
                self.connection.queue_statement(sql, &[])?;
            }
            let StepSql { instead: other, .. } = sql;
            instead = other;
        }
        let text = instead.as_deref().unwrap_or(&request.sql);
        self.connection.queue_statement(text, &request.values)?;
        if request.action == Action::Disconnect {
            self.connection.queue_statement("COMMIT", &[])?;
        }
        if self.shows_timeouts(request) {
            for name in timeouts::NAMES {
                self.connection.queue_statement(&format!("SHOW {name}"), &[])?;
            }
        }
        self.connection.queue_sync();
        Ok(())
    }

    fn queue_deadlock_check(&mut self, check: DeadlockCheck) -> Result<(), WireError> {
        match self.checks.change_to(check) {
            Some(sql) => self.connection.queue_statement(sql, &[]),
            None => Ok(()),
        }
    }

    fn lost(&self, request: &Request, error: WireError) -> RunError {
        RunError::Session {
            session: self.name.clone(),
            step: request.pending.name.clone(),
            source: error.into(),
        }
    }

    /// Whether the values of the timeouts are queried after a step, because it may have changed them. That takes no
    /// snapshot. A statement that PostgreSQL refuses in a block is sent alone, and the values are queried later.
    fn shows_timeouts(&self, request: &Request) -> bool {
        self.timeouts.is_some()
            && match request.action {
                Action::Statement | Action::Autocommitted => request.kind() != StatementKind::OutsideBlock,
                Action::Commit | Action::Rollback => true,
                Action::Disconnect => false,
            }
    }

    /// What has happened to the statement that was sent. Pending for ever if none was.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, RunError>> {
        let event = ready!(self.connection.poll_event(cx)).map_err(|error| RunError::Session {
            session: self.name.clone(),
            step: self
                .under_way
                .as_ref()
                .map(|request| request.pending.name.clone())
                .unwrap_or_default(),
            source: error.into(),
        })?;
        match event {
            ServerEvent::Reply(reply) => match self.under_way.take() {
                Some(request) => Poll::Ready(Ok(Received::Answered(Box::new(self.take_in(request, reply))))),
                None => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            },
            ServerEvent::StillWaiting => Poll::Ready(Ok(Received::StillWaiting)),
            ServerEvent::Acquired => Poll::Ready(Ok(Received::Acquired)),
        }
    }

    fn take_in(&mut self, request: Request, mut reply: Reply) -> Answer {
        let shows_timeouts = self.shows_timeouts(&request);
        if let Some(timeouts) = &mut self.timeouts {
            timeouts.take_in(&mut reply, shows_timeouts);
        }
        let Pending {
            statement,
            origin,
            begin,
            opens,
            ..
        } = &request.pending;
        let is_of_session = request.action != Action::Disconnect;
        let opened = is_of_session
            && *opens
            && (begin.is_some() || request.action == Action::Autocommitted || statement.kind == StatementKind::Begin);
        if opened {
            self.savepoint_open = false;
        }
        if is_of_session && reply.transaction == TransactionStatus::Idle {
            self.checks.forget();
            self.rolled_back = reply.results.last().is_some_and(|result| result.tag == "ROLLBACK");
        }
        let deadlock = reply.error.as_deref().map(deadlocked_backends).unwrap_or_default();
        let result = reply.into_result();
        let isolation = self
            .level
            .take_in(begin.as_deref(), *origin, statement.kind, &statement.sql);
        let tag = result.as_ref().ok().map(|result| result.tag.as_str());
        let end = TxEnd::of(*origin, statement.kind, tag);
        if end.is_some() {
            self.level.end_transaction();
        }
        match statement.kind {
            StatementKind::Savepoint if result.is_ok() => self.savepoint_open = true,
            // it undoes the setting of a deadlock check after the savepoint
            StatementKind::RollbackTo if result.is_ok() => self.checks.forget(),
            _ => {}
        }
        Answer {
            request,
            result,
            isolation,
            end,
            opened,
            deadlock,
        }
    }

    /// The timeout that would end the step under way if it waited long enough.
    pub fn timeout(&self) -> Option<WaitTimeout> {
        let request = self.under_way.as_ref()?;
        self.timeouts.as_ref()?.that_fires(request.step())
    }

    /// Why it is not known what a timeout would do to the step under way, in words.
    pub fn timeout_not_explored(&self) -> Option<String> {
        let request = self.under_way.as_ref()?;
        self.timeouts.as_ref()?.not_explored(request.step())
    }

    /// The step under way is about to be cancelled: the resulting error is to be shown as that of its timeout.
    pub fn expire(&mut self) {
        let fires = self.timeout();
        if let Some(timeouts) = &mut self.timeouts {
            timeouts.expire(fires);
        }
    }

    /// Makes sure that the server has no timeout by which it could end a step.
    pub async fn stand_in_for_timeouts(&mut self) -> Result<(), RunError> {
        let status = self.connection.transaction();
        let Some(timeouts) = &mut self.timeouts else {
            return Ok(());
        };
        if status == TransactionStatus::Aborted {
            return Ok(());
        }
        if timeouts.are_stale() {
            timeouts.ask(&mut self.connection).await?;
        }
        timeouts
            .stand_in(&mut self.connection, status == TransactionStatus::Open)
            .await?;
        Ok(())
    }
}

/// The backends in a deadlock's cycle, from the error's detail: `Process 11 waits for ShareLock on transaction 7;
/// blocked by process 12.`, one line for each process, the victim first.
pub fn deadlocked_backends(error: &ServerError) -> Vec<i32> {
    if error.sqlstate != DEADLOCK_DETECTED {
        return Vec::new();
    }
    let detail = error.detail.as_deref().unwrap_or_default();
    let blocker = |line: &str| line.rsplit_once("process ")?.1.trim_end_matches('.').parse().ok();
    detail.lines().filter_map(blocker).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadlock_names_its_backends_with_the_victims_blocker_first() {
        let error = ServerError {
            sqlstate: DEADLOCK_DETECTED.into(),
            detail: Some(
                "Process 11 waits for ShareLock on transaction 7; blocked by process 12.\n\
                 Process 12 waits for ShareLock on transaction 8; blocked by process 11."
                    .into(),
            ),
            ..ServerError::default()
        };
        assert_eq!(deadlocked_backends(&error), [12, 11]);
    }
}
