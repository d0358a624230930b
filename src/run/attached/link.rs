//! A program's connection, and the one to the server behind it.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use super::learned::Opening;
use super::messages::Least;
use super::observed::Observed;
use super::schedulable::Standing;
use super::told::{Telling, Told};
use super::transcript::opening;
use crate::postgres::PostgresError;
use crate::postgres::wire::{Connection, Frame, ServerError, TransactionStatus, WaitReport, WireError};
use crate::proxy::{Client, Collected, Collector, Login, ProxyError, Request, RequestEnd};
use crate::run::checks::Checks;
use crate::run::level::Level;
use crate::run::session::DeadlockCheck;
use crate::sql::{Isolation, StatementKind};

/// How much of a COPY may wait for the server to take it.
const MOST_UNSENT: usize = 1 << 20;

/// Both sides of a conversation.
pub struct Link {
    pub client: Client,
    pub server: Connection,
    collector: Collector,
    /// What the client has sent and nobody has looked at yet.
    collected: VecDeque<(Request, RequestEnd)>,
    /// It has said goodbye, or hung up.
    closed: bool,
    pub checks: Checks,
    pub level: Level,
    /// How its client has logged in.
    pub login: Login,
    /// What its client set before the first step, outside transactions.
    pub settings: Vec<String>,
    /// Which messages the client asked for.
    pub least: Least,
    /// The same as it connected.
    pub first_least: Least,
    /// Its client has made settings before the first step, other than those that it connected with.
    pub prepared: bool,
    /// It is not as it was before the first step, and pgbraid does not make it so.
    pub changed: bool,
    /// It is notified, or may be.
    pub listens: bool,
    /// Another session's notification has come.
    pub notified: bool,
    /// Locks from before a savepoint outlive an error.
    pub savepoint_open: bool,
    /// A BEGIN that the client has been answered, and the server has not been sent.
    pub begin: Option<String>,
    /// A BEGIN that was not learned yet.
    pub unlearned: Option<(Request, RequestEnd)>,
    /// The transaction is pgbraid's: its statement came outside one.
    pub injected: bool,
    /// A request that ended with a Flush has failed: the server skips all that comes until a Sync.
    pub skipping: bool,
    /// A timeout that the server ends waiting statements by is set, or may be.
    pub timed: bool,
    /// What it has sent last came while another connection of the program had a turn.
    pub overlaps: bool,
    /// The transaction has had no turn yet.
    pub fresh: bool,
    /// The BEGIN of such a transaction, which went ahead of what passed.
    pub begun: Option<String>,
    /// A request of it is held or under way.
    pub busy: bool,
    /// It is closed.
    pub gone: bool,
    /// It counts as closed, and is kept for another run.
    pub parked: bool,
    /// The session that its last step belongs to.
    pub owner: Option<usize>,
    /// A step has run on it: what it sets from now on is not how the driver opens its connections.
    pub settled: bool,
    exchange: Option<Exchange>,
    /// As it stands before the server has said so: a request that ends with a Flush has begun a transaction, or failed.
    unsaid: Option<TransactionStatus>,
    /// What it has sent ended with a Flush: its Sync is due.
    unsynced: bool,
    /// What the client is to be told once the turn is settled.
    withheld: Vec<Frame>,
    /// Types of parameters that the server is about to describe, by statement.
    described: VecDeque<String>,
    /// A statement whose columns the server describes next.
    describing: Option<String>,
}

/// A request that the server is answering.
#[derive(Debug)]
struct Exchange {
    /// Answers yet to come to statements of pgbraid's own that went ahead of it.
    aside: usize,
    /// A ReadyForQuery of their own ends them.
    aside_ready: bool,
    /// A Sync of pgbraid's own ends it.
    own_sync: bool,
    end: RequestEnd,
    /// Answers yet to come, where it ends with a Flush.
    answers: usize,
    /// Nothing of it is for the client.
    own: bool,
    /// The client hears its end later, from pgbraid.
    keeps_ready: bool,
    /// The server takes rows from the client.
    copying: bool,
    /// The Sync that came with a COPY was ignored, as it came among the rows: another one ends it.
    awaits_sync: bool,
    telling: Telling,
}

/// What can come of an exchange.
pub enum Heard {
    Finished(Told),
    StillWaiting,
    Acquired,
}

/// How a request is sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sending<'a> {
    /// A statement that goes ahead of it.
    pub ahead: Option<&'a str>,
    /// A deadlock check that its transaction is to have.
    pub check: Option<DeadlockCheck>,
    /// The client hears its end later.
    pub keeps_ready: bool,
}

impl Link {
    pub fn new(
        client: Client,
        login: Login,
        server: Connection,
        check: Option<DeadlockCheck>,
        level: Isolation,
    ) -> Link {
        Link {
            client,
            server,
            collector: Collector::default(),
            collected: VecDeque::new(),
            closed: false,
            checks: Checks::new(check),
            level: Level::new(level),
            login,
            settings: Vec::new(),
            least: Least::default(),
            first_least: Least::default(),
            prepared: false,
            changed: false,
            listens: false,
            notified: false,
            savepoint_open: false,
            begin: None,
            unlearned: None,
            injected: false,
            skipping: false,
            timed: false,
            overlaps: false,
            fresh: false,
            begun: None,
            busy: false,
            gone: false,
            parked: false,
            owner: None,
            settled: false,
            exchange: None,
            unsaid: None,
            unsynced: false,
            withheld: Vec::new(),
            described: VecDeque::new(),
            describing: None,
        }
    }

    /// Settings that it has had from the start, as statements.
    pub fn opening(&self) -> Vec<String> {
        opening(&self.login)
            .into_iter()
            .chain(self.settings.iter().cloned())
            .collect()
    }

    /// How it was opened, whatever the database is called.
    pub fn opened(&self) -> Opening {
        let parameters = self.login.parameters.iter().cloned();
        Opening {
            parameters: parameters.filter(|(name, _)| name != "database").collect(),
            settings: self.settings.clone(),
        }
    }

    /// Ends both sides.
    pub async fn close(&mut self) {
        self.server.terminate().await;
        self.client.hang_up().await;
        self.gone = true;
    }

    /// Whether a transaction is open.
    pub fn status(&self) -> TransactionStatus {
        self.unsaid.unwrap_or_else(|| self.server.transaction())
    }

    /// Reads what the client has sent, and writes what it is to hear. Returns the next request, or `None` where the client
    /// has gone.
    pub fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<(Request, RequestEnd)>, ProxyError>> {
        let _ = self.client.poll_flush(cx);
        loop {
            if let Some(request) = self.collected.pop_front() {
                return Poll::Ready(Ok(Some(request)));
            }
            if self.closed {
                return Poll::Ready(Ok(None));
            }
            ready!(self.poll_client(cx))?;
        }
    }

    /// Reads what the client has sent while another connection of the program has a turn.
    pub fn gather(&mut self, cx: &mut Context<'_>) {
        while self.collected.is_empty() && !self.closed {
            match self.poll_client(cx) {
                Poll::Ready(Ok(())) => {}
                // what is wrong with it is told when the request is taken
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
    }

    /// The next request, where it has come whole.
    pub fn next_request(&self) -> Option<&Request> {
        self.collected.front().map(|(request, _)| request)
    }

    /// Whether its client has prepared a statement of this name, other than by PREPARE.
    pub fn has_prepared(&self, name: &str) -> bool {
        self.collector.has_prepared(name)
    }

    /// Where it stands, given what has been seen of the programs.
    pub fn standing(&self, observed: &Observed) -> Standing {
        Standing {
            begins_apart: observed.begins_apart(),
            tables_locked: observed.tables_locked(),
            status: self.status(),
            begins: self.begin.is_some(),
            fresh: self.fresh,
            savepoint_open: self.savepoint_open,
            isolation: self.level.now(),
        }
    }

    /// Takes in one more message of the client's.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        let Some(message) = ready!(self.client.poll_message(cx))? else {
            self.closed = true;
            return Poll::Ready(Ok(()));
        };
        match self.collector.take(&message)? {
            Collected::Nothing => {}
            Collected::Request(request, end) => match &mut self.exchange {
                Some(exchange) if exchange.awaits_sync && request.is_sync() => {
                    exchange.awaits_sync = false;
                    self.server.queue_frames(&request.bytes);
                }
                _ => self.collected.push_back((request, end)),
            },
            // behind an error the server skips them, too
            Collected::Copy(bytes) => {
                if self.exchange.as_ref().is_some_and(|exchange| exchange.copying) {
                    self.server.queue_frames(&bytes);
                }
            }
            Collected::Terminate => self.closed = true,
        }
        Poll::Ready(Ok(()))
    }

    /// Sends a request of the client's.
    pub fn send(&mut self, request: &Request, end: RequestEnd, sending: Sending<'_>) -> Result<(), WireError> {
        let mut aside = 0;
        if sending.ahead.is_some() {
            self.unsaid = Some(TransactionStatus::Open);
        }
        if let Some(sql) = sending.ahead {
            aside += self.server.queue_aside(sql)?;
        }
        if let Some(sql) = sending.check.and_then(|check| self.checks.change_to(check)) {
            aside += self.server.queue_aside(sql)?;
        }
        // a simple Query begins a conversation of its own
        let aside_ready = aside > 0 && end == RequestEnd::Query;
        if aside_ready {
            self.server.queue_sync();
        }
        self.server.queue_frames(&request.bytes);
        // what a driver prepares keeps its tables locked until the Sync that comes with the statement's run; where nothing
        // but that is under way, another Sync changes nothing for the client
        let own_sync = end == RequestEnd::Flush
            && aside == 0
            && request.statements.is_empty()
            && !request.binds
            && self.status() == TransactionStatus::Idle
            && !self.unsynced;
        if own_sync {
            self.server.queue_sync();
        }
        self.unsynced = end == RequestEnd::Flush && !own_sync;
        self.described.extend(request.described.iter().cloned());
        self.exchange = Some(Exchange {
            aside,
            aside_ready,
            end,
            answers: request.answers,
            own: false,
            own_sync,
            keeps_ready: sending.keeps_ready,
            copying: false,
            awaits_sync: false,
            telling: Telling::of(&request.statements),
        });
        Ok(())
    }

    /// Sends a statement of pgbraid's own. The client hears nothing of it.
    pub fn send_own(&mut self, sql: &str, check: Option<DeadlockCheck>) -> Result<(), WireError> {
        if let Some(check) = check.and_then(|check| self.checks.change_to(check)) {
            self.server.queue_aside(check)?;
        }
        self.server.queue_aside(sql)?;
        self.server.queue_sync();
        self.exchange = Some(Exchange {
            aside: 0,
            aside_ready: false,
            end: RequestEnd::Sync,
            answers: 0,
            own: true,
            own_sync: false,
            keeps_ready: true,
            copying: false,
            awaits_sync: false,
            telling: Telling::default(),
        });
        Ok(())
    }

    /// What has come of the exchange under way.
    pub fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Result<Heard, PostgresError>> {
        loop {
            self.pump_copy(cx)?;
            let _ = self.server.poll_flush(cx)?;
            let frame = ready!(self.server.poll_frame(cx))?;
            if let Some(heard) = self.take_in(frame)? {
                return Poll::Ready(Ok(heard));
            }
        }
    }

    /// Hands the rows of a COPY on to the server.
    fn pump_copy(&mut self, cx: &mut Context<'_>) -> Result<(), PostgresError> {
        let takes_more = |link: &Link| {
            let exchange = link.exchange.as_ref();
            exchange.is_some_and(|exchange| exchange.copying || exchange.awaits_sync)
        };
        if !takes_more(self) {
            return Ok(());
        }
        let _ = self.client.poll_flush(cx);
        while !self.closed && takes_more(self) {
            // a client may send faster than the server reads
            if self.server.unsent() > MOST_UNSENT && self.server.poll_flush(cx)?.is_pending() {
                break;
            }
            match self.poll_client(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(WireError::Protocol(error.to_string()).into()),
                Poll::Pending => break,
            }
        }
        if self.closed
            && let Some(exchange) = &mut self.exchange
        {
            if std::mem::take(&mut exchange.copying) {
                self.server.queue_copy_failure("the program has gone")?;
            }
            if std::mem::take(&mut exchange.awaits_sync) {
                self.server.queue_sync();
            }
        }
        Ok(())
    }

    /// Takes in what the server says of its own accord: notifications, mostly.
    pub fn poll_unasked(&mut self, cx: &mut Context<'_>) -> Result<(), WireError> {
        while self.exchange.is_none() {
            let Poll::Ready(frame) = self.server.poll_frame(cx) else {
                break;
            };
            self.take_in(frame?)?;
            self.release();
        }
        Ok(())
    }

    fn take_in(&mut self, frame: Frame) -> Result<Option<Heard>, WireError> {
        let kind = frame.kind();
        if kind == b'N' {
            return self.notice(frame);
        }
        if kind == b'A' {
            self.notified |= frame.notifier()? != Some(self.server.backend_pid());
        }
        let Some(exchange) = &mut self.exchange else {
            // a notification, or a setting that was changed from outside
            self.notified = true;
            self.withheld.push(frame);
            return Ok(None);
        };
        if matches!(kind, b'S' | b'A') {
            self.withheld.push(frame);
            return Ok(None);
        }
        if exchange.aside > 0 && kind != b'E' && kind != b'Z' {
            exchange.aside -= 1;
            return Ok(None);
        }
        if kind == b'Z' && std::mem::take(&mut exchange.aside_ready) {
            return Ok(None);
        }
        if kind == b't'
            && let Some(name) = self.described.pop_front()
        {
            self.collector.learn_types(&name, frame.parameter_types()?);
            self.describing = Some(name);
        } else if let Some(name) = self.describing.take()
            && let Some(columns) = frame.columns()?
        {
            self.collector.learn_columns(&name, columns);
        }
        match kind {
            b'Z' => {
                self.unsaid = None;
                self.skipping = exchange.own_sync && exchange.telling.failed();
            }
            b'E' if self.unsaid.is_some() || self.server.transaction() == TransactionStatus::Open => {
                self.unsaid = Some(TransactionStatus::Aborted);
            }
            _ => {}
        }
        exchange.telling.take_in(&frame)?;
        exchange.awaits_sync |= kind == b'G' && exchange.end == RequestEnd::Sync;
        exchange.copying = kind == b'G' || (exchange.copying && !matches!(kind, b'C' | b'E' | b'Z'));
        let copying = exchange.copying;
        if !exchange.own && !(kind == b'Z' && (exchange.keeps_ready || exchange.own_sync)) {
            self.withheld.push(frame);
        }
        if copying || self.exchange.as_ref().is_some_and(|exchange| exchange.awaits_sync) {
            self.release();
        }
        let Some(exchange) = &mut self.exchange else {
            return Ok(None);
        };
        let is_over = match exchange.end {
            RequestEnd::Query | RequestEnd::Sync => kind == b'Z',
            RequestEnd::Flush if exchange.own_sync => kind == b'Z',
            RequestEnd::Flush => {
                let is_answer = matches!(kind, b'1' | b'2' | b'3' | b't' | b'T' | b'n' | b'C' | b'I' | b's');
                exchange.answers -= usize::from(is_answer).min(exchange.answers);
                // behind an error the server skips everything until the client's Sync
                self.skipping |= kind == b'E';
                exchange.answers == 0 || kind == b'E'
            }
        };
        if !is_over {
            return Ok(None);
        }
        if kind == b'E' || exchange.telling.failed() {
            self.described.clear();
        }
        let telling = self
            .exchange
            .take()
            .map(|exchange| exchange.telling)
            .unwrap_or_default();
        Ok(Some(Heard::Finished(telling.told())))
    }

    /// Messages for the log come because pgbraid asked for them.
    fn notice(&mut self, frame: Frame) -> Result<Option<Heard>, WireError> {
        let Some(notice) = frame.error()? else { return Ok(None) };
        let ServerError { severity, message, .. } = *notice;
        if severity != "LOG" {
            // a BEGIN of the client's, or a setting of pgbraid's, comes as it would without the other
            let exchange = self.exchange.as_ref();
            let is_clients = exchange.is_none_or(|exchange| exchange.aside == 0 && !exchange.own);
            if is_clients && self.least.lets(&severity) {
                if let Some(exchange) = &mut self.exchange {
                    exchange.telling.notice(frame.clone());
                }
                self.withheld.push(frame);
            }
            return Ok(None);
        }
        Ok(WaitReport::of(&message).map(|report| match report {
            WaitReport::StillWaiting => Heard::StillWaiting,
            WaitReport::Acquired => Heard::Acquired,
        }))
    }

    /// A COMMIT or ROLLBACK has begun another transaction, with the same level.
    pub fn begin_chained(&mut self) {
        self.checks.forget();
        self.savepoint_open = false;
        self.fresh = true;
        self.begun = None;
    }

    /// No transaction is open any more.
    pub fn end_transaction(&mut self) {
        self.checks.forget();
        self.level.end_transaction();
        self.savepoint_open = false;
        self.fresh = false;
        self.begun = None;
        self.injected = false;
    }

    /// A request that ends with a Flush may have begun a transaction, or ended one: the server says so with the Sync only.
    pub fn note_commands(&mut self, commands: &[(StatementKind, String)], told: &Told, end: RequestEnd) {
        if end != RequestEnd::Flush || told.error.is_some() {
            return;
        }
        for (kind, _) in commands {
            match kind {
                StatementKind::Begin => {
                    self.unsaid = Some(TransactionStatus::Open);
                    self.injected = false;
                }
                StatementKind::Commit { chain: false } | StatementKind::Rollback { chain: false } => {
                    self.unsaid = Some(TransactionStatus::Idle);
                    self.injected = false;
                }
                _ => {}
            }
        }
    }

    /// Has the client hear what has been withheld from it.
    pub fn release(&mut self) {
        for frame in self.withheld.drain(..) {
            self.client.queue(&frame.bytes);
        }
    }

    /// The client hears an error in place of the success that it has not heard of yet.
    pub fn withhold_error(&mut self, error: &[Frame], end: RequestEnd) {
        if end == RequestEnd::Query
            && let Some(last) = self.withheld.iter().rposition(|frame| frame.kind() == b'C')
        {
            self.withheld.remove(last);
        }
        self.withheld.extend(error.iter().cloned());
    }

    /// The client is ready for its next request once it hears what was withheld.
    pub fn withhold_ready(&mut self, status: u8) {
        self.withheld.push(Frame::ready(status));
    }
}
