//! What schedules run on: a scratch database, a connection for each session, and one of pgbraid's own.

mod contents;
mod deadlock_checks;
mod freely;
mod hosts;
mod learnable;
mod serially;
mod template;
mod unconnected;

use std::sync::Arc;
use std::time::Duration;

pub use freely::FreeRun;
pub use serially::CommittedTables;
pub use template::Template;

use self::contents::Contents;
use self::deadlock_checks::{check_settings, default_check, releases_at_end};
use self::hosts::Hosts;
use self::learnable::learnable;
use self::serially::Compared;
use self::template::{changes_schema, refuse_changes};
use super::committed_states::CommittedStates;
use super::condition::ConditionCache;
use super::dependencies;
use super::executor::{Execution, Limits, execute};
use super::recorded::Recorded;
use super::scheduler::{Candidate, Decision, Scheduler};
use super::timeouts::SessionTimeouts;
use super::watch::Watch;
use super::{
    AnySession, Attached, Driver, Exchange, Memory, Place, Retold, RunError, Script, Session, check, custom_settings,
};
use crate::conflict::Snapshots;
use crate::history::{Deadlock, Exit, History, SoFar, StepOutcome, Uncontrolled, Volatile};
use crate::postgres::baseline::{Reset, Table};
use crate::postgres::locks::LockMonitor;
use crate::postgres::wire::{Connection, Reply, Value};
use crate::postgres::{PostgresError, prepared};
use crate::process::Output;
use crate::scenario::{Scenario, Symmetry};
use crate::verdict::dependencies::Explanation;
use crate::verdict::outcome::{Outcome, TableContent, Violation};
use crate::verdict::{self, InvariantAnswer};

/// How long pgbraid's own work between two runs may take.
const OWN_WORK_LIMIT: Duration = Duration::from_secs(60);

/// A scratch database with the sessions of a scenario connected to it.
pub struct Workbench {
    template: Arc<Template>,
    database: String,
    control: Connection,
    monitor: LockMonitor,
    conditions: ConditionCache,
    sessions: Vec<AnySession>,
    /// The same sessions, whose programs do not run: what was learned of them is repeated. Empty until they are needed.
    recalling: Vec<AnySession>,
    /// Which of the two the last run was on.
    recalled: bool,
    /// Sessions leave something behind on their connections.
    reconnects: bool,
    /// The sessions' connections have none of pgbraid's settings.
    plain: bool,
    /// Runs so far.
    runs: u64,
    /// Set if a run did not begin in the state after setup.
    left_behind: Option<Uncontrolled>,
    limits: Limits,
}

/// The run of one schedule: what happened, what it amounts to, and what is wrong with it.
#[derive(Debug, Clone)]
pub struct Run {
    pub history: History,
    pub decisions: Vec<Decision>,
    pub deadlocks: Vec<Deadlock>,
    /// A released session resumes when the schedule says so; otherwise at once, whatever the schedule.
    pub resumptions: bool,
    pub outcome: Outcome,
    /// Empty if the schedule holds.
    pub violations: Vec<Violation>,
    /// What was not under control.
    pub uncontrolled: Vec<Uncontrolled>,
    /// By program, which has the name of its session: what it has printed.
    pub outputs: Vec<(String, Output)>,
    /// Where the programs' deeds came from.
    pub source: RunSource,
}

/// Where the deeds of a run's programs came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunSource {
    /// The programs, or there are none.
    Programs,
    /// What was learned of them.
    Learned,
    /// What was learned of them; the programs then did the same.
    Confirmed,
}

impl Run {
    /// The sessions in the order in which they were scheduled, one entry for each move.
    pub fn order(&self) -> Vec<usize> {
        self.decisions.iter().map(|decision| decision.chosen).collect()
    }

    /// Names of what it violates, each once.
    pub fn violated(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.violations.iter().map(Violation::name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

impl Workbench {
    /// Makes a copy of the template and connects the sessions to it.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn open(template: Arc<Template>, step_timeout: Duration) -> Result<Workbench, RunError> {
        let database = template.server.create_scratch(Some(&template.database)).await?;
        let control = template.server.control(&database).await?;
        let limits = Limits {
            step_timeout,
            deadlock_control: template.server.deadlock_control,
            signals: template.server.signals,
            serializable: template
                .scenario
                .sessions
                .iter()
                .any(|session| session.program.is_some() || Snapshots::of_session(session).serializable),
            releases_at_end: releases_at_end(&template),
        };
        let mut workbench = Workbench {
            reconnects: false,
            plain: false,
            runs: 0,
            left_behind: None,
            template,
            database,
            control,
            monitor: LockMonitor::default(),
            conditions: ConditionCache::new(),
            sessions: Vec::new(),
            recalling: Vec::new(),
            recalled: false,
            limits,
        };
        workbench.connect_sessions().await?;
        Ok(workbench)
    }

    pub fn scenario(&self) -> &Arc<Scenario> {
        &self.template.scenario
    }

    /// Switches to other sessions and invariants on the same state after setup. The server is asked whether it accepts
    /// their statements.
    ///
    /// # Errors
    /// When the server rejects a statement, or fails; the workbench must then not be used again.
    pub async fn change_scenario(&mut self, scenario: Arc<Scenario>) -> Result<(), RunError> {
        self.reset().await?;
        let server = &self.template.server;
        let changes_schema = changes_schema(&scenario);
        let (program, _) = check::check_statements(&mut self.control, server, &scenario, changes_schema).await?;
        self.template = Arc::new(self.template.with_scenario(scenario, program)?);
        self.limits.releases_at_end = releases_at_end(&self.template);
        self.connect_sessions().await
    }

    async fn connect_sessions(&mut self) -> Result<(), RunError> {
        self.recalling.clear();
        self.sessions = self.connected(false).await?;
        self.reconnects = custom_settings::may_be_made(&self.template.scenario);
        Ok(())
    }

    /// The scenario's sessions, connected. `recalls` says that no programs run.
    async fn connected(&self, recalls: bool) -> Result<Vec<AnySession>, RunError> {
        let Template {
            server,
            scenario,
            volatile,
            timeouts,
            ..
        } = &*self.template;
        let controlled = server.deadlock_control && !self.plain;
        let closes_no_cycle = !server.signals || self.limits.releases_at_end;
        let default_check = controlled.then(|| default_check(scenario, closes_no_cycle));
        let may_keep_locks = may_keep_advisory_locks(scenario);
        let shows_output = shows_output(scenario);
        let mut sessions = Vec::with_capacity(scenario.sessions.len());
        let mut hosts = Hosts::new(scenario, self.template.observed.clone());
        for session in &scenario.sessions {
            let name = server.application_name(&format!(" {}", session.name));
            let mut settings = vec![
                ("application_name", name.as_str()),
                ("default_transaction_isolation", session.isolation.as_sql()),
            ];
            if let Some(check) = default_check {
                settings.extend(check_settings(check));
            }
            if self.plain {
                settings.push(("deadlock_timeout", "20ms"));
            }
            let timeouts = timeouts.as_ref().filter(|_| !self.plain);
            let timeouts = timeouts.map(|timeouts| SessionTimeouts::new(timeouts, session));
            if let Some(timeouts) = &timeouts {
                settings.extend(timeouts.settings());
            }
            if let Some(program) = &session.program {
                let settings = settings.iter().filter(|(name, _)| !LEFT_TO_PROGRAMS.contains(name));
                let at = Place {
                    server: server.clone(),
                    database: self.database.clone(),
                    settings: settings.map(|(name, value)| (*name, (*value).to_owned())).collect(),
                    check: default_check,
                    limit: self.limits.step_timeout,
                };
                let id = sessions.len();
                let observed = self.template.observed.clone();
                let (host, part) = match recalls {
                    true => hosts.of_nothing(session, program, at).await?,
                    false => hosts.of(session, id, program, at).await?,
                };
                let memory = learnable(program, &session.params)
                    .map(|identity| Memory::new(observed.clone(), &identity, recalls, shows_output));
                let attached = Attached::new(session.clone(), id, host, part, memory, volatile.clone(), observed);
                sessions.push(AnySession::Attached(Box::new(attached)));
                continue;
            }
            let connection = server.session(&self.database, &settings).await?;
            let driver = Driver::new(&session.name, session.isolation, connection, default_check, timeouts);
            let script = Script::new(session.clone(), driver, volatile.clone(), may_keep_locks);
            sessions.push(AnySession::Script(Box::new(script)));
        }
        Ok(sessions)
    }

    /// Runs one schedule from the state after setup, and judges it.
    ///
    /// # Errors
    /// When the run has no result; there is then no verdict, and the workbench must not be used again.
    pub async fn run(&mut self, scheduler: &mut dyn Scheduler) -> Result<Run, RunError> {
        if !self.may_recall() {
            return self.run_live(scheduler).await;
        }
        let mut told = Retold::new(scheduler);
        let run = match self.run_on(true, &mut told).await {
            Err(RunError::NotLearned) => {
                self.leave_recalled();
                told.again();
                let mut run = self.run_on(false, &mut told).await?;
                run.0.uncontrolled.extend(told.contradiction(&run.0.history));
                run
            }
            result => result?,
        };
        self.compare_with_serial_orders(run).await
    }

    /// A run met something that was not learned of the programs, and is not ended.
    fn leave_recalled(&mut self) {
        // a statement of a script may still wait
        if self
            .recalling
            .iter()
            .any(|session| matches!(session, AnySession::Script(_)))
        {
            self.recalling.clear();
        }
    }

    /// Runs one schedule with the programs themselves, from the state after setup, and judges it.
    ///
    /// # Errors
    /// As [`Workbench::run`].
    pub async fn run_live(&mut self, scheduler: &mut dyn Scheduler) -> Result<Run, RunError> {
        let run = self.run_on(false, scheduler).await?;
        self.compare_with_serial_orders(run).await
    }

    /// Whether a run may do without the programs.
    fn may_recall(&self) -> bool {
        let Template { scenario, observed, .. } = &*self.template;
        let is_learnable = |session: &crate::scenario::Session| match &session.program {
            Some(program) => learnable(program, &session.params).is_some(),
            None => true,
        };
        scenario.has_programs()
            && scenario.sessions.iter().all(is_learnable)
            && observed.learned().is_of_use(observed.treatment())
    }

    async fn run_on(&mut self, recalled: bool, scheduler: &mut dyn Scheduler) -> Result<Compared, RunError> {
        self.begin_on(recalled).await?;
        let run = self.run_begun(scheduler).await;
        self.end_on(recalled);
        run
    }

    /// Returns to the state after setup. Until [`Workbench::end_on`] the sessions are those whose programs run, or those
    /// that repeat what was learned.
    async fn begin_on(&mut self, recalled: bool) -> Result<(), RunError> {
        self.within_limit("coming back to the state after setup", Self::begin)
            .await?;
        if recalled && self.recalling.is_empty() {
            self.recalling = self.connected(true).await?;
        }
        if recalled {
            std::mem::swap(&mut self.sessions, &mut self.recalling);
        }
        self.recalled = recalled;
        Ok(())
    }

    fn end_on(&mut self, recalled: bool) {
        if recalled {
            std::mem::swap(&mut self.sessions, &mut self.recalling);
        }
    }

    async fn run_begun(&mut self, scheduler: &mut dyn Scheduler) -> Result<Compared, RunError> {
        let execution = self.execute(scheduler, Watch::Nothing).await?;
        let (tables, answers) = self
            .within_limit("reading the state after a run", Self::evaluate)
            .await?;
        self.roll_back_prepared().await?;
        if self.is_looked_at() {
            self.refuse_changes().await?;
        }
        let template = self.template.clone();
        let scenario = &template.scenario;
        let ends: Vec<_> = self.sessions.iter().map(Session::end).collect();
        let violations = verdict::judge(scenario, &execution.turns, &ends, &execution.deadlocks, answers);
        let outcome = Outcome::new(scenario, &self.results(), &ends, tables);
        let printed = scenario
            .sessions
            .iter()
            .zip(&self.sessions)
            .filter_map(|(session, ran)| {
                let output = ran.output()?.clone();
                Some((session.program_name().to_owned(), output))
            });
        let outputs = printed.collect();
        let (decisions, deadlocks) = (execution.decisions.clone(), execution.deadlocks.clone());
        let uncontrolled = execution
            .uncontrolled
            .iter()
            .chain(self.sessions.iter().flat_map(|session| session.uncontrolled()))
            .chain(&start_order_not_explored(scenario, &execution.waited_at_start))
            .chain(&self.left_behind)
            .cloned()
            .collect();
        let run = Run {
            history: execution.into_history(self.session_names(), ends),
            decisions,
            deadlocks,
            resumptions: self.limits.signals,
            outcome,
            violations,
            uncontrolled,
            outputs,
            source: match self.recalled {
                true => RunSource::Learned,
                false => RunSource::Programs,
            },
        };
        // what the sessions have come to is lost with the next run
        let part = template.serial.is_some().then(|| self.committed_part(&run));
        if !self.recalled {
            self.refuse_unanswered(&run.history).await?;
        }
        Ok((run, part))
    }

    /// A request that is not answered even as the first of all is no matter of the schedule.
    async fn refuse_unanswered(&mut self, history: &History) -> Result<(), RunError> {
        let observed = self.template.observed.clone();
        for (name, end) in history.sessions.iter().zip(&history.ends) {
            if let Some(Ok(_)) = end.answer {
                observed.is_answered(name);
            }
        }
        for (session, name) in history.sessions.iter().enumerate() {
            if !matches!(history.ends[session].answer, Some(Err(_))) || observed.has_been_answered(name) {
                continue;
            }
            self.begin().await?;
            self.execute(&mut Foremost(session), Watch::Nothing).await?;
            let first = &self.sessions[session];
            if let Some(Err(cause)) = first.end().answer {
                return Err(RunError::NeverAnswered {
                    session: name.clone(),
                    cause,
                    output: first.output().cloned().unwrap_or_default(),
                });
            }
            observed.is_answered(name);
        }
        Ok(())
    }

    /// Runs a failing schedule once more and finds out how its committed transactions depend on each other. Returns
    /// `None` if that cannot be determined: it did not run like `history`, its steps change the schema, or something in
    /// it cannot be run again.
    ///
    /// # Errors
    /// As [`Workbench::run`].
    pub async fn explain(
        &mut self,
        scheduler: &mut dyn Scheduler,
        history: &History,
    ) -> Result<Option<Explanation>, RunError> {
        let template = self.template.clone();
        if matches!(template.baseline.reset, Reset::Copy) {
            return Ok(None);
        }
        self.reset().await?;
        let mut states = CommittedStates::begin(&mut self.control, &template.baseline.tables).await?;
        let execution = self.execute(scheduler, Watch::Versions(&mut states)).await?;
        states.end(&mut self.control).await?;
        if execution.turns != history.turns || self.leaves_more_than_rows() {
            return Ok(None);
        }
        let sent: Vec<_> = self.sessions.iter().map(|session| session.sent().to_vec()).collect();
        // advisory locks that sessions hold would be in the way
        self.reset().await?;
        let program = match template.observed() {
            Some(observed) => observed.knowledge().program,
            None => template.program.clone(),
        };
        let recorded = Recorded {
            program: &program,
            volatile: &template.volatile,
            turns: &execution.turns,
            sent: &sent,
            states: &states,
            replication_role: template.server.replication_role,
        };
        dependencies::explain(recorded, &mut self.control).await
    }

    async fn execute(&mut self, scheduler: &mut dyn Scheduler, watch: Watch<'_>) -> Result<Execution, RunError> {
        let result = execute(
            &mut self.sessions,
            &mut self.control,
            &mut self.monitor,
            &mut self.conditions,
            self.limits,
            scheduler,
            watch,
        )
        .await;
        // the workbench is used again, and a look at the lock table may not have been answered yet
        if matches!(result, Err(RunError::NotLearned)) {
            self.monitor.drain(&mut self.control).await?;
        }
        result
    }

    /// By session: what its program sent in the last run and was told; empty where it is none.
    pub fn transcripts(&self) -> Vec<Vec<Exchange>> {
        self.sessions
            .iter()
            .map(|session| session.transcript().to_vec())
            .collect()
    }

    fn results(&self) -> Vec<Vec<StepOutcome>> {
        self.sessions.iter().map(|session| session.results().to_vec()).collect()
    }

    /// Drops the scratch database.
    pub async fn close(self) -> Result<(), RunError> {
        let Workbench {
            template,
            database,
            control,
            sessions,
            ..
        } = self;
        drop(sessions);
        drop(control);
        Ok(template.server.drop_scratch(&database).await?)
    }

    /// Work of pgbraid's own that should be quick, but could meet a lock held outside the run.
    async fn within_limit<T>(
        &mut self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, RunError>,
    ) -> Result<T, RunError> {
        let limit = OWN_WORK_LIMIT.max(self.limits.step_timeout);
        match tokio::time::timeout(limit, work(self)).await {
            Ok(result) => result,
            Err(_) => Err(RunError::TakesTooLong { doing, limit }),
        }
    }

    /// A transaction that a run prepared and did not end would hold its locks for ever.
    async fn roll_back_prepared(&mut self) -> Result<(), RunError> {
        if !self.template.scenario.prepares_transactions() {
            return Ok(());
        }
        prepared::roll_back_all(&mut self.control).await?;
        Ok(())
    }

    /// Returns to the state after setup. Checking that it is the same takes longer than a run, so that is done after
    /// the first run, the fourth, the sixteenth, …
    async fn begin(&mut self) -> Result<(), RunError> {
        self.reset().await?;
        if self.is_looked_at() {
            self.compare().await?;
        }
        self.runs += 1;
        Ok(())
    }

    fn is_looked_at(&self) -> bool {
        self.runs.is_power_of_two() && self.runs.trailing_zeros().is_multiple_of(2)
    }

    /// What belongs to the whole server is not restored, and a change of it would persist in every other run, and in a
    /// new database.
    async fn refuse_changes(&mut self) -> Result<(), RunError> {
        let template = self.template.clone();
        refuse_changes(&template.shared, &mut self.control, &template.server, "the sessions").await
    }

    /// Whether the state after setup can still be restored after the last run; what differs if it cannot.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn left_behind(&mut self) -> Result<Option<Uncontrolled>, RunError> {
        if self.runs > 0 && self.left_behind.is_none() {
            self.outlast().await?;
            self.reset().await?;
            self.compare().await?;
            self.refuse_changes().await?;
        }
        Ok(self.left_behind.clone())
    }

    /// Waits a moment for what programs may still do after the last run.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn outlast(&mut self) -> Result<(), RunError> {
        for session in &mut self.sessions {
            session.outlast().await?;
        }
        Ok(())
    }

    /// Compares the state with the one after setup.
    async fn compare(&mut self) -> Result<(), RunError> {
        let mut different = self.template.probe.differences(&mut self.control).await?;
        for session in &mut self.sessions {
            different.extend(session.left_behind().await?);
        }
        if !different.is_empty() {
            self.left_behind = Some(Uncontrolled::LeftBehind(different));
        }
        Ok(())
    }

    async fn reset(&mut self) -> Result<(), RunError> {
        let template = self.template.clone();
        match &template.baseline.reset {
            Reset::Truncate(sql) if !self.leaves_more_than_rows() => {
                // an open transaction would hold up TRUNCATE
                let used = match std::mem::take(&mut self.recalled) {
                    true => &mut self.recalling,
                    false => &mut self.sessions,
                };
                for session in used.iter_mut() {
                    session.begin_reset().await?;
                }
                for session in used.iter_mut() {
                    session.end_reset().await?;
                }
                if self.reconnects {
                    self.connect_sessions().await?;
                }
                let reply = self.control.simple(sql).await.map_err(PostgresError::from)?;
                reply.into_result().map_err(|error| PostgresError::Query {
                    doing: "coming back to the state after setup",
                    error,
                })?;
            }
            Reset::Truncate(_) | Reset::Copy => {
                self.sessions.clear();
                self.recalling.clear();
                self.recalled = false;
                let fresh = template.server.create_scratch(Some(&template.database)).await?;
                let old = std::mem::replace(&mut self.database, fresh);
                self.control = template.server.control(&self.database).await?;
                self.monitor = LockMonitor::default();
                template.server.drop_scratch(&old).await?;
                self.connect_sessions().await?;
            }
        }
        Ok(())
    }

    /// A program may do anything, so this is known once it has run.
    fn leaves_more_than_rows(&self) -> bool {
        let mut sessions = self.sessions.iter().chain(&self.recalling);
        sessions.any(Session::leaves_more_than_rows)
    }

    /// The content of tables, materialized views and large objects, and the results of the invariants.
    async fn evaluate(&mut self) -> Result<(Vec<TableContent>, Vec<InvariantAnswer>), RunError> {
        let template = self.template.clone();
        let contents = Contents::find(&mut self.control, &template).await?;
        let sessions = self.sessions_as_json();
        let have_done_their_work =
            (self.sessions.iter().map(Session::end)).all(|end| end.exit.is_none_or(|exit| exit == Exit::Code(0)));
        let creates_nothing =
            template.observed().is_some_and(|seen| !seen.has_changed_schema()) && have_done_their_work;
        let control = &mut self.control;
        let queue = |control: &mut Connection, sql: &str, values: &[Value]| {
            control.queue_statement(sql, values)?;
            control.queue_sync();
            Ok::<(), PostgresError>(())
        };
        contents.queue(control)?;
        queue(
            control,
            "SELECT set_config('pgbraid.sessions', $1, false)",
            &[Value::text(sessions)],
        )?;
        for invariant in &template.scenario.invariants {
            queue(control, &invariant.sql.text, &[])?;
        }
        control.flush().await.map_err(PostgresError::from)?;
        let mut tables = contents.take(control, &template).await?;
        let reply = control.reply().await.map_err(PostgresError::from)?;
        reply.into_result().map_err(|error| PostgresError::Query {
            doing: "telling the invariants how sessions ended",
            error,
        })?;
        let mut answers = Vec::with_capacity(template.scenario.invariants.len());
        for invariant in &template.scenario.invariants {
            let reply = control.reply().await.map_err(PostgresError::from)?;
            if let Some(error) = reply.error.as_ref().filter(|_| creates_nothing) {
                check::refuse_unknown_name(invariant, error)?;
            }
            answers.push(InvariantAnswer::from_reply(reply, &template.volatile));
        }
        tables.extend(contents.large_objects(control, &template).await?);
        Ok((tables, answers))
    }

    /// What `pgbraid.sessions` shows.
    fn sessions_as_json(&self) -> String {
        let sessions = self
            .template
            .scenario
            .sessions
            .iter()
            .zip(&self.sessions)
            .map(|(session, script)| {
                let end = script.end();
                let answer = end.answer.as_ref().and_then(|answer| answer.as_ref().ok());
                serde_json::json!({
                    "name": session.name,
                    "committed": end.committed,
                    "sqlstate": end.error.map(|error| error.sqlstate),
                    "variables": script.variables().to_json(),
                    "exit_code": exit_code(end.exit),
                    "status": answer.map(|answer| answer.status),
                    "body": answer.map(|answer| answer.body.replace('\0', "\u{fffd}")),
                    "stdout": script.output().map(|output| output.stdout.replace('\0', "\u{fffd}")),
                })
            });
        serde_json::Value::from_iter(sessions).to_string()
    }
}

/// Whether an invariant may look at what programs print or answer.
fn shows_output(scenario: &Scenario) -> bool {
    let mut invariants = scenario.invariants.iter();
    invariants.any(|invariant| invariant.sql.text.to_lowercase().contains("pgbraid"))
}

/// Runs a session before all others.
struct Foremost(usize);

impl Scheduler for Foremost {
    fn choose(&mut self, _so_far: SoFar<'_>, ready: &[Candidate<'_>]) -> usize {
        let is_ready = ready.iter().any(|candidate| candidate.session == self.0);
        match is_ready {
            true => self.0,
            false => ready.first().map_or(self.0, |candidate| candidate.session),
        }
    }
}

/// Settings that a program chooses for itself.
const LEFT_TO_PROGRAMS: [&str; 2] = ["application_name", "default_transaction_isolation"];

fn exit_code(exit: Option<Exit>) -> Option<i32> {
    match exit? {
        Exit::Code(code) => Some(code),
        // as shells have it
        Exit::Signal(signal) => Some(128 + signal),
    }
}

/// Interchangeable sessions can as well begin in one order as in another.
fn start_order_not_explored(scenario: &Scenario, waited: &[(usize, usize)]) -> Option<Uncontrolled> {
    let symmetry = Symmetry::of(scenario);
    let differ = waited
        .iter()
        .find(|(waiter, holder)| waiter == holder || !symmetry.are_alike(*waiter, *holder));
    differ.map(|(waiter, _)| Uncontrolled::StartOrder {
        session: scenario.sessions[*waiter].name.clone(),
    })
}

/// Whether a step, or a function of setup, may take advisory locks that outlive transactions.
fn may_keep_advisory_locks(scenario: &Scenario) -> bool {
    let steps = scenario.sessions.iter().flat_map(|session| session.steps.iter());
    let mut texts = steps.map(|step| &step.sql).chain(&scenario.setup);
    texts.any(|sql| sql.text.to_lowercase().contains("advisory_lock"))
}

fn content(table: &Table, reply: Reply, volatile: &Volatile) -> Result<TableContent, RunError> {
    let result = reply.into_result().map_err(|error| PostgresError::Query {
        doing: "reading the tables after a run",
        error,
    })?;
    let columns = result.columns.unwrap_or_default();
    let mut rows: Vec<Vec<Option<String>>> = result
        .rows
        .iter()
        .map(|row| {
            columns
                .iter()
                .zip(row)
                .map(|(column, value)| volatile.show(column, value))
                .collect()
        })
        .collect();
    rows.sort();
    Ok(TableContent {
        name: table.display_name(),
        columns: columns.into_iter().map(|column| column.name).collect(),
        rows,
    })
}
