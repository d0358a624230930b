//! A session whose steps are those of a scenario.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::binding::{bind, from_params};
use super::driver::{Action, Answer, Driver, Received, Request, Sent};
use super::session::{DeadlockCheck, Finished, Next, Pending, Progress, Session, WaitTimeout};
use super::{Conditions, RunError};
use crate::history::{
    DISCONNECT, Origin, SessionEnd, Statement, StepError, StepOutcome, StepResult, Variables, Volatile,
};
use crate::postgres::wire::{ResultSet, ServerError};
use crate::scenario;
use crate::sql::StatementKind;

/// Runs a session's steps: which is next, with which values, and what happens after an error.
pub struct Script {
    session: scenario::Session,
    statements: Statements,
    volatile: Arc<Volatile>,
    driver: Driver,
    /// The session may take advisory locks that outlive transactions.
    may_keep_locks: bool,
    /// The end of its connection was a turn.
    disconnected: bool,
    variables: Variables,
    held: Option<Held>,
    /// The next step to consider.
    cursor: usize,
    /// A BEGIN to send before the next statement.
    pending_begin: Option<usize>,
    /// Where a retry starts again.
    transaction_start: Option<TransactionStart>,
    retries_of_transaction: u32,
    retries: u32,
    error: Option<StepError>,
    /// Results of the steps that count, without the earlier attempts of a retried transaction.
    results: Vec<StepOutcome>,
    ended: bool,
}

/// A session's statements in the form that turns hold.
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

#[derive(Debug, Clone)]
struct TransactionStart {
    cursor: usize,
    variables: Variables,
    results: usize,
}

/// The next statement to send.
#[derive(Debug, Clone)]
struct Held {
    action: Action,
    pending: Pending,
}

impl Script {
    pub fn new(session: scenario::Session, driver: Driver, volatile: Arc<Volatile>, may_keep_locks: bool) -> Script {
        Script {
            variables: from_params(&session.params),
            statements: Statements::new(&session),
            session,
            volatile,
            driver,
            may_keep_locks,
            disconnected: false,
            held: None,
            cursor: 0,
            pending_begin: None,
            transaction_start: None,
            retries_of_transaction: 0,
            retries: 0,
            error: None,
            results: Vec::new(),
            ended: false,
        }
    }

    fn step_info(&self, origin: Origin) -> Pending {
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
        Pending {
            name,
            statement,
            origin,
            filled,
            opens: !self.driver.is_open(),
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

    fn hold(&mut self, action: Action, origin: Origin) {
        let pending = self.step_info(origin);
        self.held = Some(Held { action, pending });
    }

    /// Takes in the result of the step that was sent.
    fn take_in(&mut self, answer: Answer) -> Finished {
        let Answer {
            request: Request { action, pending, .. },
            result,
            isolation,
            end,
            opened,
            deadlock,
        } = answer;
        if action == Action::Disconnect {
            return self.disconnect(&pending, result);
        }
        let begun = self.pending_begin.take();
        if opened {
            self.start_transaction(begun.unwrap_or(pending.origin.step()));
        }
        let result = match result {
            Ok(result) => self.step_result(&pending, action, result),
            Err(error) => StepResult::Error(step_error(&error)),
        };
        self.results.push(StepOutcome {
            origin: pending.origin,
            end,
            result: result.clone(),
        });
        match &result {
            StepResult::Error(error) => self.fail(&pending, error.clone()),
            _ => self.pass(action, &pending),
        }
        Finished {
            result,
            isolation,
            end,
            deadlock,
        }
    }

    fn pass(&mut self, action: Action, pending: &Pending) {
        let step = pending.origin.step();
        match action {
            Action::Statement | Action::Commit => {
                self.cursor = step + 1;
                if !self.driver.is_open() {
                    self.transaction_start = None;
                    self.retries_of_transaction = 0;
                }
            }
            Action::Autocommitted => self.hold(Action::Commit, Origin::Autocommit(step)),
            // the transaction may run again, and its retries are still counted
            Action::Rollback | Action::Disconnect => {}
        }
    }

    fn disconnect(&mut self, pending: &Pending, result: Result<ResultSet, Box<ServerError>>) -> Finished {
        self.disconnected = true;
        let result = match result {
            Ok(_) => StepResult::Done {
                tag: "DISCONNECT".to_owned(),
            },
            Err(error) => StepResult::Error(step_error(&error)),
        };
        self.results.push(StepOutcome {
            origin: pending.origin,
            end: None,
            result: result.clone(),
        });
        Finished {
            result,
            ..Finished::nothing()
        }
    }

    /// An error ends the session, unless it runs the transaction again.
    fn fail(&mut self, pending: &Pending, error: StepError) {
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
            // a statement outside any block can only repeat itself
            None if retry && pending.statement.kind == StatementKind::OutsideBlock => {
                self.retries_of_transaction += 1;
                self.retries += 1;
                self.cursor = pending.origin.step();
                self.results.pop();
            }
            None => {
                self.error = Some(error);
                self.ended = true;
            }
        }
        if self.driver.is_open() {
            let rollback = Origin::Rollback(pending.origin.step());
            self.hold(Action::Rollback, rollback);
        }
    }

    fn step_result(&mut self, pending: &Pending, action: Action, result: ResultSet) -> StepResult {
        let ResultSet { columns, rows, tag } = result;
        let Some(columns) = columns else {
            return StepResult::Done { tag };
        };
        let step = &self.session.steps[pending.origin.step()];
        let shown: Vec<Vec<Option<String>>> = rows
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
        let columns = columns.into_iter().map(|column| column.name).collect();
        StepResult::of_rows(columns, shown, step.statement.ordered, tag)
    }

    /// The next step of the scenario, or the ROLLBACK that is due.
    async fn find_step(&mut self, conditions: &mut Conditions<'_>) -> Result<(), RunError> {
        // after an error PostgreSQL has released everything that the transaction held, unless the error was inside a
        // savepoint: then the locks from before it are held until the ROLLBACK, which is a turn of its own
        if let Some(rollback) = self.held.take_if(|held| held.action == Action::Rollback) {
            if self.driver.has_savepoint() {
                self.held = Some(rollback);
                return Ok(());
            }
            self.driver.roll_back().await?;
        }
        if self.held.is_some() || self.ended {
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
            let in_transaction = self.driver.is_open() || self.pending_begin.is_some();
            let kind = step.statement.kind;
            if kind == StatementKind::Begin && !self.session.begins_apart && !in_transaction {
                self.pending_begin = Some(self.cursor);
                self.cursor += 1;
                continue;
            }
            let action = match kind {
                StatementKind::Plain if !in_transaction => Action::Autocommitted,
                _ => Action::Statement,
            };
            self.hold(action, Origin::Step(self.cursor));
            return Ok(());
        }
        // a transaction that nothing ended is rolled back, as when an application returns its connection to a pool
        if let Some(last) = self
            .session
            .steps
            .len()
            .checked_sub(1)
            .filter(|_| self.driver.is_open())
        {
            self.hold(Action::Rollback, Origin::Rollback(last));
            self.driver.keep_locks();
            self.ended = true;
        }
        Ok(())
    }

    /// A client that has finished closes its connection, and others can come between its last commit and that.
    async fn find_disconnect(&mut self, conditions: &mut Conditions<'_>) -> Result<(), RunError> {
        if self.held.is_none()
            && self.may_keep_locks
            && !self.disconnected
            && let Some(last) = self.session.steps.len().checked_sub(1)
            && conditions.keeps_advisory_locks(self.driver.backend_pid()).await?
        {
            self.pending_begin = None;
            self.hold(Action::Disconnect, Origin::Disconnect(last));
        }
        Ok(())
    }

    fn request(&self, held: Held) -> Result<Request, RunError> {
        let Held { action, pending } = held;
        let begin = self
            .pending_begin
            .map(|begin| self.session.steps[begin].template.text.clone());
        let Origin::Step(step) = pending.origin else {
            return Ok(Request::own(action, pending, begin));
        };
        let step = &self.session.steps[step];
        Ok(Request {
            action,
            sql: step.template.text.clone(),
            values: bind(&self.variables, &self.session.name, &step.template, &step.sql)?,
            pending,
            begin,
        })
    }
}

impl Session for Script {
    fn name(&self) -> &str {
        &self.session.name
    }

    fn backend_pid(&self) -> i32 {
        self.driver.backend_pid()
    }

    fn in_transaction(&self) -> bool {
        self.driver.is_open()
    }

    fn next(&self) -> Next<'_> {
        self.held.as_ref().map_or(Next::Ended, |held| Next::Held(&held.pending))
    }

    async fn send(&mut self, check: DeadlockCheck) -> Result<(), RunError> {
        let Some(held) = self.held.take() else { return Ok(()) };
        let request = self.request(held)?;
        self.driver.send(request, check).await
    }

    async fn send_begin(&mut self) -> Result<(), RunError> {
        match self.pending_begin {
            Some(begin) => self.driver.send_begin(&self.session.steps[begin].template.text).await,
            None => Ok(()),
        }
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, RunError>> {
        Poll::Ready(Ok(match ready!(self.driver.poll(cx))? {
            Received::Answered(answer) => Progress::Finished(self.take_in(*answer)),
            Received::StillWaiting => Progress::StillWaiting,
            Received::Acquired => Progress::Acquired,
        }))
    }

    fn timeout(&self) -> Option<WaitTimeout> {
        self.driver.timeout()
    }

    fn timeout_not_explored(&self) -> Option<String> {
        self.driver.timeout_not_explored()
    }

    fn expire(&mut self) {
        self.driver.expire();
    }

    async fn find_next(&mut self, conditions: &mut Conditions<'_>) -> Result<(), RunError> {
        self.find_step(conditions).await?;
        self.driver.stand_in_for_timeouts().await?;
        self.find_disconnect(conditions).await
    }

    async fn begin_reset(&mut self) -> Result<(), RunError> {
        self.driver.begin_reset().await
    }

    async fn end_reset(&mut self) -> Result<(), RunError> {
        self.driver.end_reset().await?;
        self.variables = from_params(&self.session.params);
        self.held = None;
        self.cursor = 0;
        self.pending_begin = None;
        self.transaction_start = None;
        self.retries_of_transaction = 0;
        self.retries = 0;
        self.error = None;
        self.results.clear();
        self.ended = false;
        self.disconnected = false;
        Ok(())
    }

    async fn give_up(&mut self) -> Result<bool, RunError> {
        Ok(false)
    }

    async fn outlast(&mut self) -> Result<(), RunError> {
        Ok(())
    }

    async fn left_behind(&mut self) -> Result<Option<String>, RunError> {
        self.driver.left_behind().await
    }

    fn end(&self) -> SessionEnd {
        SessionEnd {
            committed: self.error.is_none() && !self.driver.has_rolled_back(),
            error: self.error.clone(),
            retries: self.retries,
            exit: None,
            answer: None,
            variables: self.variables.shown(),
        }
    }

    fn variables(&self) -> &Variables {
        &self.variables
    }

    fn results(&self) -> &[StepOutcome] {
        &self.results
    }

    fn sent(&self) -> &[Sent] {
        self.driver.sent()
    }
}

pub fn step_error(error: &ServerError) -> StepError {
    StepError {
        sqlstate: error.sqlstate.clone(),
        message: without_numbers(&error.message),
    }
}

/// Replaces the numbers after words that name a process, a transaction or an object: they differ in every run.
fn without_numbers(message: &str) -> String {
    const NUMBERED: [&str; 5] = ["OID", "oid", "process", "transaction", "PID"];
    let words = message.split(' ').scan("", |before, word| {
        let masked = NUMBERED.contains(before) && word.trim_end_matches([',', '.', ':', ';']).parse::<u64>().is_ok();
        *before = word;
        Some(if masked { "<number>" } else { word })
    });
    words.collect::<Vec<_>>().join(" ")
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
}
