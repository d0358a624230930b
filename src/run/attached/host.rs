//! A program that runs: its processes, and its connections through the gate. The sessions of a service's requests share it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::link::Link;
use super::messages;
use super::observed::Observed;
use crate::history::{Exit, Uncontrolled};
use crate::postgres::wire::{Canceller, Connection, TransactionStatus, WireError};
use crate::postgres::{PostgresError, Server};
use crate::process::{Group, Output, Rest, Running, Task, Thread, all_threads, at_rest, threads_with_timers};
use crate::proxy::{Arrival, Client, Gate, Login, ProxyError, Request, RequestEnd};
use crate::run::RunError;
use crate::run::launch::launch;
use crate::run::session::DeadlockCheck;
use crate::scenario::{Closure, ProgramCommand, Service};
use crate::sql::{Isolation, isolation_named};

/// Settings of a client's that pgbraid does without: it says itself which database, and which messages are sent.
const NOT_HANDED_ON: [&str; 5] = [
    "user",
    "database",
    "client_min_messages",
    "replication",
    "deadlock_timeout",
];

/// Makes a connection that a service keeps as good as new, where it has done nothing that this cannot undo. Returns a row if
/// it has: locks that outlive transactions.
const RENEW: &str = "DISCARD SEQUENCES; SELECT 1 FROM pg_catalog.pg_locks
  WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() LIMIT 1";

/// The same where no driver keeps account of what is prepared.
const RENEW_ALL: &str = "DEALLOCATE ALL; CLOSE ALL; UNLISTEN *; DISCARD TEMP; DISCARD SEQUENCES;
  SELECT 1 FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() LIMIT 1";

/// How long a statement may be on its way that was sent before a cancellation.
const TIME_TO_ARRIVE: Duration = Duration::from_millis(5);

/// A program that more than one session may share.
pub type SharedHost = Arc<Mutex<Host>>;

/// A program's processes and connections.
pub struct Host {
    /// The session's name, or the service's and the number of the instance.
    pub name: String,
    program: Program,
    pub service: Option<Instance>,
    pub at: Place,
    observed: Arc<Observed>,
    pub gate: Gate,
    pub launched: Option<Running>,
    pub links: Vec<Link>,
    /// Sessions whose requests are under way.
    pub active: BTreeSet<usize>,
    /// Sessions whose requests wait inside the program, and how often it had been told something as they began to.
    pub thinking: BTreeMap<usize, u64>,
    /// Clients that came while a session had a turn.
    pub arrived: VecDeque<Arrival>,
    /// What sessions have sent while others were released.
    pub given: VecDeque<Given>,
    /// Steps that cannot be told whose they are yet.
    pub unclear: Vec<(usize, Request, RequestEnd)>,
    /// How often sessions were released.
    pub releases: u64,
    /// The sessions that are connections of the program; none where all connections are one session's.
    pub connections: Vec<usize>,
    /// Those of them that the program has begun with, once that is known.
    pub first: Option<BTreeSet<usize>>,
    /// How the program has ended.
    pub exited: Option<Exit>,
    /// pgbraid has ended it, because it did not answer.
    pub given_up: bool,
    /// What it had printed until it ended.
    last_output: Output,
    /// A run has begun on it.
    pub used: bool,
    /// It cannot be kept for another run.
    pub spoiled: bool,
    last_rest: Option<Rest>,
    /// Those that it had when that was last looked at.
    processes: Vec<i32>,
    /// The threads that it had when it was ready.
    threads: BTreeSet<Thread>,
    /// It was watched after its last answer.
    watched: bool,
}

/// What a session has sent while another was released.
pub struct Given {
    pub session: usize,
    pub link: usize,
    pub what: Came,
}

/// What comes on a connection.
pub enum Came {
    Request(Request, RequestEnd),
    /// The client has hung up.
    Farewell,
}

/// What is started.
#[derive(Clone)]
enum Program {
    Command(ProgramCommand),
    Closure(Closure),
    /// Nothing: what a program did before is repeated.
    Nothing,
}

/// An instance of a service.
pub struct Instance {
    pub service: Service,
    pub port: u16,
    /// It has said that it is ready.
    pub ready: bool,
    /// All instances of the service, which start at the same time.
    pub all: Vec<std::sync::Weak<Mutex<Host>>>,
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

/// Settings of a new connection, which the role, the database or the client may have given it.
struct Defaults {
    isolation: Isolation,
    timed: bool,
}

/// On a connection that is kept between runs, a statement that was prepared would be planned anew only in the first of them.
fn custom_plans() -> (&'static str, String) {
    ("plan_cache_mode", "force_custom_plan".to_owned())
}

const DEFAULTS: &str = "SELECT current_setting('default_transaction_isolation'), current_setting('lock_timeout'),
  current_setting('statement_timeout')";

/// What a program does next.
pub enum Happening {
    Arrival(Arrival),
    Request(usize, Request, RequestEnd),
    Gone(usize),
    Exited(Exit),
    Nothing,
}

impl Host {
    /// Opens the gate for a program, which is started with each run. `connections` are the sessions that are its connections;
    /// none where it is one session.
    ///
    /// # Errors
    /// When nothing can be listened at.
    pub async fn of_command(
        name: &str,
        program: ProgramCommand,
        connections: Vec<usize>,
        at: Place,
        observed: Arc<Observed>,
    ) -> Result<SharedHost, RunError> {
        let mut host = Host::new(name.to_owned(), Program::Command(program), at, observed).await?;
        host.connections = connections;
        Ok(Arc::new(Mutex::new(host)))
    }

    /// Opens the gate for a session's closure, which is called with each run.
    ///
    /// # Errors
    /// When nothing can be listened at.
    pub async fn of_closure(
        name: &str,
        closure: Closure,
        at: Place,
        observed: Arc<Observed>,
    ) -> Result<SharedHost, RunError> {
        let host = Host::new(name.to_owned(), Program::Closure(closure), at, observed).await?;
        Ok(Arc::new(Mutex::new(host)))
    }

    /// For a session that repeats what its program did before.
    ///
    /// # Errors
    /// When nothing can be listened at.
    pub async fn of_nothing(name: &str, mut at: Place, observed: Arc<Observed>) -> Result<SharedHost, RunError> {
        at.settings.push(custom_plans());
        let host = Host::new(name.to_owned(), Program::Nothing, at, observed).await?;
        Ok(Arc::new(Mutex::new(host)))
    }

    /// Opens a gate for each instance of a service.
    ///
    /// # Errors
    /// When nothing can be listened at.
    pub async fn of_service(
        service: &Service,
        at: &Place,
        observed: &Arc<Observed>,
    ) -> Result<Vec<SharedHost>, RunError> {
        let mut hosts = Vec::with_capacity(service.instances);
        for number in 1..=service.instances {
            let name = match service.instances {
                1 => service.name.clone(),
                _ => format!("{}-{number}", service.name),
            };
            let mut at = at.clone();
            at.settings.push(custom_plans());
            let mut host = Host::new(name, Program::Command(service.program.clone()), at, observed.clone()).await?;
            host.service = Some(Instance {
                service: service.clone(),
                port: 0,
                ready: false,
                all: Vec::new(),
            });
            hosts.push(Arc::new(Mutex::new(host)));
        }
        let all: Vec<_> = hosts.iter().map(Arc::downgrade).collect();
        for host in &hosts {
            if let Some(instance) = &mut host.lock().await.service {
                instance.all = all.clone();
            }
        }
        Ok(hosts)
    }

    async fn new(name: String, program: Program, at: Place, observed: Arc<Observed>) -> Result<Host, RunError> {
        let gate = Gate::open(at.server.user()).await.map_err(|source| RunError::Proxy {
            session: name.clone(),
            source,
        })?;
        Ok(Host {
            name,
            program,
            service: None,
            at,
            observed,
            gate,
            launched: None,
            links: Vec::new(),
            active: BTreeSet::new(),
            thinking: BTreeMap::new(),
            arrived: VecDeque::new(),
            given: VecDeque::new(),
            unclear: Vec::new(),
            releases: 0,
            connections: Vec::new(),
            first: None,
            exited: None,
            given_up: false,
            last_output: Output::default(),
            used: false,
            spoiled: false,
            last_rest: None,
            processes: Vec::new(),
            threads: BTreeSet::new(),
            watched: false,
        })
    }

    pub fn proxy_error(&self, source: ProxyError) -> RunError {
        RunError::Proxy {
            session: self.name.clone(),
            source,
        }
    }

    pub fn lost(&self, step: &str, source: impl Into<PostgresError>) -> RunError {
        RunError::Session {
            session: self.name.clone(),
            step: step.to_owned(),
            source: source.into(),
        }
    }

    /// Starts the program. An instance of a service gets a port that is free now.
    pub async fn start(&mut self) -> Result<(), RunError> {
        let mut program = match self.program.clone() {
            Program::Command(program) => program,
            Program::Closure(closure) => return self.call(closure),
            Program::Nothing => return Ok(()),
        };
        if let Some(instance) = &mut self.service {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .map_err(RunError::Runtime)?;
            let port = free.local_addr().map_err(RunError::Runtime)?.port();
            drop(free);
            (instance.port, instance.ready) = (port, false);
            let fill = |text: &mut String| *text = text.replace("{port}", &port.to_string());
            program.command.iter_mut().for_each(fill);
            program.env.values_mut().for_each(fill);
            program.env.entry("PORT".to_owned()).or_insert_with(|| port.to_string());
        }
        self.launched = Some(Running::Process(launch(&self.name, &program, &self.gate)?));
        self.processes.clear();
        self.stir();
        Ok(())
    }

    fn call(&mut self, closure: Closure) -> Result<(), RunError> {
        let url = self.gate.url();
        let task = Task::start(move || closure.call(url)).map_err(RunError::Runtime)?;
        self.launched = Some(Running::Closure(task));
        Ok(())
    }

    /// Whether somebody else listens at the port of this instance.
    pub async fn port_is_taken(&self) -> bool {
        let port = self.service.as_ref().map_or(0, |instance| instance.port);
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.is_err()
    }

    /// Connections that are not closed.
    pub fn open_links(&self) -> impl Iterator<Item = (usize, &Link)> {
        self.links.iter().enumerate().filter(|(_, link)| !link.gone)
    }

    /// Its processes, where it runs in processes of its own.
    pub fn group(&self) -> Option<&Group> {
        self.launched.as_ref().and_then(Running::group)
    }

    pub fn output(&self) -> Output {
        let launched = self.launched.as_ref().map(Running::output);
        launched.unwrap_or_else(|| self.last_output.clone())
    }

    pub async fn next_happening(&mut self, pause: Sleep) -> Result<Happening, RunError> {
        let mut pause = std::pin::pin!(pause);
        let happening = poll_fn(|cx| {
            if let Poll::Ready(happening) = self.poll_happening(cx) {
                return Poll::Ready(happening);
            }
            pause.as_mut().poll(cx).map(|()| Ok(Happening::Nothing))
        })
        .await;
        if !matches!(happening, Ok(Happening::Nothing)) {
            self.stir();
        }
        happening
    }

    fn poll_happening(&mut self, cx: &mut Context<'_>) -> Poll<Result<Happening, RunError>> {
        if let Some(arrival) = self.arrived.pop_front() {
            return Poll::Ready(Ok(Happening::Arrival(arrival)));
        }
        if let Poll::Ready(Some(arrival)) = self.gate.poll_arrival(cx) {
            return Poll::Ready(Ok(Happening::Arrival(arrival)));
        }
        if self.links.iter_mut().any(|link| std::mem::take(&mut link.notified)) {
            let program = self.name.clone();
            self.observed.doubt(Uncontrolled::Notified { program });
        }
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            if link.gone || link.busy {
                continue;
            }
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
        if self.exited.is_none()
            && let Some(launched) = &mut self.launched
            && let Poll::Ready(exit) = launched.poll_exit(cx)
        {
            return Poll::Ready(exit.map(Happening::Exited).map_err(RunError::Runtime));
        }
        Poll::Pending
    }

    /// Something has happened: it must rest anew.
    pub fn stir(&mut self) {
        self.last_rest = None;
    }

    /// Whether the program has rested since this was asked before, and nothing has happened since.
    pub fn rests(&mut self) -> bool {
        let mut ports = vec![self.gate.port()];
        ports.extend(self.service.as_ref().map(|instance| instance.port));
        let now = at_rest(&self.processes, &ports);
        let rests = now.is_some() && now == self.last_rest;
        self.last_rest = now;
        if !rests {
            return false;
        }
        // to find the processes costs more than to look at those that are known
        let processes = self.group().map(Group::processes).unwrap_or_default();
        let is_all = processes == self.processes;
        self.processes = processes;
        is_all
    }

    /// Connects a client to the server, with the settings that it asked for.
    pub async fn welcome(&mut self, arrival: Arrival) -> Result<(), RunError> {
        match arrival {
            Arrival::Client(mut client, login) => match self.connect(&login).await {
                Ok((server, defaults)) => {
                    client.queue_welcome(server.parameters(), server.backend_pid(), server.secret_key());
                    self.add_link(client, login, server, &defaults);
                }
                Err(PostgresError::Wire(WireError::Refused(error))) => {
                    client.refuse(&error.sqlstate, &error.message).await
                }
                Err(error) => return Err(error.into()),
            },
            Arrival::Cancel {
                backend_pid,
                secret_key,
                client: _,
            } => {
                // what was sent before it may be yet to be read
                sleep(TIME_TO_ARRIVE).await;
                if self.canceller(backend_pid, secret_key).is_some() && self.has_sent(backend_pid).await {
                    let session = self.name.clone();
                    self.observed.doubt(Uncontrolled::ProgramCancelled { session });
                }
            }
        }
        Ok(())
    }

    /// Opens a connection as a program has opened it, without the program. Returns its number.
    pub async fn open_alone(&mut self, parameters: &[(String, String)]) -> Result<usize, RunError> {
        let parameters = parameters.to_vec();
        let login = Login { parameters };
        let (server, defaults) = self.connect(&login).await?;
        self.add_link(Client::nobody(), login, server, &defaults);
        Ok(self.links.len() - 1)
    }

    fn add_link(&mut self, client: Client, login: Login, server: Connection, defaults: &Defaults) {
        let least = login.parameters.iter().find(|(name, _)| name == "client_min_messages");
        let least = least.map_or_else(Default::default, |(_, value)| messages::Least::named(value));
        let mut link = Link::new(client, login, server, self.at.check, defaults.isolation);
        link.timed = defaults.timed;
        link.first_least = least;
        link.least = least;
        self.links.push(link);
    }

    /// Whether a client has sent something that is not under way yet.
    async fn has_sent(&mut self, backend_pid: i32) -> bool {
        let mut links = self.links.iter_mut().filter(|link| !link.gone);
        let Some(link) = links.find(|link| link.server.backend_pid() == backend_pid) else {
            return false;
        };
        poll_fn(|cx| {
            link.gather(cx);
            Poll::Ready(())
        })
        .await;
        link.busy || link.next_request().is_some()
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

    pub fn canceller(&self, backend_pid: i32, secret_key: i32) -> Option<Canceller> {
        let (_, link) = self
            .open_links()
            .find(|(_, link)| link.server.backend_pid() == backend_pid)?;
        (link.server.secret_key() == secret_key).then(|| self.at.server.canceller(&link.server))
    }

    /// The program has ended: ends what it has started, and keeps what it has printed.
    pub async fn end(&mut self) {
        if let Some(mut launched) = self.launched.take() {
            launched.end().await;
            self.last_output = launched.output();
        }
    }

    /// Its processes, as they were when that was last looked at.
    pub fn processes(&self) -> &[i32] {
        &self.processes
    }

    /// Whether its connections outlive the programs that had opened them.
    pub fn keeps_connections(&self) -> bool {
        matches!(self.program, Program::Nothing)
    }

    /// Whether sessions other than that of this number wait inside the program.
    pub fn others_think(&self, session: usize) -> bool {
        self.thinking.keys().any(|id| *id != session)
    }

    /// The error of a service that ended when it should not.
    pub fn ended(&self, exit: Exit) -> RunError {
        RunError::ServiceEnded {
            service: self.name.clone(),
            exit,
            output: self.output(),
        }
    }

    /// Ends a service that does not answer. Its connections close as those of any program that ends.
    pub async fn give_up(&mut self) {
        self.end().await;
        self.exited.get_or_insert(Exit::Signal(libc::SIGKILL));
        self.given_up = true;
    }

    /// Whether the service has ended by now.
    pub fn has_exited(&mut self) -> bool {
        if self.exited.is_none() {
            self.exited = self.launched.as_mut().and_then(Running::has_ended);
        }
        self.exited.is_some()
    }

    /// Ends the program and its connections.
    pub async fn stop(&mut self) {
        self.end().await;
        (self.exited, self.given_up) = (None, false);
        self.first = None;
        for mut link in std::mem::take(&mut self.links) {
            if !link.gone {
                link.server.terminate().await;
            }
        }
        if let Some(instance) = &mut self.service {
            instance.ready = false;
        }
    }

    /// Takes down what a service sends that has answered all its requests, within this time.
    pub async fn look_for_late_work(&mut self, time: Duration) -> Result<(), RunError> {
        if self.service.is_none() || !self.used || self.exited.is_some() {
            return Ok(());
        }
        if std::mem::replace(&mut self.watched, !time.is_zero()) {
            return Ok(());
        }
        let mut until = Instant::now() + time;
        loop {
            match self.next_happening(sleep_until(until)).await? {
                Happening::Arrival(arrival) => {
                    self.welcome(arrival).await?;
                    until = Instant::now() + time;
                }
                Happening::Request(link, request, _) => {
                    (self.links[link].busy, self.spoiled) = (true, true);
                    if !request.statements.is_empty() {
                        self.note_late_work();
                    }
                }
                Happening::Gone(link) => self.links[link].close().await,
                Happening::Exited(exit) => {
                    self.exited = Some(exit);
                    self.note_late_work();
                    return Ok(());
                }
                Happening::Nothing => return Ok(()),
            }
        }
    }

    /// A service has answered, and has more to do.
    pub fn note_late_work(&self) {
        let instance = self.name.clone();
        self.observed.doubt(Uncontrolled::WorkLeft { instance });
    }

    /// Whether threads that were started since it was ready wait for a time.
    pub fn has_timers_left(&self) -> bool {
        let timers = threads_with_timers(&self.processes, self.at.limit);
        timers.iter().any(|thread| !self.threads.contains(thread))
    }

    /// It is ready: the threads that it has are its own, and not those of requests.
    pub fn know_threads(&mut self) {
        self.threads = all_threads(&self.processes);
    }

    /// Makes ready for another run, in which a service is kept if that changes nothing.
    pub async fn renew(&mut self) -> Result<(), RunError> {
        if !self.used {
            return Ok(());
        }
        self.look_for_late_work(Duration::ZERO).await?;
        (self.used, self.watched) = (false, false);
        let restarts = match (&self.program, &self.service) {
            (Program::Nothing, _) => false,
            (_, Some(instance)) => instance.service.restart,
            (_, None) => true,
        };
        if restarts || self.exited.is_some() || self.spoiled || !self.active.is_empty() || !self.renew_links().await? {
            self.stop().await;
        }
        if let Some(Running::Process(launched)) = &self.launched {
            launched.forget_output();
        }
        // who came too late for the last run is not let into the next
        while let Poll::Ready(Some(_)) = poll_fn(|cx| Poll::Ready(self.gate.poll_arrival(cx))).await {}
        self.links.retain(|link| !link.gone);
        self.active.clear();
        self.thinking.clear();
        self.arrived.clear();
        self.given.clear();
        self.unclear.clear();
        self.releases = 0;
        self.spoiled = false;
        Ok(())
    }

    /// Returns whether its connections are as good as new.
    async fn renew_links(&mut self) -> Result<bool, RunError> {
        let renewal = if self.keeps_connections() { RENEW_ALL } else { RENEW };
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            if link.gone {
                continue;
            }
            if link.status() != TransactionStatus::Idle || link.begin.is_some() || link.busy || link.changed {
                return Ok(false);
            }
            link.owner = None;
            link.parked = false;
            let reply = link.server.simple(renewal).await;
            let reply = reply.map_err(|error| self.lost("", error))?;
            if !reply.into_result().is_ok_and(|found| found.rows.is_empty()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The name of the encoding, which clients write in more ways than one.
fn is_utf8(encoding: &str) -> bool {
    let letters = encoding.chars().filter(|c| c.is_ascii_alphanumeric());
    letters.collect::<String>().eq_ignore_ascii_case("utf8")
}
