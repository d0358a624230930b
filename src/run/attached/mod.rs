//! A session that is a program: its statements are held at the gate until they are scheduled.

mod link;
mod messages;
mod naming;
mod observed;
mod schedulable;
mod told;
mod transcript;

pub use observed::Observed;
pub use schedulable::may_lock_tables;
pub use transcript::{Answered, Exchange, Part, Said};

use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::link::{Heard, Link, Sending};
use self::naming::Shown;
use self::schedulable::{Treatment, commands, treatment};
use self::told::Told;
use super::driver::{Action, FREE_LOCKS, Sent, deadlocked_backends};
use super::launch::launch;
use super::script::step_error;
use super::session::{DeadlockCheck, Finished, Next, Outside, Pending, Progress, Session, WaitTimeout};
use super::{Conditions, RunError};
use crate::history::{
    DISCONNECT, Exit, Origin, SessionEnd, Statement, StepOutcome, StepResult, TxEnd, Uncontrolled, Variables, Volatile,
};
use crate::postgres::wire::{Canceller, Connection, TransactionStatus, WireError};
use crate::postgres::{PostgresError, Server};
use crate::process::{Launched, Output, file_lock_wait, holds_file_lock};
use crate::proxy::{Arrival, Gate, Login, Request, RequestEnd, readable};
use crate::scenario::{self, ProgramCommand};
use crate::sql::{Isolation, StatementKind, isolation_named};

/// Settings of a client's that pgbraid does without: it says itself which database, and which messages are sent.
const NOT_HANDED_ON: [&str; 5] = [
    "user",
    "database",
    "client_min_messages",
    "replication",
    "deadlock_timeout",
];

/// How soon a program that says nothing is looked at; the last pause repeats.
const LOOKS_MILLIS: [u64; 5] = [5, 10, 20, 50, 100];

/// A program's connections, and the statement of it that is held or under way.
pub struct Attached {
    session: scenario::Session,
    program: Arc<ProgramCommand>,
    at: Place,
    volatile: Arc<Volatile>,
    observed: Arc<Observed>,
    gate: Gate,
    launched: Option<Launched>,
    links: Vec<Link>,
    held: Option<Held>,
    under_way: Option<Held>,
    /// The connection that had the last turn.
    current: usize,
    /// Statements so far.
    statements: usize,
    /// A hash of all that the program has sent and been told.
    path: u64,
    transcript: Vec<Exchange>,
    results: Vec<StepOutcome>,
    sent: Vec<Sent>,
    variables: Variables,
    outside: Option<Outside>,
    uncontrolled: Vec<Uncontrolled>,
    exit: Option<Exit>,
    output: Output,
    ended: bool,
}

/// Where its connections lead.
#[derive(Clone)]
pub struct Place {
    pub server: Arc<Server>,
    pub database: String,
    /// Settings that each connection starts with.
    pub settings: Vec<(&'static str, String)>,
    pub check: Option<DeadlockCheck>,
    /// How long the program may neither send a statement nor end.
    pub limit: Duration,
}

/// A step that waits to be scheduled, or is under way.
#[derive(Debug, Clone)]
struct Held {
    link: usize,
    action: Action,
    pending: Pending,
    /// What the client has sent; `None` for a step of pgbraid's own.
    request: Option<(Request, RequestEnd)>,
}

/// Settings of a new connection, which the role, the database or the client may have given it.
struct Defaults {
    isolation: Isolation,
    timed: bool,
}

const DEFAULTS: &str = "SELECT current_setting('default_transaction_isolation'), current_setting('lock_timeout'),
  current_setting('statement_timeout')";

/// What a program does next.
enum Happening {
    Arrival(Arrival),
    Request(usize, Request, RequestEnd),
    Gone(usize),
    Exited(std::process::ExitStatus),
    Nothing,
}

impl Attached {
    /// Opens the gate for a session's program. The program itself is started with each run.
    ///
    /// # Errors
    /// When nothing can be listened at.
    pub async fn new(
        session: scenario::Session,
        program: Arc<ProgramCommand>,
        at: Place,
        volatile: Arc<Volatile>,
        observed: Arc<Observed>,
    ) -> Result<Attached, RunError> {
        let gate = Gate::open(at.server.user()).await.map_err(|source| RunError::Proxy {
            session: session.name.clone(),
            source,
        })?;
        let path = hash(&session.name);
        Ok(Attached {
            session,
            program,
            at,
            volatile,
            observed,
            gate,
            launched: None,
            links: Vec::new(),
            held: None,
            under_way: None,
            current: 0,
            statements: 0,
            path,
            transcript: Vec::new(),
            results: Vec::new(),
            sent: Vec::new(),
            variables: Variables::default(),
            outside: None,
            uncontrolled: Vec::new(),
            exit: None,
            output: Output::default(),
            ended: false,
        })
    }

    fn proxy_error(&self, source: crate::proxy::ProxyError) -> RunError {
        RunError::Proxy {
            session: self.session.name.clone(),
            source,
        }
    }

    fn lost(&self, step: &str, source: impl Into<PostgresError>) -> RunError {
        RunError::Session {
            session: self.session.name.clone(),
            step: step.to_owned(),
            source: source.into(),
        }
    }

    fn start(&mut self) -> Result<(), RunError> {
        self.launched = Some(launch(&self.session.name, &self.program, &self.gate)?);
        Ok(())
    }

    /// Runs the program until it sends a step, waits for something outside the database, or has ended.
    async fn advance(&mut self, conditions: &mut Conditions<'_>) -> Result<(), RunError> {
        let started = Instant::now();
        let mut looks = 0;
        loop {
            let pause = sleep(Duration::from_millis(LOOKS_MILLIS[looks.min(LOOKS_MILLIS.len() - 1)]));
            match self.next_happening(pause).await? {
                Happening::Arrival(arrival) => self.welcome(arrival).await?,
                Happening::Request(link, request, end) => {
                    if self.take_request(link, request, end, conditions).await? {
                        return Ok(());
                    }
                }
                Happening::Gone(link) => {
                    if self.farewell(link, conditions).await? {
                        return Ok(());
                    }
                }
                Happening::Exited(status) => {
                    self.exit = Some(Exit::of(status));
                    if self.links.is_empty() {
                        self.end().await;
                        return Ok(());
                    }
                }
                Happening::Nothing => {
                    looks += 1;
                    if let Some(wait) = self.launched.as_ref().and_then(|one| file_lock_wait(one.group())) {
                        self.observed.meets_elsewhere();
                        self.outside = Some(Outside::FileLock { holder: wait.holder });
                        return Ok(());
                    }
                    if started.elapsed() > self.at.limit {
                        return Err(RunError::Silent {
                            session: self.session.name.clone(),
                            limit: self.at.limit,
                            output: self.launched.as_ref().map(Launched::output).unwrap_or_default(),
                        });
                    }
                    continue;
                }
            }
            looks = 0;
        }
    }

    async fn next_happening(&mut self, pause: tokio::time::Sleep) -> Result<Happening, RunError> {
        let mut pause = std::pin::pin!(pause);
        poll_fn(|cx| {
            if let Poll::Ready(Some(arrival)) = self.gate.poll_arrival(cx) {
                return Poll::Ready(Ok(Happening::Arrival(arrival)));
            }
            for index in 0..self.links.len() {
                let link = &mut self.links[index];
                if let Err(error) = link.poll_unasked(cx) {
                    return Poll::Ready(Err(self.lost("", error)));
                }
                match link.poll_request(cx) {
                    Poll::Ready(Ok(Some((request, end)))) => {
                        return Poll::Ready(Ok(Happening::Request(index, request, end)));
                    }
                    Poll::Ready(Ok(None)) => return Poll::Ready(Ok(Happening::Gone(index))),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(self.proxy_error(error))),
                    Poll::Pending => {}
                }
            }
            if self.exit.is_none()
                && let Some(launched) = &mut self.launched
                && let Poll::Ready(status) = launched.poll_exit(cx)
            {
                return Poll::Ready(status.map(Happening::Exited).map_err(RunError::Runtime));
            }
            pause.as_mut().poll(cx).map(|()| Ok(Happening::Nothing))
        })
        .await
    }

    /// Connects a client to the server, with the settings that it asked for.
    async fn welcome(&mut self, arrival: Arrival) -> Result<(), RunError> {
        match arrival {
            Arrival::Client(mut client, login) => match self.connect(&login).await {
                Ok((server, defaults)) => {
                    client.queue_welcome(server.parameters(), server.backend_pid(), server.secret_key());
                    let least = login.parameters.iter().find(|(name, _)| name == "client_min_messages");
                    let mut link = Link::new(client, server, self.at.check, defaults.isolation);
                    link.timed = defaults.timed;
                    link.least = least.map_or_else(Default::default, |(_, value)| messages::Least::named(value));
                    self.links.push(link);
                }
                Err(PostgresError::Wire(WireError::Refused(error))) => {
                    client.refuse(&error.sqlstate, &error.message).await
                }
                Err(error) => return Err(error.into()),
            },
            Arrival::Cancel {
                backend_pid,
                secret_key,
            } => {
                // nothing of this program is under way: there is nothing to cancel
                self.canceller(backend_pid, secret_key);
            }
        }
        Ok(())
    }

    async fn connect(&self, login: &Login) -> Result<(Connection, Defaults), PostgresError> {
        let own = login.parameters.iter();
        let mut settings: Vec<(&str, &str)> = own
            .filter(|(name, _)| !NOT_HANDED_ON.contains(&name.as_str()))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        settings.extend(self.at.settings.iter().map(|(name, value)| (*name, value.as_str())));
        for (name, value) in &settings[..settings.len() - self.at.settings.len()] {
            match *name {
                "client_encoding" if is_utf8(value) => {}
                "client_encoding" | "options" => self.observed.meets_elsewhere(),
                name => self.observed.sets(&format!("SET {name} = DEFAULT")),
            }
        }
        let mut server = self.at.server.session(&self.at.database, &settings).await?;
        let reply = server.simple(DEFAULTS).await?;
        let found = reply.into_result().map_err(|error| PostgresError::Query {
            doing: "asking for the settings of a program's connection",
            error,
        })?;
        let value = |column: usize| found.rows.first().and_then(|row| row.get(column)?.as_deref());
        let defaults = Defaults {
            isolation: value(0).and_then(isolation_named).unwrap_or_default(),
            timed: value(1) != Some("0") || value(2) != Some("0"),
        };
        Ok((server, defaults))
    }

    fn canceller(&self, backend_pid: i32, secret_key: i32) -> Option<Canceller> {
        let link = self
            .links
            .iter()
            .find(|link| link.server.backend_pid() == backend_pid)?;
        (link.server.secret_key() == secret_key).then(|| self.at.server.canceller(&link.server))
    }

    /// Takes in a request: hands it on, or holds it. Returns whether it is held.
    async fn take_request(
        &mut self,
        index: usize,
        mut request: Request,
        end: RequestEnd,
        conditions: &mut Conditions<'_>,
    ) -> Result<bool, RunError> {
        if end == RequestEnd::Flush && request.answers == 0 {
            // all that came before it has been answered
            return Ok(false);
        }
        let link = &mut self.links[index];
        if link.skipping {
            if end != RequestEnd::Sync {
                return Ok(false);
            }
            request = Request::sync();
            if link.injected {
                let sending = Sending {
                    keeps_ready: true,
                    ..Sending::default()
                };
                let sent = link.send(&request, RequestEnd::Sync, sending);
                sent.map_err(|error| self.lost("", error))?;
                self.await_told(index).await?;
                self.current = index;
                self.roll_back_failed().await?;
                self.links[index].release();
                return Ok(false);
            }
        }
        let commands = commands(&request);
        if commands.is_empty() && end == RequestEnd::Sync && link.injected && link.status() == TransactionStatus::Open {
            return self.commit_at_sync(index, request).await;
        }
        let is_prelude = match (request.statements.as_slice(), commands.as_slice()) {
            ([asked], [(StatementKind::Plain, sql)]) => self.observed.is_prelude(sql, &asked.types, conditions).await?,
            _ => false,
        };
        if commands
            .iter()
            .any(|(_, sql)| crate::sql::Statement::classify(sql).changes_schema)
            && self.observed.schema_changes()
        {
            self.note(Uncontrolled::PreludeNotScheduled {
                session: self.session.name.clone(),
            });
        }
        if commands.len() > 1 && !commands.iter().all(|(kind, _)| *kind != StatementKind::Plain) {
            self.observed.note(format!(
                "the program of {} sends several statements in one request: they are one step",
                self.session.entry_name()
            ));
        }
        let link = &mut self.links[index];
        link.timed |= commands.iter().any(|(_, sql)| schedulable::may_set_timeout(sql));
        if let Some(level) = link.begin.as_deref().and_then(isolation_named) {
            link.level.of_begin(level);
        }
        let standing = link.standing(&self.observed);
        let treatment = match treatment(&commands, end == RequestEnd::Query, request.prepares, standing) {
            // in a transaction whose snapshot lasts it may be what takes it
            Treatment::Step | Treatment::Autocommitted
                if is_prelude && standing.isolation == Isolation::ReadCommitted =>
            {
                Treatment::Pass
            }
            other => other,
        };
        if treatment != Treatment::Pass {
            for (other, link) in self.links.iter_mut().enumerate() {
                let overlaps = std::mem::take(&mut link.overlaps);
                if other == index && overlaps {
                    self.uncontrolled.push(Uncontrolled::ConcurrentConnections {
                        session: self.session.name.clone(),
                    });
                }
            }
        }
        let link = &mut self.links[index];
        match treatment {
            Treatment::PutOff => {
                let sql = commands.into_iter().next().map(|(_, sql)| sql).unwrap_or_default();
                link.client
                    .queue_complete(match sql.to_lowercase().starts_with("start") {
                        true => "START TRANSACTION",
                        false => "BEGIN",
                    });
                link.client.queue_ready(b'T');
                self.transcript.push(Exchange::begun(link.server.backend_pid(), &sql));
                link.begin = Some(sql);
                link.savepoint_open = false;
                Ok(false)
            }
            Treatment::Pass => {
                self.pass(index, request, end, &commands).await?;
                Ok(false)
            }
            Treatment::Step | Treatment::Autocommitted => {
                // the Sync that ends a transaction of pgbraid's may be that of a request after the first
                let ends_injected = link.injected && end == RequestEnd::Sync;
                let action = match treatment {
                    Treatment::Autocommitted => Action::Autocommitted,
                    _ if ends_injected => Action::Autocommitted,
                    _ => Action::Statement,
                };
                self.hold(index, action, request, end, &commands, conditions).await?;
                Ok(true)
            }
        }
    }

    /// The Sync has come that commits what requests before it, which ended with a Flush, have done.
    async fn commit_at_sync(&mut self, index: usize, request: Request) -> Result<bool, RunError> {
        if !request.is_sync() {
            let link = &mut self.links[index];
            let sending = Sending {
                keeps_ready: true,
                ..Sending::default()
            };
            let sent = link.send(&request, RequestEnd::Sync, sending);
            sent.map_err(|error| self.lost("", error))?;
            let told = self.await_told(index).await?;
            if told.error.is_some() {
                self.current = index;
                self.roll_back_failed().await?;
                self.links[index].release();
                return Ok(false);
            }
        }
        let origin = Origin::Autocommit(self.statements.saturating_sub(1));
        self.hold_own(index, Action::Commit, origin, "commit".to_owned(), "COMMIT");
        if let Some(held) = &mut self.held {
            held.request = Some((request, RequestEnd::Sync));
        }
        Ok(true)
    }

    /// Sends a request that meets no other session, and has the client hear the answer.
    async fn pass(
        &mut self,
        index: usize,
        request: Request,
        end: RequestEnd,
        commands: &[(StatementKind, String)],
    ) -> Result<(), RunError> {
        let link = &mut self.links[index];
        let begin = link.begin.take();
        link.fresh |= begin.is_some();
        let sending = Sending {
            ahead: begin.as_deref(),
            check: None,
            keeps_ready: false,
        };
        let sent = link.send(&request, end, sending);
        sent.map_err(|error| self.lost("", error))?;
        let told = self.await_told(index).await?;
        let link = &mut self.links[index];
        let exchange = Exchange::passed(link.server.backend_pid(), &request, &told);
        self.transcript.push(exchange);
        link.note_commands(commands, &told, end);
        for (kind, sql) in commands {
            link.level.take_in(None, Origin::Step(0), *kind, sql);
            if *kind == StatementKind::Setting {
                self.observed.sets(sql);
            }
            match kind {
                StatementKind::Begin => link.fresh = true,
                StatementKind::Savepoint if told.error.is_none() => link.savepoint_open = true,
                _ => {}
            }
        }
        if link.status() == TransactionStatus::Idle {
            link.end_transaction();
        }
        for (again, least) in commands.iter().filter_map(|(kind, sql)| messages::changed(*kind, sql)) {
            let link = &mut self.links[index];
            link.least = least.unwrap_or(link.least);
            if link.status() != TransactionStatus::Aborted && end != RequestEnd::Flush {
                self.run_own(index, again).await?;
            }
        }
        self.links[index].release();
        Ok(())
    }

    /// Runs a statement of pgbraid's own that meets no other session.
    async fn run_own(&mut self, index: usize, sql: &str) -> Result<(), RunError> {
        let sent = self.links[index].send_own(sql, None);
        sent.map_err(|error| self.lost("", error))?;
        self.await_told(index).await?;
        Ok(())
    }

    /// Waits for the answer to what cannot wait for another session.
    async fn await_told(&mut self, index: usize) -> Result<Told, RunError> {
        let limit = self.at.limit;
        let hearing = async {
            loop {
                let heard = poll_fn(|cx| {
                    self.poll_meanwhile(cx);
                    self.links[index].poll_heard(cx)
                });
                if let Heard::Finished(told) = heard.await? {
                    return Ok::<_, PostgresError>(told);
                }
            }
        };
        match tokio::time::timeout(limit, hearing).await {
            Ok(told) => told.map_err(|error| self.lost("", error)),
            Err(_) => Err(RunError::StepTimeout {
                session: self.session.name.clone(),
                step: "what its driver sends by itself".to_owned(),
                limit,
                outsider: None,
            }),
        }
    }

    async fn hold(
        &mut self,
        index: usize,
        action: Action,
        request: Request,
        end: RequestEnd,
        commands: &[(StatementKind, String)],
        conditions: &mut Conditions<'_>,
    ) -> Result<(), RunError> {
        // programs that lock files may meet there
        if self.launched.as_ref().is_some_and(|one| holds_file_lock(one.group())) {
            self.observed.meets_elsewhere();
        }
        let link = &self.links[index];
        let own: Vec<&(StatementKind, String)> = match commands {
            // the driver sends BEGIN together with the statement
            [(StatementKind::Begin, _), rest @ ..] if !rest.is_empty() => rest.iter().collect(),
            all => all.iter().collect(),
        };
        let begin = link.begin.clone().or_else(|| match commands {
            [(StatementKind::Begin, sql), _, ..] => Some(sql.clone()),
            _ => None,
        });
        let asked = request.statements.last().filter(|_| own.len() == 1);
        let values: Vec<Shown> = asked
            .map(|asked| naming::values(asked, &self.volatile))
            .unwrap_or_default();
        let sql = match own.as_slice() {
            [] => "(prepare)".to_owned(),
            [(_, sql)] => sql.clone(),
            several => several
                .iter()
                .map(|(_, sql)| sql.as_str())
                .collect::<Vec<_>>()
                .join("; "),
        };
        let name = match own.as_slice() {
            [] => "prepare".to_owned(),
            // a comment ahead of the statement may name it
            [_] => match request.statements.as_slice() {
                [asked] => naming::name(&asked.sql),
                _ => naming::name(&sql),
            },
            several => {
                let names: Vec<String> = several.iter().map(|(_, sql)| naming::name(sql)).collect();
                names.join(", ")
            }
        };
        let filled = naming::filled(&sql.as_str().into(), &values);
        let mut statement = Statement::of(&sql);
        if let [_, _, ..] = own.as_slice() {
            statement.kind = kind_of_several(&own);
        }
        statement.seen = Some(match (own.as_slice(), asked) {
            ([(kind, sql)], Some(asked)) => {
                let level = begin.as_deref().and_then(isolation_named);
                let level = level.unwrap_or_else(|| link.level.now());
                self.observed
                    .number(sql, &asked.types, *kind, level, conditions)
                    .await?
            }
            // nothing is known of several statements together
            _ => UNKNOWN,
        });
        let pending = Pending {
            name,
            statement: Arc::new(statement),
            origin: Origin::Step(self.statements),
            filled,
            values: values
                .iter()
                .map(|value| value.text.clone().filter(|_| value.plain))
                .collect(),
            opens: link.fresh || link.status() == TransactionStatus::Idle,
            begin,
            attempt: 0,
        };
        self.statements += 1;
        self.note_next(&pending.name, (index, &pending.filled, &pending.values, &pending.begin));
        self.held = Some(Held {
            link: index,
            action,
            pending,
            request: Some((request, end)),
        });
        Ok(())
    }

    /// A step of pgbraid's own.
    fn hold_own(&mut self, index: usize, action: Action, origin: Origin, name: String, sql: &str) {
        let pending = Pending {
            name,
            statement: Arc::new(Statement::of(sql)),
            origin,
            filled: sql.to_owned(),
            values: Vec::new(),
            opens: false,
            begin: None,
            attempt: 0,
        };
        self.held = Some(Held {
            link: index,
            action,
            pending,
            request: None,
        });
    }

    /// A client has hung up. What its transaction holds is given back in a step. Returns whether there is one.
    async fn farewell(&mut self, index: usize, conditions: &mut Conditions<'_>) -> Result<bool, RunError> {
        let last = Origin::Rollback(self.statements.saturating_sub(1));
        let link = &mut self.links[index];
        link.begin = None;
        match link.status() {
            TransactionStatus::Open if !link.fresh => {
                self.hold_own(
                    index,
                    Action::Rollback,
                    last,
                    "rollback (connection closed)".to_owned(),
                    "ROLLBACK",
                );
                return Ok(true);
            }
            TransactionStatus::Aborted if link.savepoint_open => {
                self.hold_own(
                    index,
                    Action::Rollback,
                    last,
                    "rollback (connection closed)".to_owned(),
                    "ROLLBACK",
                );
                return Ok(true);
            }
            TransactionStatus::Open | TransactionStatus::Aborted => {
                self.run_own(index, "ROLLBACK").await?;
            }
            TransactionStatus::Idle => {}
        }
        let backend_pid = self.links[index].server.backend_pid();
        if conditions.keeps_advisory_locks(backend_pid).await? {
            let origin = Origin::Disconnect(self.statements.saturating_sub(1));
            self.hold_own(index, Action::Disconnect, origin, DISCONNECT.to_owned(), "(disconnect)");
            return Ok(true);
        }
        let mut link = self.links.remove(index);
        link.server.terminate().await;
        if self.current > index {
            self.current -= 1;
        }
        if self.links.is_empty() && self.exit.is_some() {
            self.end().await;
            return Ok(true);
        }
        Ok(false)
    }

    /// The program has ended, and nothing is left of it.
    async fn end(&mut self) {
        if let Some(mut launched) = self.launched.take() {
            launched.end().await;
            self.output = launched.output();
            self.note_next("its end", format!("{:?}", self.exit));
        }
        self.ended = true;
    }

    /// The step under way is over.
    fn take_in(&mut self, held: Held, told: Told) -> Finished {
        let Held {
            link: index,
            action,
            pending,
            request,
        } = held;
        let link = &mut self.links[index];
        let sent = request.as_ref().map(|(request, _)| request);
        let exchange = Exchange::turn(link.server.backend_pid(), action, sent, &told);
        self.transcript.push(exchange);
        link.fresh = false;
        let request_end = request.as_ref().map(|(_, end)| *end);
        if let Some((request, end)) = &request {
            link.note_commands(&commands(request), &told, *end);
        }
        let kind = pending.statement.kind;
        let isolation = link
            .level
            .take_in(pending.begin.as_deref(), pending.origin, kind, &pending.statement.sql);
        if kind == StatementKind::RollbackTo && told.error.is_none() {
            link.checks.forget();
        }
        let tag = told.results.last().map(|result| result.tag.clone());
        let status = link.status();
        let ended = status == TransactionStatus::Idle && action != Action::Autocommitted;
        let end = match (&told.error, action) {
            (_, Action::Disconnect) => None,
            (Some(_), _) => Some(TxEnd::Failed),
            (None, _) if ended => Some(match (action, tag.as_deref()) {
                (Action::Rollback, _) | (_, Some("ROLLBACK")) => TxEnd::RolledBack,
                _ => TxEnd::Committed,
            }),
            (None, _) => None,
        };
        if status == TransactionStatus::Idle {
            link.end_transaction();
        }
        let deadlock = told.error.as_deref().map(deadlocked_backends).unwrap_or_default();
        match (action, &told.error) {
            (Action::Autocommitted, None) if request_end == Some(RequestEnd::Flush) => {}
            (Action::Autocommitted, None) => {
                let name = format!("commit of {}", pending.name);
                let origin = Origin::Autocommit(pending.origin.step());
                self.hold_own(index, Action::Commit, origin, name, "COMMIT");
                // the client's own request is told how it ended
                if let Some(held) = &mut self.held {
                    held.request = request.clone();
                }
            }
            (Action::Commit, None) => link.withhold_ready(b'I'),
            (Action::Commit, Some(_)) => {
                let frames: Vec<_> = told.error_frame.iter().cloned().collect();
                link.withhold_error(&frames, request_end.unwrap_or(RequestEnd::Sync));
                link.withhold_ready(b'I');
            }
            _ => {}
        }
        let result = match &told.error {
            Some(error) => StepResult::Error(step_error(error)),
            None if action == Action::Disconnect => StepResult::Done {
                tag: "DISCONNECT".to_owned(),
            },
            None => self.step_result(told, pending.statement.ordered),
        };
        self.path = hash((self.path, format!("{result:?}")));
        self.results.push(StepOutcome {
            origin: pending.origin,
            end,
            result: result.clone(),
        });
        Finished {
            result,
            isolation,
            end,
            deadlock,
        }
    }

    fn step_result(&self, told: Told, ordered: bool) -> StepResult {
        let Some(result) = told.results.into_iter().last() else {
            return StepResult::Done { tag: String::new() };
        };
        let Some(columns) = result.columns else {
            return StepResult::Done { tag: result.tag };
        };
        let row = |row: &Vec<Option<bytes::Bytes>>| {
            let cells = columns.iter().zip(row).map(|(column, value)| {
                let type_oid = column.column.type_oid;
                let text = value.as_ref().map(|bytes| readable(type_oid, column.binary, bytes));
                self.volatile.show(&column.column, &text)
            });
            cells.collect::<Vec<_>>()
        };
        let rows = result.rows.iter().map(row).collect();
        let columns = columns.iter().map(|column| column.column.name.clone()).collect();
        StepResult::of_rows(columns, rows, ordered, result.tag)
    }

    /// Ends what an error has left of an autocommitted statement, which has released everything.
    async fn roll_back_failed(&mut self) -> Result<(), RunError> {
        let index = self.current;
        if index >= self.links.len() {
            return Ok(());
        }
        self.run_own(index, "ROLLBACK").await?;
        let link = &mut self.links[index];
        link.end_transaction();
        link.withhold_ready(b'I');
        Ok(())
    }

    /// What has come of a cancellation, or of a client that gave up while its statement waits.
    fn poll_meanwhile(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(arrival)) = self.gate.poll_arrival(cx) {
            if let Arrival::Cancel {
                backend_pid,
                secret_key,
            } = arrival
                && let Some(canceller) = self.canceller(backend_pid, secret_key)
            {
                self.note(Uncontrolled::ProgramCancelled {
                    session: self.session.name.clone(),
                });
                tokio::spawn(async move {
                    // a query that was over by then needs none
                    let _ = canceller.cancel().await;
                });
            }
        }
    }

    /// Other connections of the program's, while this one has a turn: what they send now could have come before.
    fn look_at_others(&mut self, busy: usize, cx: &mut Context<'_>) {
        for index in (0..self.links.len()).filter(|&index| index != busy) {
            let link = &mut self.links[index];
            link.gather(cx);
            let Some(request) = link.next_request() else { continue };
            let standing = link.standing(&self.observed);
            let of_driver = |asked: &crate::proxy::Asked| observed::may_be_prelude(&asked.sql);
            let is_driver = !request.statements.is_empty() && request.statements.iter().all(of_driver);
            let passes =
                is_driver || treatment(&commands(request), true, request.prepares, standing) == Treatment::Pass;
            link.overlaps = true;
            if !passes {
                self.note(Uncontrolled::ConcurrentConnections {
                    session: self.session.name.clone(),
                });
            }
        }
    }

    /// What the program does next must follow from what it has been told.
    fn note_next(&mut self, step: &str, next: impl Hash) {
        let next = hash((self.path, next));
        if !self.observed.follows(self.path, next) {
            self.note(Uncontrolled::ProgramDiffers {
                session: self.session.name.clone(),
                step: step.to_owned(),
            });
        }
        self.path = next;
    }

    fn note(&mut self, what: Uncontrolled) {
        if !self.uncontrolled.contains(&what) {
            self.uncontrolled.push(what);
        }
    }
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// The name of the encoding, which clients write in more ways than one.
fn is_utf8(encoding: &str) -> bool {
    let letters = encoding.chars().filter(|c| c.is_ascii_alphanumeric());
    letters.collect::<String>().eq_ignore_ascii_case("utf8")
}

/// The number of what was not analysed.
const UNKNOWN: usize = usize::MAX;

/// Several commands, some of which begin or end transactions, count as one that is a transaction of its own.
fn kind_of_several(commands: &[&(StatementKind, String)]) -> StatementKind {
    match commands
        .iter()
        .all(|(kind, _)| matches!(kind, StatementKind::Plain | StatementKind::Setting))
    {
        true => StatementKind::Plain,
        false => StatementKind::OutsideBlock,
    }
}

impl Session for Attached {
    fn name(&self) -> &str {
        &self.session.name
    }

    fn backend_pid(&self) -> i32 {
        let held = self.under_way.as_ref().or(self.held.as_ref());
        let index = held.map_or(self.current, |held| held.link);
        self.links.get(index).map_or(0, |link| link.server.backend_pid())
    }

    fn has_backend(&self, pid: i32) -> bool {
        self.links.iter().any(|link| link.server.backend_pid() == pid)
    }

    fn in_transaction(&self) -> bool {
        self.links.iter().any(|link| link.status() != TransactionStatus::Idle)
    }

    fn next(&self) -> Next<'_> {
        match (&self.held, self.ended) {
            (Some(held), _) => Next::Held(&held.pending),
            (None, true) => Next::Ended,
            (None, false) => Next::Thinking,
        }
    }

    fn outside(&self) -> Option<Outside> {
        self.outside
    }

    fn owns_process(&self, pid: i32) -> bool {
        self.launched
            .as_ref()
            .is_some_and(|launched| launched.group().processes().contains(&pid))
    }

    async fn send(&mut self, check: DeadlockCheck) -> Result<(), RunError> {
        let Some(held) = self.held.take() else { return Ok(()) };
        self.current = held.link;
        let link = &mut self.links[held.link];
        let is_open = link.status() == TransactionStatus::Open;
        let sent = match (&held.request, held.action) {
            (Some((request, end)), Action::Statement | Action::Autocommitted) => {
                let begin = link.begin.take();
                let autocommitted = held.action == Action::Autocommitted;
                let injects = autocommitted && !link.injected;
                link.injected |= autocommitted;
                let begins_itself = begin.is_none() && held.pending.begin.is_some();
                let in_block = is_open || begin.is_some() || autocommitted || begins_itself;
                let sending = Sending {
                    ahead: if injects { Some("BEGIN") } else { begin.as_deref() },
                    check: in_block.then_some(check),
                    keeps_ready: autocommitted,
                };
                link.send(request, *end, sending)
            }
            (_, Action::Commit) => link.send_own("COMMIT", Some(check)),
            (_, Action::Disconnect) => link.send_own(FREE_LOCKS, None),
            _ => link.send_own("ROLLBACK", None),
        };
        sent.map_err(|error| self.lost(&held.pending.name, error))?;
        self.sent.push(Sent {
            sql: held.pending.statement.sql.clone(),
            values: Vec::new(),
        });
        self.under_way = Some(held);
        Ok(())
    }

    async fn send_begin(&mut self) -> Result<(), RunError> {
        Ok(())
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, RunError>> {
        self.poll_meanwhile(cx);
        let Some(index) = self.under_way.as_ref().map(|held| held.link) else {
            return Poll::Pending;
        };
        self.look_at_others(index, cx);
        let Some(held) = &self.under_way else {
            return Poll::Pending;
        };
        let heard = ready!(self.links[index].poll_heard(cx));
        let name = held.pending.name.clone();
        Poll::Ready(Ok(match heard.map_err(|error| self.lost(&name, error))? {
            Heard::StillWaiting => Progress::StillWaiting,
            Heard::Acquired => Progress::Acquired,
            Heard::Finished(told) => match self.under_way.take() {
                Some(held) => Progress::Finished(self.take_in(held, told)),
                None => return Poll::Pending,
            },
        }))
    }

    fn timeout(&self) -> Option<WaitTimeout> {
        None
    }

    fn timeout_not_explored(&self) -> Option<String> {
        let link = self.links.get(self.under_way.as_ref()?.link)?;
        link.timed.then(|| {
            format!(
                "the program of session {} waits with lock_timeout or statement_timeout set, and what it does when its \
                 time is up is not explored",
                self.session.name
            )
        })
    }

    fn expire(&mut self) {}

    async fn find_next(&mut self, conditions: &mut Conditions<'_>) -> Result<(), RunError> {
        if self.held.is_some() || self.ended || self.under_way.is_some() {
            return Ok(());
        }
        if self.launched.is_none() {
            self.start()?;
        }
        self.outside = None;
        if self.statements > 0 {
            poll_fn(|cx| {
                self.look_at_others(self.current, cx);
                Poll::Ready(())
            })
            .await;
        }
        if let Some(link) = self.links.get(self.current) {
            // what is left of an autocommitted statement that failed
            let failed = link.status() == TransactionStatus::Aborted && link.injected && !link.skipping;
            if failed {
                self.roll_back_failed().await?;
            }
        }
        for link in &mut self.links {
            link.release();
        }
        self.advance(conditions).await
    }

    async fn begin_reset(&mut self) -> Result<(), RunError> {
        self.held = None;
        self.under_way = None;
        if let Some(mut launched) = self.launched.take() {
            launched.end().await;
        }
        let mut links = std::mem::take(&mut self.links);
        for link in &mut links {
            link.server.terminate().await;
        }
        Ok(())
    }

    async fn end_reset(&mut self) -> Result<(), RunError> {
        // who came too late for the last run is not let into the next
        while let Poll::Ready(Some(_)) = poll_fn(|cx| Poll::Ready(self.gate.poll_arrival(cx))).await {}
        self.current = 0;
        self.statements = 0;
        self.path = hash(&self.session.name);
        self.transcript.clear();
        self.results.clear();
        self.sent.clear();
        self.outside = None;
        self.uncontrolled.clear();
        self.exit = None;
        self.output = Output::default();
        self.ended = false;
        Ok(())
    }

    async fn left_behind(&mut self) -> Result<Option<String>, RunError> {
        Ok(None)
    }

    fn end(&self) -> SessionEnd {
        SessionEnd {
            committed: self.exit == Some(Exit::Code(0)),
            error: None,
            retries: 0,
            variables: Vec::new(),
            exit: self.exit,
        }
    }

    fn variables(&self) -> &Variables {
        &self.variables
    }

    fn results(&self) -> &[StepOutcome] {
        &self.results
    }

    fn sent(&self) -> &[Sent] {
        &self.sent
    }

    fn transcript(&self) -> &[Exchange] {
        &self.transcript
    }

    fn output(&self) -> Option<&Output> {
        Some(&self.output)
    }

    fn uncontrolled(&self) -> &[Uncontrolled] {
        &self.uncontrolled
    }
}
