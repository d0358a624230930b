//! A session that is a program, or a request to one: its statements are held at the gate until they are scheduled.

mod advance;
mod connections;
mod finishing;
mod host;
mod learned;
mod link;
mod messages;
mod naming;
mod observed;
mod request;
mod schedulable;
mod service;
mod taking;
mod told;
mod transcript;

pub use host::{Host, Place, SharedHost};
#[cfg(test)]
pub use learned::Learned;
pub use learned::Memory;
pub use observed::{Knowledge, Observed};
pub use request::RequestError;
pub use schedulable::may_lock_tables;
pub use transcript::{Answered, Exchange, ExchangeKind, Said};

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;

use self::link::{Heard, Sending};
use super::driver::{Action, FREE_LOCKS, Sent};
use super::session::{DeadlockCheck, Next, Outside, Pending, Progress, Session, WaitTimeout};
use super::{Conditions, RunError};
use crate::history::{Answer, Exit, NoAnswer, SessionEnd, StepOutcome, Uncontrolled, Variables, Volatile};
use crate::postgres::wire::TransactionStatus;
use crate::process::Output;
use crate::proxy::{Request, RequestEnd};
use crate::scenario::{self, ServiceRequest};

/// How long a service is watched after an answer where it has timers left, and after the last one of a search.
const LONGEST_LATENESS: Duration = Duration::from_secs(1);

/// What a program, or a part of one, has come to, and the statement of it that is held or under way.
pub struct Attached {
    session: scenario::Session,
    /// Its number among the sessions.
    id: usize,
    part: Part,
    asked: Option<JoinHandle<Result<Result<Answer, NoAnswer>, RequestError>>>,
    answer: Option<Result<Answer, NoAnswer>>,
    host: SharedHost,
    /// `None` where nothing is learned of it.
    memory: Option<Memory>,
    volatile: Arc<Volatile>,
    observed: Arc<Observed>,
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
    leaves_more_than_rows: bool,
    overlaps_itself: bool,
    exit: Option<Exit>,
    output: Output,
    ended: bool,
}

/// What of a program a session is.
pub enum Part {
    /// All of it.
    Whole,
    /// One of its connections.
    Connection,
    /// A request to it.
    Request(ServiceRequest),
}

/// A step that waits to be scheduled, or is under way.
#[derive(Debug, Clone)]
struct Held {
    link: usize,
    action: Action,
    pending: Pending,
    /// What the client has sent; `None` for a step of pgbraid's own.
    request: Option<(Request, RequestEnd)>,
    /// The program holds a lock on a file.
    locks_file: bool,
    sent: Sent,
}

impl Attached {
    /// The session of this number among those of the scenario, whose program `host` runs.
    pub fn new(
        session: scenario::Session,
        id: usize,
        host: SharedHost,
        part: Part,
        memory: Option<Memory>,
        volatile: Arc<Volatile>,
        observed: Arc<Observed>,
    ) -> Attached {
        let path = hash(&session.name);
        Attached {
            session,
            id,
            part,
            asked: None,
            answer: None,
            host,
            memory,
            volatile,
            observed,
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
            leaves_more_than_rows: false,
            overlaps_itself: false,
            exit: None,
            output: Output::default(),
            ended: false,
        }
    }

    /// The host is never held across moves, so that it is always free here.
    fn host(&self) -> Option<OwnedMutexGuard<Host>> {
        self.host.clone().try_lock_owned().ok()
    }

    /// Whether a connection of the host is this session's.
    fn owns(&self, host: &Host, index: usize) -> bool {
        match host.links.get(index) {
            Some(link) if !link.gone => matches!(self.part, Part::Whole) || link.owner == Some(self.id),
            _ => false,
        }
    }

    fn own_links<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = &'a link::Link> {
        let owned = host.open_links().filter(|(index, _)| self.owns(host, *index));
        owned.map(|(_, link)| link)
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

    /// Whether how the program ended is said of this session. Of several connections, it is said of the first.
    fn shows_exit(&self) -> bool {
        self.session.connection.is_none_or(|number| number == 1)
    }

    fn note(&mut self, what: Uncontrolled) {
        self.learn_nothing();
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

impl Session for Attached {
    fn name(&self) -> &str {
        &self.session.name
    }

    fn backend_pid(&self) -> i32 {
        let held = self.under_way.as_ref().or(self.held.as_ref());
        let index = held.map_or(self.current, |held| held.link);
        let host = self.host();
        let host = host.as_ref().filter(|host| self.owns(host, index));
        host.map_or(0, |host| host.links[index].server.backend_pid())
    }

    fn has_backend(&self, pid: i32) -> bool {
        let host = self.host();
        let mut links = host.iter().flat_map(|host| self.own_links(host));
        links.any(|link| link.server.backend_pid() == pid)
    }

    fn in_transaction(&self) -> bool {
        let host = self.host();
        let mut links = host.iter().flat_map(|host| self.own_links(host));
        links.any(|link| link.status() != TransactionStatus::Idle)
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

    fn leaves_more_than_rows(&self) -> bool {
        self.leaves_more_than_rows
    }

    fn overlaps_itself(&self) -> bool {
        self.overlaps_itself
    }

    fn owns_process(&self, pid: i32) -> bool {
        let host = self.host();
        let group = host.as_ref().and_then(|host| host.group());
        group.is_some_and(|group| group.has(pid))
    }

    async fn send(&mut self, check: DeadlockCheck) -> Result<(), RunError> {
        let Some(held) = self.held.take() else { return Ok(()) };
        let shared = self.host.clone();
        let host = &mut *shared.lock().await;
        self.current = held.link;
        let link = &mut host.links[held.link];
        link.settled = true;
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
        sent.map_err(|error| host.lost(&held.pending.name, error))?;
        self.sent.push(held.sent.clone());
        self.under_way = Some(held);
        Ok(())
    }

    async fn send_begin(&mut self) -> Result<(), RunError> {
        Ok(())
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, RunError>> {
        let Some(mut guard) = self.host() else {
            return Poll::Pending;
        };
        let host = &mut *guard;
        self.poll_meanwhile(host, cx);
        let Some(index) = self.under_way.as_ref().map(|held| held.link) else {
            return Poll::Pending;
        };
        self.look_at_others(host, index, cx);
        let Some(held) = &self.under_way else {
            return Poll::Pending;
        };
        let heard = ready!(host.links[index].poll_heard(cx));
        let name = held.pending.name.clone();
        Poll::Ready(Ok(match heard.map_err(|error| host.lost(&name, error))? {
            Heard::StillWaiting => Progress::StillWaiting,
            Heard::Acquired => Progress::Acquired,
            Heard::Finished(told) => match self.under_way.take() {
                Some(held) => Progress::Finished(self.take_in(host, held, told)),
                None => return Poll::Pending,
            },
        }))
    }

    fn timeout(&self) -> Option<WaitTimeout> {
        None
    }

    fn timeout_not_explored(&self) -> Option<String> {
        let host = self.host()?;
        let link = host.links.get(self.under_way.as_ref()?.link)?;
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
        let shared = self.host.clone();
        let host = &mut *shared.lock().await;
        if self.recalls() {
            return self.recall(host, conditions).await;
        }
        self.release(host, conditions).await?;
        self.advance(host, conditions).await
    }

    async fn give_up(&mut self) -> Result<bool, RunError> {
        if !matches!(self.part, Part::Request(_)) || self.ended {
            return Ok(false);
        }
        let shared = self.host.clone();
        let host = &mut *shared.lock().await;
        self.give_up_request(host).await;
        Ok(true)
    }

    async fn begin_reset(&mut self) -> Result<(), RunError> {
        self.held = None;
        self.under_way = None;
        let shared = self.host.clone();
        let mut host = shared.lock().await;
        if let Some(asked) = self.asked.take() {
            asked.abort();
        }
        if !matches!(self.part, Part::Request(_)) && !self.recalls() {
            host.stop().await;
        }
        host.spoiled |= !self.ended;
        Ok(())
    }

    async fn end_reset(&mut self) -> Result<(), RunError> {
        self.host.lock().await.renew().await?;
        if let Some(memory) = &mut self.memory {
            memory.restart();
        }
        self.answer = None;
        self.leaves_more_than_rows = false;
        self.overlaps_itself = false;
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

    async fn outlast(&mut self) -> Result<(), RunError> {
        self.host.lock().await.look_for_late_work(LONGEST_LATENESS).await
    }

    async fn left_behind(&mut self) -> Result<Option<String>, RunError> {
        Ok(None)
    }

    fn end(&self) -> SessionEnd {
        SessionEnd {
            committed: match &self.answer {
                Some(answer) => answer.as_ref().is_ok_and(|answer| answer.status < 400),
                None => self.exit == Some(Exit::Code(0)),
            },
            error: None,
            retries: 0,
            variables: Vec::new(),
            exit: self.exit,
            answer: self.answer.clone(),
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
        self.shows_exit().then_some(&self.output)
    }

    fn uncontrolled(&self) -> &[Uncontrolled] {
        &self.uncontrolled
    }
}
