//! A session whose steps are those of a scenario.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::binding::{bind, from_params};
use super::level::Level;
use super::session::{DeadlockCheck, Finished, Progress, Session, StepInfo, WaitTimeout};
use super::timeouts::{self, SessionTimeouts, StepSql};
use super::{Conditions, RunError};
use crate::history::{
    DISCONNECT, Origin, SessionEnd, Statement, StepError, StepOutcome, StepResult, TxEnd, Variables, Volatile,
};
use crate::postgres::PostgresError;
use crate::postgres::wire::{Connection, Event, Reply, ResultSet, ServerError, TransactionStatus, Value, WireError};
use crate::scenario::{self, Step};
use crate::sql::StatementKind;

/// How long a session that may close a cycle waits before its deadlock check; the least that Postgres takes.
const CHECK_SOON: &str = "SET LOCAL deadlock_timeout = '1ms'";
const CHECK_NEVER: &str = "SET LOCAL deadlock_timeout = '1h'";

/// What a session has that a new connection has not.
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

/// The end of a connection frees its advisory locks. To close it and open another would cost more, and a closed
/// connection's locks are only free when its process has ended, of which the client is not told.
const FREE_LOCKS: &str = "SELECT pg_advisory_unlock_all()";
/// It is no transaction of the session's, so it is none of the level that the session has set.
const BEGIN_OF_OWN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE NOT DEFERRABLE";

const DEADLOCK_DETECTED: &str = "40P01";

/// Runs a session's steps on a connection.
pub struct Script {
    session: scenario::Session,
    statements: Statements,
    volatile: Arc<Volatile>,
    connection: Connection,
    /// The deadlock check that the session starts with; `None` where the server does not let us set it.
    default_check: Option<DeadlockCheck>,
    /// The session may take advisory locks that outlive transactions.
    may_keep_locks: bool,
    /// Where a session of the scenario may have a timeout.
    timeouts: Option<SessionTimeouts>,
    /// The end of its connection was a turn.
    disconnected: bool,
    /// The one that the transaction has set for itself.
    transaction_check: Option<DeadlockCheck>,
    variables: Variables,
    next: Option<Next>,
    in_flight: Option<Next>,
    /// The next step to look at.
    cursor: usize,
    /// A BEGIN that goes ahead of the next statement.
    pending_begin: Option<usize>,
    /// It has been sent on its own.
    begun: bool,
    /// What a retry comes back to.
    transaction_start: Option<TransactionStart>,
    retries_of_transaction: u32,
    retries: u32,
    savepoint_open: bool,
    error: Option<StepError>,
    /// The last transaction that ended was rolled back.
    rolled_back: bool,
    level: Level,
    /// Results of the steps that count: a retried transaction's earlier attempts do not.
    results: Vec<StepOutcome>,
    ended: bool,
    sent: Vec<Sent>,
}

/// A session's statements, as its turns have them.
struct Statements {
    steps: Vec<Arc<Statement>>,
    commit: Arc<Statement>,
    rollback: Arc<Statement>,
    disconnect: Arc<Statement>,
}

impl Statements {
    fn new(session: &scenario::Session) -> Statements {
        let statement = |sql: &str| Arc::new(Statement::of(sql));
        Statements {
            steps: session.steps.iter().map(|step| statement(&step.sql.text)).collect(),
            commit: statement("COMMIT"),
            rollback: statement("ROLLBACK"),
            disconnect: statement("(disconnect)"),
        }
    }

    fn of(&self, origin: Origin) -> Arc<Statement> {
        match origin {
            Origin::Step(step) => &self.steps[step],
            Origin::Autocommit(_) => &self.commit,
            Origin::Rollback(_) => &self.rollback,
            Origin::Disconnect(_) => &self.disconnect,
        }
        .clone()
    }
}

/// A step as the server received it.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The statement with `$n` for its values.
    pub sql: String,
    pub values: Vec<Value>,
}

#[derive(Debug, Clone)]
struct TransactionStart {
    cursor: usize,
    variables: Variables,
    results: usize,
}

#[derive(Debug, Clone)]
struct Next {
    action: Action,
    info: StepInfo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// A step as it stands.
    Statement,
    /// A statement outside a transaction: BEGIN is sent ahead, and a commit of its own follows.
    Autocommitted,
    Commit,
    Rollback,
    /// What the end of the connection does to advisory locks.
    Disconnect,
}

impl Script {
    pub fn new(
        session: scenario::Session,
        connection: Connection,
        volatile: Arc<Volatile>,
        default_check: Option<DeadlockCheck>,
        may_keep_locks: bool,
        timeouts: Option<SessionTimeouts>,
    ) -> Script {
        let variables = from_params(&session.params);
        Script {
            statements: Statements::new(&session),
            level: Level::new(session.isolation),
            session,
            volatile,
            connection,
            default_check,
            may_keep_locks,
            timeouts,
            disconnected: false,
            transaction_check: None,
            variables,
            next: None,
            in_flight: None,
            cursor: 0,
            pending_begin: None,
            begun: false,
            transaction_start: None,
            retries_of_transaction: 0,
            retries: 0,
            savepoint_open: false,
            error: None,
            rolled_back: false,
            results: Vec::new(),
            ended: false,
            sent: Vec::new(),
        }
    }

    /// Begins to make the session ready for another run: on the server as if newly connected.
    pub async fn begin_reset(&mut self) -> Result<(), RunError> {
        if self.open() {
            self.connection.simple("ROLLBACK").await.map_err(PostgresError::from)?;
        }
        self.connection
            .queue_simple("DISCARD ALL")
            .map_err(PostgresError::from)?;
        self.connection.flush().await.map_err(PostgresError::from)?;
        Ok(())
    }

    /// Ends what [`Script::begin_reset`] began: the steps are all ahead again.
    pub async fn end_reset(&mut self) -> Result<(), RunError> {
        let reply = self.connection.reply().await.map_err(PostgresError::from)?;
        reply.into_result().map_err(|error| PostgresError::Query {
            doing: "making a session as if newly connected",
            error,
        })?;
        self.variables = from_params(&self.session.params);
        self.transaction_check = None;
        self.next = None;
        self.in_flight = None;
        self.cursor = 0;
        self.pending_begin = None;
        self.begun = false;
        self.transaction_start = None;
        self.retries_of_transaction = 0;
        self.retries = 0;
        self.savepoint_open = false;
        self.error = None;
        self.rolled_back = false;
        self.level = Level::new(self.session.isolation);
        self.results.clear();
        self.ended = false;
        self.disconnected = false;
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
        Ok((!found.is_empty()).then(|| format!("session {}: {found}", self.session.name)))
    }

    /// How the session ended.
    pub fn end(&self) -> SessionEnd {
        SessionEnd {
            committed: self.error.is_none() && !self.rolled_back,
            error: self.error.clone(),
            retries: self.retries,
            variables: self.variables.shown(),
        }
    }

    /// Its variables with the values that the server sent.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    /// What the session's steps brought back, by index; a retried transaction counts once, as it ended.
    pub fn results(&self) -> &[StepOutcome] {
        &self.results
    }

    /// What was sent, one entry for each turn of the session.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// Sends a BEGIN that is ahead of the next statement on its own, as a client does.
    pub(super) async fn send_begin(&mut self) -> Result<(), RunError> {
        if let Some(begin) = self.pending_begin.filter(|_| !self.begun) {
            let sql = &self.session.steps[begin].template.text;
            let reply = self.connection.simple(sql).await.map_err(PostgresError::from)?;
            self.begun = reply.error.is_none();
        }
        Ok(())
    }

    fn open(&self) -> bool {
        self.connection.transaction() != TransactionStatus::Idle
    }

    fn step_info(&self, origin: Origin) -> StepInfo {
        let step = &self.session.steps[origin.step()];
        let name = match origin {
            Origin::Step(_) => step.name.clone(),
            Origin::Autocommit(_) => format!("commit of {}", step.name),
            Origin::Rollback(_) => format!("rollback of {}", step.name),
            Origin::Disconnect(_) => DISCONNECT.to_owned(),
        };
        let statement = self.statements.of(origin);
        let filled = match origin {
            Origin::Step(_) => step.template.fill(|variable| self.variables.literal(variable)),
            _ => statement.sql.clone(),
        };
        let variables = step.template.variables.iter().filter(|_| origin.is_step());
        StepInfo {
            name,
            statement,
            origin,
            filled,
            opens: !self.open(),
            values: variables
                .map(|variable| self.variables.plain_value(&variable.name))
                .collect(),
            begin: self
                .pending_begin
                .map(|begin| self.session.steps[begin].sql.text.clone()),
            attempt: self.retries_of_transaction,
        }
    }

    fn start_transaction(&mut self, cursor: usize) {
        if self
            .transaction_start
            .as_ref()
            .is_none_or(|start| start.cursor != cursor)
        {
            self.retries_of_transaction = 0;
        }
        self.transaction_start = Some(TransactionStart {
            cursor,
            variables: self.variables.clone(),
            results: self.results.len(),
        });
    }

    fn queue_deadlock_check(&mut self, check: DeadlockCheck) -> Result<(), WireError> {
        let Some(default) = self.default_check else {
            return Ok(());
        };
        if self.transaction_check.unwrap_or(default) == check {
            return Ok(());
        }
        let sql = match check {
            DeadlockCheck::Soon => CHECK_SOON,
            DeadlockCheck::Never => CHECK_NEVER,
        };
        self.transaction_check = Some(check);
        self.connection.queue_statement(sql, &[])
    }

    async fn send(&mut self, next: &Next, check: DeadlockCheck) -> Result<(), RunError> {
        let wire = |error| PostgresError::Wire(error);
        let step = &self.session.steps[next.info.origin.step()];
        let (sql, values) = match next.action {
            Action::Statement | Action::Autocommitted => {
                let values = bind(&self.variables, &self.session.name, &step.template, &step.sql)?;
                (step.template.text.clone(), values)
            }
            Action::Commit => ("COMMIT".to_owned(), Vec::new()),
            Action::Rollback => ("ROLLBACK".to_owned(), Vec::new()),
            Action::Disconnect => (FREE_LOCKS.to_owned(), Vec::new()),
        };
        let begin = match next.action {
            Action::Autocommitted => Some("BEGIN".to_owned()),
            Action::Disconnect => Some(BEGIN_OF_OWN.to_owned()),
            _ => self
                .pending_begin
                .filter(|_| !std::mem::take(&mut self.begun))
                .map(|begin| self.session.steps[begin].template.text.clone()),
        };
        // one request: where BEGIN fails, the rest is skipped
        if let Some(begin) = &begin {
            self.connection.queue_statement(begin, &[]).map_err(wire)?;
        }
        if begin.is_some() || self.connection.transaction() == TransactionStatus::Open {
            self.queue_deadlock_check(check).map_err(wire)?;
        }
        let in_transaction = begin.is_some() || self.connection.transaction() == TransactionStatus::Open;
        let mut to_send = None;
        if let Some(timeouts) = &mut self.timeouts
            && matches!(next.action, Action::Statement | Action::Autocommitted)
        {
            let StepSql { ahead, instead } = timeouts.begin(next.info.origin.step(), in_transaction);
            for sql in ahead {
                self.connection.queue_statement(&sql, &[]).map_err(wire)?;
            }
            to_send = instead;
        }
        let text = to_send.as_deref().unwrap_or(&sql);
        self.connection.queue_statement(text, &values).map_err(wire)?;
        if next.action == Action::Disconnect {
            self.connection.queue_statement("COMMIT", &[]).map_err(wire)?;
        }
        if self.shows_timeouts(next) {
            for name in timeouts::NAMES {
                self.connection
                    .queue_statement(&format!("SHOW {name}"), &[])
                    .map_err(wire)?;
            }
        }
        self.connection.queue_sync();
        self.connection.flush().await.map_err(wire)?;
        self.sent.push(Sent { sql, values });
        Ok(())
    }

    /// Whether a step is a BEGIN that is sent by itself, and begins a transaction.
    fn is_begin(&self, info: &StepInfo) -> bool {
        self.session.begins_apart && self.transaction_start.is_none() && info.statement.kind == StatementKind::Begin
    }

    /// Whether the values of the timeouts are asked for behind a step: where it may have changed them. That takes no
    /// snapshot. What PostgreSQL refuses in a block goes alone, and they are asked for later.
    fn shows_timeouts(&self, next: &Next) -> bool {
        let alone = self.session.steps[next.info.origin.step()].statement.kind == StatementKind::OutsideBlock;
        self.timeouts.is_some()
            && match next.action {
                Action::Statement | Action::Autocommitted => !alone,
                Action::Commit | Action::Rollback => true,
                Action::Disconnect => false,
            }
    }

    /// What the step that was sent brought back.
    fn take_in(&mut self, mut reply: Reply) -> Finished {
        let Some(next) = self.in_flight.take() else {
            return Finished::nothing();
        };
        let shows_timeouts = self.shows_timeouts(&next);
        if let Some(timeouts) = &mut self.timeouts {
            timeouts.take_in(&mut reply, shows_timeouts);
        }
        let Next { action, info } = next;
        if action == Action::Disconnect {
            return self.disconnect(&info, reply);
        }
        if let Some(begin) = self.pending_begin.take() {
            self.start_transaction(begin);
            self.savepoint_open = false;
        } else if action == Action::Autocommitted || self.is_begin(&info) {
            self.start_transaction(info.origin.step());
            self.savepoint_open = false;
        }
        if reply.transaction == TransactionStatus::Idle {
            self.transaction_check = None;
            self.rolled_back = reply.results.last().is_some_and(|result| result.tag == "ROLLBACK");
        }
        let deadlock = reply.error.as_deref().map(deadlocked_backends).unwrap_or_default();
        let result = match reply.into_result() {
            Ok(result) => self.step_result(&info, action, result),
            Err(error) => StepResult::Error(step_error(&error)),
        };
        let Statement { kind, sql, .. } = info.statement.as_ref();
        let isolation = self.level.take_in(info.begin.as_deref(), info.origin, *kind, sql);
        let end = TxEnd::of(info.origin, *kind, &result);
        if end.is_some() {
            self.level.end_transaction();
        }
        self.results.push(StepOutcome {
            origin: info.origin,
            end,
            result: result.clone(),
        });
        match &result {
            StepResult::Error(error) => self.fail(&info, error.clone()),
            _ => self.pass(action, &info),
        }
        Finished {
            result,
            isolation,
            end,
            deadlock,
        }
    }

    fn pass(&mut self, action: Action, info: &StepInfo) {
        match action {
            Action::Statement => {
                match info.statement.kind {
                    StatementKind::Savepoint => self.savepoint_open = true,
                    // it takes back a deadlock check that was set after the savepoint
                    StatementKind::RollbackTo => self.transaction_check = None,
                    _ => {}
                }
                self.cursor = info.origin.step() + 1;
                if !self.open() {
                    self.transaction_start = None;
                    self.retries_of_transaction = 0;
                }
            }
            Action::Autocommitted => self.next = Some(self.commit_of(info.origin.step())),
            Action::Commit => {
                self.cursor = info.origin.step() + 1;
                self.transaction_start = None;
                self.retries_of_transaction = 0;
            }
            // the retries of a transaction that is run again are counted on
            Action::Rollback | Action::Disconnect => {}
        }
    }

    fn disconnect(&mut self, info: &StepInfo, reply: Reply) -> Finished {
        self.disconnected = true;
        let result = match reply.into_result() {
            Ok(_) => StepResult::Done {
                tag: "DISCONNECT".to_owned(),
            },
            Err(error) => StepResult::Error(step_error(&error)),
        };
        self.results.push(StepOutcome {
            origin: info.origin,
            end: None,
            result: result.clone(),
        });
        Finished {
            result,
            ..Finished::nothing()
        }
    }

    fn commit_of(&self, index: usize) -> Next {
        Next {
            action: Action::Commit,
            info: self.step_info(Origin::Autocommit(index)),
        }
    }

    /// An error ends the session, unless it runs the transaction again.
    fn fail(&mut self, info: &StepInfo, error: StepError) {
        let retry = self
            .session
            .retry
            .as_ref()
            .is_some_and(|retry| retry.on.contains(&error.sqlstate) && self.retries_of_transaction < retry.max);
        match self.transaction_start.clone().filter(|_| retry) {
            Some(start) => {
                self.retries_of_transaction += 1;
                self.retries += 1;
                self.cursor = start.cursor;
                self.variables = start.variables;
                self.results.truncate(start.results);
            }
            // a statement outside any block has nothing to come back to but itself
            None if retry && info.statement.kind == StatementKind::OutsideBlock => {
                self.retries_of_transaction += 1;
                self.retries += 1;
                self.cursor = info.origin.step();
                self.results.pop();
            }
            None => {
                self.error = Some(error);
                self.ended = true;
            }
        }
        if self.open() {
            let rollback = Next {
                action: Action::Rollback,
                info: self.step_info(Origin::Rollback(info.origin.step())),
            };
            self.next = Some(rollback);
        }
    }

    fn step_result(&mut self, info: &StepInfo, action: Action, result: ResultSet) -> StepResult {
        let ResultSet { columns, rows, tag } = result;
        let Some(columns) = columns else {
            return StepResult::Done { tag };
        };
        let step = &self.session.steps[info.origin.step()];
        let mut shown: Vec<Vec<Option<String>>> = rows
            .iter()
            .map(|row| {
                columns
                    .iter()
                    .zip(row)
                    .map(|(column, value)| self.volatile.show(column, value))
                    .collect()
            })
            .collect();
        if matches!(action, Action::Statement | Action::Autocommitted) {
            for (index, column) in columns.iter().enumerate() {
                match (rows.as_slice(), shown.as_slice()) {
                    ([], _) => self.variables.set(&column.name, column.type_oid, None, None),
                    ([row], [shown]) => {
                        self.variables
                            .set(&column.name, column.type_oid, row[index].clone(), shown[index].clone());
                    }
                    _ => self.variables.set_several(&column.name, &step.name, rows.len()),
                }
            }
        }
        let ordered = step.statement.ordered;
        if !ordered {
            shown.sort();
        }
        StepResult::Rows {
            columns: columns.into_iter().map(|column| column.name).collect(),
            rows: shown,
            ordered,
            tag,
        }
    }

    /// The statement at `cursor`, and how it has to be sent.
    fn statement(&self, index: usize) -> Next {
        let step: &Step = &self.session.steps[index];
        let action = match step.statement.kind {
            StatementKind::Plain if !self.open() && self.pending_begin.is_none() => Action::Autocommitted,
            _ => Action::Statement,
        };
        Next {
            action,
            info: self.step_info(Origin::Step(index)),
        }
    }
}

impl Session for Script {
    fn name(&self) -> &str {
        &self.session.name
    }

    fn backend_pid(&self) -> i32 {
        self.connection.backend_pid()
    }

    fn in_transaction(&self) -> bool {
        self.open()
    }

    fn next_step(&self) -> Option<&StepInfo> {
        self.next.as_ref().map(|next| &next.info)
    }

    async fn go_on(&mut self, check: DeadlockCheck) -> Result<(), RunError> {
        let Some(next) = self.next.take() else { return Ok(()) };
        self.send(&next, check).await.map_err(|error| match error {
            RunError::Postgres(source) => RunError::Session {
                session: self.session.name.clone(),
                step: next.info.name.clone(),
                source,
            },
            other => other,
        })?;
        self.in_flight = Some(next);
        Ok(())
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, RunError>> {
        let event = ready!(self.connection.poll_event(cx)).map_err(|error| RunError::Session {
            session: self.session.name.clone(),
            step: self
                .in_flight
                .as_ref()
                .map(|next| next.info.name.clone())
                .unwrap_or_default(),
            source: error.into(),
        })?;
        Poll::Ready(Ok(match event {
            Event::Reply(reply) => Progress::Finished(self.take_in(reply)),
            Event::StillWaiting => Progress::StillWaiting,
            Event::Acquired => Progress::Acquired,
        }))
    }

    fn timeout(&self) -> Option<WaitTimeout> {
        let next = self.in_flight.as_ref()?;
        self.timeouts.as_ref()?.that_fires(next.info.origin.step())
    }

    fn timeout_not_explored(&self) -> Option<String> {
        let next = self.in_flight.as_ref()?;
        self.timeouts.as_ref()?.not_explored(next.info.origin.step())
    }

    fn expire(&mut self) {
        let fires = self.timeout();
        if let Some(timeouts) = &mut self.timeouts {
            timeouts.expire(fires);
        }
    }

    async fn find_next(&mut self, conditions: &mut Conditions<'_>) -> Result<(), RunError> {
        self.find_step(conditions).await?;
        self.stand_in_for_timeouts().await?;
        // a client that is done closes its connection, and others can come between its last commit and that
        if self.next.is_none()
            && self.may_keep_locks
            && !self.disconnected
            && let Some(last) = self.session.steps.len().checked_sub(1)
            && conditions.keeps_advisory_locks(self.connection.backend_pid()).await?
        {
            self.pending_begin = None;
            self.next = Some(Next {
                action: Action::Disconnect,
                info: self.step_info(Origin::Disconnect(last)),
            });
        }
        Ok(())
    }
}

impl Script {
    /// Sees to it that the server has no timeout that it could end a step with.
    async fn stand_in_for_timeouts(&mut self) -> Result<(), RunError> {
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

    /// The next step of the scenario, or the ROLLBACK that is due.
    async fn find_step(&mut self, conditions: &mut Conditions<'_>) -> Result<(), RunError> {
        // After an error Postgres has let go of everything that the transaction held, unless the error was inside a
        // savepoint: then the locks from before it are held until the ROLLBACK, which is a turn of its own.
        if let Some(next) = self.next.take_if(|next| next.action == Action::Rollback) {
            if self.savepoint_open {
                self.next = Some(next);
                return Ok(());
            }
            let reply = self.connection.simple("ROLLBACK").await.map_err(PostgresError::from)?;
            reply.into_result().map_err(|error| PostgresError::Query {
                doing: "rolling back after an error",
                error,
            })?;
            self.transaction_check = None;
        }
        if self.next.is_some() || self.ended {
            return Ok(());
        }
        while let Some(step) = self.session.steps.get(self.cursor) {
            if let Some(condition) = &step.when
                && !conditions
                    .is_true(&self.session.name, &step.name, condition, &self.variables)
                    .await?
            {
                self.cursor += 1;
                continue;
            }
            if step.statement.kind == StatementKind::Begin
                && !self.session.begins_apart
                && !self.open()
                && self.pending_begin.is_none()
            {
                self.pending_begin = Some(self.cursor);
                self.cursor += 1;
                continue;
            }
            self.next = Some(self.statement(self.cursor));
            return Ok(());
        }
        // a transaction that nothing ended is rolled back, as when an application gives its connection back
        if let Some(last) = self.session.steps.len().checked_sub(1).filter(|_| self.open()) {
            self.next = Some(Next {
                action: Action::Rollback,
                info: self.step_info(Origin::Rollback(last)),
            });
            self.savepoint_open = true;
            self.ended = true;
        }
        Ok(())
    }
}

fn step_error(error: &ServerError) -> StepError {
    StepError {
        sqlstate: error.sqlstate.clone(),
        message: without_numbers(&error.message),
    }
}

/// Replaces the numbers after words that name a process, a transaction or an object: they differ at every run.
fn without_numbers(message: &str) -> String {
    const NUMBERED: [&str; 5] = ["OID", "oid", "process", "transaction", "PID"];
    let words = message.split(' ').scan("", |before, word| {
        let masked = NUMBERED.contains(before) && word.trim_end_matches([',', '.', ':', ';']).parse::<u64>().is_ok();
        *before = word;
        Some(if masked { "<number>" } else { word })
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The backends in a deadlock's cycle, from the error's detail: `Process 11 waits for ShareLock on transaction 7;
/// blocked by process 12.`, a line a process, the victim first.
fn deadlocked_backends(error: &ServerError) -> Vec<i32> {
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
    fn numbers_that_differ_between_runs_are_left_out_of_messages() {
        assert_eq!(
            without_numbers("could not open relation with OID 16422"),
            "could not open relation with OID <number>"
        );
        assert_eq!(without_numbers("value 12 is out of range"), "value 12 is out of range");
    }

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
