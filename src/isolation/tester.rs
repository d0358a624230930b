//! Runs the permutations of a specification and prints what happens, in the order in which `isolationtester` does.

use std::collections::HashSet;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::blocking::{BlockingMonitor, Look};
use super::message;
use super::pace::{Pace, REFERENCE_INTERVAL, ShortTimeouts};
use super::result_table;
use super::specification::{Marker, Permutation, PermutationStep, Specification, StepId};
use super::tested_session::{Executed, ResultError, TestedSession};
use super::transcript::Transcript;
use crate::postgres::wire::{CopyDirection, Part, WireError};
use crate::postgres::{PostgresError, Server};

/// How long a step may take before it is cancelled, unless the caller says otherwise; after twice that time the run ends.
pub const DEFAULT_STEP_LIMIT: Duration = Duration::from_secs(300);

/// When a session is first checked, if its step was never blocked before, and by how much later checks are delayed.
const FIRST_LOOK: Duration = Duration::from_millis(1);

/// Where and how a specification is run.
#[derive(Debug)]
pub struct Options<'a> {
    pub server: &'a Server,
    /// A database that the specification may change freely.
    pub database: &'a str,
    /// Settings of every session, and of the control connection.
    pub settings: &'a [(String, String)],
    /// Sessions are called this, a slash and their name (`application_name`).
    pub application: &'a str,
    pub step_limit: Duration,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// `isolationtester` gives up here; the transcript contains the message.
    #[error("{0}")]
    GivenUp(String),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// A connection was lost through nothing that the specification does; the transcript contains what was printed.
    #[error("the connection of session {0} was lost, and not by what the specification does")]
    Lost(String),
    #[error("interrupted")]
    Interrupted,
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl From<WireError> for TestError {
    fn from(error: WireError) -> TestError {
        TestError::Postgres(error.into())
    }
}

impl From<ResultError> for TestError {
    fn from(error: ResultError) -> TestError {
        match error {
            ResultError::Wire(error) => error.into(),
            ResultError::Copy => TestError::GivenUp(format!("{error}\n")),
            ResultError::Output(error) => error.into(),
        }
    }
}

/// Runs all permutations of `specification`.
///
/// # Errors
///
/// The connections cannot be opened, the output cannot be written, or something happened after which the reference
/// tester does not continue either: a setup failed, a connection was lost, a step did not end.
pub async fn run(
    specification: &Specification,
    options: &Options<'_>,
    monitor: &mut BlockingMonitor,
    transcript: &mut dyn Transcript,
) -> Result<(), TestError> {
    for name in specification.unused_steps() {
        transcript.err(format!("unused step name: {name}\n").as_bytes())?;
    }
    transcript.out(format!("Parsed test spec with {} sessions\n", specification.sessions.len()).as_bytes())?;
    let mut tester = Tester::connect(specification, options, monitor, transcript).await?;
    let mut result = Ok(());
    for permutation in specification.permutations() {
        result = tester.run(&permutation).await;
        if result.is_err() {
            break;
        }
    }
    if let Err(TestError::GivenUp(message)) = &result {
        tester.transcript.err(message.as_bytes())?;
    }
    tester.transcript.flush()?;
    match tester.lost() {
        Some(name) if matches!(result, Ok(()) | Err(TestError::GivenUp(_))) => Err(TestError::Lost(name)),
        _ => result,
    }
}

struct Tester<'a> {
    specification: &'a Specification,
    control: TestedSession,
    sessions: Vec<TestedSession>,
    pids: Vec<i32>,
    monitor: &'a mut BlockingMonitor,
    transcript: &'a mut dyn Transcript,
    short_timeouts: ShortTimeouts,
    /// When the last step was sent or completed.
    stirred: Instant,
    step_limit: Duration,
    /// Steps that were found blocked in some permutation.
    blocked_before: HashSet<StepId>,
    /// A notice was printed since this was last cleared.
    new_notice: bool,
}

/// How to wait for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// Just sent: wait until it is blocked.
    First,
    /// Reported as waiting before: wait until it is blocked again.
    Again,
    /// Reported as waiting before: wait as long as it takes.
    ToTheEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    /// The first result has arrived.
    Result,
    Blocked,
}

impl<'a> Tester<'a> {
    async fn connect(
        specification: &'a Specification,
        options: &Options<'_>,
        monitor: &'a mut BlockingMonitor,
        transcript: &'a mut dyn Transcript,
    ) -> Result<Tester<'a>, TestError> {
        let names = specification.sessions.iter().map(|session| session.name.as_str());
        let connections = names.clone().map(|name| connect(options, name));
        let (control, sessions) = tokio::try_join!(connect_control(options), try_join_all(connections))?;
        let (control, timeouts) = control;
        Ok(Tester {
            specification,
            control,
            pids: sessions.iter().map(|session: &TestedSession| session.pid).collect(),
            sessions,
            monitor,
            transcript,
            short_timeouts: ShortTimeouts::of(specification, &timeouts),
            stirred: Instant::now(),
            step_limit: options.step_limit,
            blocked_before: HashSet::new(),
            new_notice: false,
        })
    }

    async fn run(&mut self, permutation: &Permutation) -> Result<(), TestError> {
        let names: String = permutation
            .steps
            .iter()
            .map(|step| format!(" {}", self.specification.step(step.id).name))
            .collect();
        self.print(&format!("\nstarting permutation:{names}\n"))?;
        self.set_up().await?;
        let mut steps = Steps {
            steps: &permutation.steps,
            targets: vec![Vec::new(); permutation.steps.len()],
            waiting: Vec::new(),
        };
        for index in 0..steps.steps.len() {
            self.take_turn(&mut steps, index).await?;
        }
        self.try_waiting(&mut steps, Attempt::ToTheEnd).await?;
        if !steps.waiting.is_empty() {
            let message = "failed to complete permutation due to mutually-blocking steps\n";
            return Err(TestError::GivenUp(message.to_owned()));
        }
        self.tear_down().await
    }

    async fn set_up(&mut self) -> Result<(), TestError> {
        let specification = self.specification;
        for setup in &specification.setups {
            let executed = self.execute(None, &setup.text).await?;
            if let Some(message) = self.print_last(executed)? {
                return Err(TestError::GivenUp(format!("setup failed: {message}")));
            }
        }
        for (index, session) in specification.sessions.iter().enumerate() {
            let Some(setup) = &session.setup else { continue };
            let executed = self.execute(Some(index), &setup.text).await?;
            if let Some(message) = self.print_last(executed)? {
                let name = &session.name;
                return Err(TestError::GivenUp(format!("setup of session {name} failed: {message}")));
            }
        }
        Ok(())
    }

    /// A failure is reported and changes nothing.
    async fn tear_down(&mut self) -> Result<(), TestError> {
        let specification = self.specification;
        for (index, session) in specification.sessions.iter().enumerate() {
            let Some(teardown) = &session.teardown else { continue };
            let executed = self.execute(Some(index), &teardown.text).await?;
            if let Some(message) = self.print_last(executed)? {
                let text = format!("teardown of session {} failed: {message}", session.name);
                self.transcript.err(text.as_bytes())?;
            }
        }
        if let Some(teardown) = &specification.teardown {
            let executed = self.execute(None, &teardown.text).await?;
            if let Some(message) = self.print_last(executed)? {
                self.transcript.err(format!("teardown failed: {message}").as_bytes())?;
            }
        }
        Ok(())
    }

    /// Runs a setup or teardown in a session, or on the control connection, whose notices are not shown.
    async fn execute(&mut self, session: Option<usize>, sql: &str) -> Result<Executed, TestError> {
        let executing = async {
            match session {
                Some(index) => self.sessions[index].execute(sql, Some(self.transcript)).await,
                None => self.control.execute(sql, None).await,
            }
        };
        // the reference tester waits for ever
        let limit = 2 * self.step_limit;
        match tokio::time::timeout(limit, executing).await {
            Ok(executed) => Ok(executed?),
            Err(_) => Err(TestError::GivenUp(format!(
                "a setup or teardown did not end within {} seconds\n",
                limit.as_secs()
            ))),
        }
    }

    /// Prints the rows of a query's last result, or returns what is wrong with it.
    fn print_last(&mut self, executed: Executed) -> Result<Option<String>, TestError> {
        match executed {
            Executed::Result(Part::Rows(rows)) => {
                let mut table = Vec::new();
                result_table::print(&rows, &mut table);
                self.transcript.out(&table)?;
                Ok(None)
            }
            Executed::Result(Part::Command { tag }) if !tag.is_empty() => Ok(None),
            Executed::Result(_) => Ok(Some(String::new())),
            Executed::Failed(message) => Ok(Some(message)),
        }
    }

    /// Sends the step at `index`, once its session has finished the one before.
    async fn take_turn(&mut self, steps: &mut Steps<'_>, index: usize) -> Result<(), TestError> {
        let step = &steps.steps[index];
        let session = step.id.session;
        self.finish_earlier_step(steps, session).await?;

        let Specification { sessions, .. } = self.specification;
        let named = &sessions[session].steps[step.id.step];
        if !self.sessions[session].send(&named.sql.text).await? {
            let text = format!(
                "failed to send query for step {}: no connection to the server\n\n",
                named.name
            );
            self.print(&text)?;
            return Err(TestError::GivenUp(String::new()));
        }
        self.sessions[session].active = Some(index);
        self.stirred = Instant::now();
        for marker in &step.markers {
            if let Marker::Notices { of, count } = marker {
                let target = self.sessions[of.session].notices + count;
                steps.targets[index].push((of.session, target));
            }
        }
        let completed = self.try_step(steps, index, Attempt::First).await?;
        self.try_waiting(steps, Attempt::Again).await?;
        if !completed {
            steps.waiting.push(index);
        }
        Ok(())
    }

    /// Waits until the session has no step under way. Its step may have to wait for other steps under way.
    async fn finish_earlier_step(&mut self, steps: &mut Steps<'_>, session: usize) -> Result<(), TestError> {
        let started = Instant::now();
        while let Some(earlier) = self.sessions[session].active {
            if self.try_step(steps, earlier, Attempt::ToTheEnd).await? {
                steps.waiting.retain(|&index| index != earlier);
            }
            self.try_waiting(steps, Attempt::Again).await?;
            if self.sessions[session].active.is_none() {
                break;
            }
            if started.elapsed() > 2 * self.step_limit {
                let name = |index: usize| &self.specification.step(steps.steps[index].id).name;
                let active: Vec<&str> = self
                    .sessions
                    .iter()
                    .filter_map(|session| Some(name(session.active?).as_str()))
                    .collect();
                return Err(TestError::GivenUp(format!(
                    "step {} timed out after {} seconds\nactive steps are: {}\n",
                    name(earlier),
                    started.elapsed().as_secs(),
                    active.join(" ")
                )));
            }
            // only the sessions' replies tell when a marker's condition has become true
            tokio::time::sleep(FIRST_LOOK).await;
        }
        Ok(())
    }

    /// Tries all waiting steps, and tries again if one of them may have been what another waits for.
    async fn try_waiting(&mut self, steps: &mut Steps<'_>, attempt: Attempt) -> Result<(), TestError> {
        loop {
            self.new_notice = false;
            let before = steps.waiting.len();
            let mut has_markers = false;
            let mut at = 0;
            while let Some(&index) = steps.waiting.get(at) {
                if self.try_step(steps, index, attempt).await? {
                    steps.waiting.remove(at);
                } else {
                    has_markers |= !steps.steps[index].markers.is_empty();
                    at += 1;
                }
            }
            if !(has_markers && (steps.waiting.len() < before || self.new_notice)) {
                return Ok(());
            }
        }
    }

    /// Waits for a step, and prints its result; returns whether it completed.
    async fn try_step(&mut self, steps: &Steps<'_>, index: usize, attempt: Attempt) -> Result<bool, TestError> {
        let PermutationStep { id, markers } = &steps.steps[index];
        let step = self.specification.step(*id);
        let waiting = format!("step {}: {} <waiting ...>\n", step.name, step.sql.text);
        if attempt == Attempt::First && markers.contains(&Marker::Waiting) {
            self.print(&waiting)?;
            if self.pace() == Pace::Immediate {
                self.settle(*id).await?;
            }
            return Ok(false);
        }
        let notices = self.sessions[id.session].notices;
        let waited = self.wait(*id, attempt).await;
        self.new_notice |= self.sessions[id.session].notices > notices;
        if waited? == Waited::Blocked || self.is_held(steps, index) {
            if attempt == Attempt::First {
                self.print(&waiting)?;
            }
            return Ok(false);
        }
        if attempt == Attempt::First {
            self.print(&format!("step {}: {}\n", step.name, step.sql.text))?;
        } else {
            self.print(&format!("step {}: <... completed>\n", step.name))?;
        }
        self.print_results(id.session).await?;
        self.sessions[id.session].active = None;
        self.stirred = Instant::now();
        Ok(true)
    }

    /// Whether a marker forbids reporting the step as completed.
    fn is_held(&self, steps: &Steps<'_>, index: usize) -> bool {
        let under_way = |id: StepId| {
            let active = self.sessions[id.session].active;
            active.is_some_and(|active| steps.steps[active].id == id)
        };
        let by_step = steps.steps[index].markers.iter().any(|marker| match marker {
            Marker::Completed(other) => under_way(*other),
            Marker::Waiting | Marker::Notices { .. } => false,
        });
        let mut targets = steps.targets[index].iter();
        by_step || targets.any(|&(session, target)| self.sessions[session].notices < target)
    }

    /// Waits until the step's first result has arrived, or until the step is blocked, if that ends the attempt. Prints
    /// the notices that arrive.
    async fn wait(&mut self, id: StepId, attempt: Attempt) -> Result<Waited, TestError> {
        let name = &self.specification.step(id).name;
        let mut clock = Clock::start(self.pace(), attempt, self.blocked_before.contains(&id));
        let mut cancelled = false;
        loop {
            if self.sessions[id.session].has_result(self.transcript)? {
                self.monitor.abandon();
                if self.sessions[id.session].ended_without_result() {
                    let message = format!("PQconsumeInput failed: {}", message::CONNECTION_LOST);
                    return Err(TestError::GivenUp(message));
                }
                return Ok(Waited::Result);
            }
            let limit = if cancelled {
                2 * self.step_limit
            } else {
                self.step_limit
            };
            match self.next_event(id.session, &clock, limit).await? {
                Wakeup::Received => {}
                Wakeup::LookIsDue => {
                    self.transcript.flush()?;
                    self.look(id.session).await?;
                }
                Wakeup::Looked(look) => {
                    clock.looked();
                    if look.blocked && (look.settled || clock.is_reference_time()) {
                        // what arrived before the answer is printed before the wait
                        tokio::task::yield_now().await;
                        self.sessions[id.session].receive_available()?;
                        if !self.sessions[id.session].has_result(self.transcript)? {
                            self.blocked_before.insert(id);
                            return Ok(Waited::Blocked);
                        }
                    }
                }
                Wakeup::LimitReached if cancelled => {
                    let seconds = clock.elapsed().as_secs();
                    let message = format!("step {name} timed out after {seconds} seconds\n");
                    return Err(TestError::GivenUp(message));
                }
                Wakeup::LimitReached => {
                    cancelled = true;
                    let seconds = clock.elapsed().as_secs();
                    match self.sessions[id.session].canceller.cancel().await {
                        Ok(()) => self.print(&format!(
                            "isolationtester: canceling step {name} after {seconds} seconds\n"
                        ))?,
                        Err(error) => self.transcript.err(format!("PQcancel failed: {error}\n").as_bytes())?,
                    }
                }
            }
        }
    }

    /// Lets a step that is reported as waiting in any case run until it blocks or ends, for as long as the reference
    /// tester waits before it checks. Prints nothing.
    async fn settle(&mut self, id: StepId) -> Result<(), TestError> {
        let mut clock = Clock::start(self.pace(), Attempt::First, true);
        while self.sessions[id.session].is_running() && !clock.is_reference_time() {
            match self.next_event(id.session, &clock, REFERENCE_INTERVAL).await? {
                Wakeup::Received => {}
                Wakeup::LookIsDue => self.look(id.session).await?,
                Wakeup::Looked(look) => {
                    clock.looked();
                    if look.blocked && look.settled {
                        break;
                    }
                }
                Wakeup::LimitReached => break,
            }
        }
        self.monitor.abandon();
        Ok(())
    }

    async fn next_event(&mut self, session: usize, clock: &Clock, limit: Duration) -> Result<Wakeup, TestError> {
        let limit = clock.started + limit;
        let look = clock.next_look.filter(|_| !self.monitor.is_under_way());
        let alarm = sleep_until(look.map_or(limit, |look| look.min(limit)).into());
        tokio::pin!(alarm);
        let (session, monitor) = (&mut self.sessions[session], &mut *self.monitor);
        poll_fn(|cx| {
            if let Poll::Ready(received) = session.poll_receive(cx) {
                return Poll::Ready(received.map(|()| Wakeup::Received).map_err(TestError::from));
            }
            if monitor.is_under_way()
                && let Poll::Ready(look) = monitor.poll_answer(cx)
            {
                return Poll::Ready(look.map(Wakeup::Looked).map_err(TestError::from));
            }
            alarm.as_mut().poll(cx).map(|()| {
                Ok(match Instant::now() >= limit {
                    true => Wakeup::LimitReached,
                    false => Wakeup::LookIsDue,
                })
            })
        })
        .await
    }

    /// Asks whether a session is blocked, given all that are running.
    async fn look(&mut self, session: usize) -> Result<(), TestError> {
        for other in &mut self.sessions {
            other.receive_available()?;
        }
        let running = self.sessions.iter().filter(|other| other.is_running());
        let active: Vec<i32> = running.map(|other| other.pid).collect();
        Ok(self
            .monitor
            .ask(self.sessions[session].pid, &active, &self.pids)
            .await?)
    }

    /// Prints all results of a step and the notifications that its session has had.
    async fn print_results(&mut self, session: usize) -> Result<(), TestError> {
        let results = self.sessions[session].results(self.transcript, |part, transcript| match part {
            Part::Rows(rows) => {
                let mut table = Vec::new();
                result_table::print(rows, &mut table);
                transcript.out(&table)
            }
            Part::Error(report) => transcript.out(format!("{}\n", message::headline(report)).as_bytes()),
            Part::Copy(direction) => {
                let status = match direction {
                    CopyDirection::In => "PGRES_COPY_IN",
                    CopyDirection::Out => "PGRES_COPY_OUT",
                };
                transcript.out(format!("unexpected result status: {status}\n").as_bytes())
            }
            _ => Ok(()),
        });
        // the reference tester waits for ever for the results after the first
        let limit = 2 * self.step_limit;
        match tokio::time::timeout(limit, results).await {
            Ok(printed) => printed?,
            Err(_) => {
                let seconds = limit.as_secs();
                let message = format!("the results after the first did not come within {seconds} seconds\n");
                return Err(TestError::GivenUp(message));
            }
        }
        for notification in self.sessions[session].take_notifications() {
            let sender = self
                .sessions
                .iter()
                .find(|sender| sender.pid == notification.process_id);
            let sender = match sender {
                Some(sender) => sender.name.clone(),
                None => format!("PID {}", notification.process_id),
            };
            let text = format!(
                "{}: NOTIFY \"{}\" with payload \"{}\" from {sender}\n",
                self.sessions[session].name, notification.channel, notification.payload
            );
            self.print(&text)?;
        }
        Ok(())
    }

    /// A session that something outside the specification has ended.
    fn lost(&self) -> Option<String> {
        if self.specification.may_end_sessions() {
            return None;
        }
        let mut sessions = self.sessions.iter().chain([&self.control]);
        sessions
            .find(|session| session.is_lost())
            .map(|session| session.name.clone())
    }

    fn pace(&self) -> Pace {
        let running = self
            .sessions
            .iter()
            .enumerate()
            .filter(|(_, session)| session.is_running());
        self.short_timeouts
            .pace(running.map(|(index, _)| index), self.stirred.elapsed())
    }

    fn print(&mut self, text: &str) -> Result<(), TestError> {
        Ok(self.transcript.out(text.as_bytes())?)
    }
}

/// The steps of the current permutation.
struct Steps<'a> {
    steps: &'a [PermutationStep],
    /// For each step, which sessions must have sent how many notices before it may be reported as completed.
    targets: Vec<Vec<(usize, u64)>>,
    /// Steps that were reported as waiting, in that order, by their position.
    waiting: Vec<usize>,
}

enum Wakeup {
    /// Something arrived from the session.
    Received,
    LookIsDue,
    Looked(Look),
    LimitReached,
}

/// When to check whether a session is blocked.
struct Clock {
    started: Instant,
    next_look: Option<Instant>,
    interval: Duration,
    pace: Pace,
}

impl Clock {
    fn start(pace: Pace, attempt: Attempt, likely: bool) -> Clock {
        let started = Instant::now();
        let first = match (attempt, pace) {
            (Attempt::ToTheEnd, _) => None,
            (_, Pace::Reference) => Some(REFERENCE_INTERVAL),
            (Attempt::Again, Pace::Immediate) => Some(Duration::ZERO),
            (Attempt::First, Pace::Immediate) if likely => Some(Duration::ZERO),
            (Attempt::First, Pace::Immediate) => Some(FIRST_LOOK),
        };
        Clock {
            started,
            next_look: first.map(|first| started + first),
            interval: FIRST_LOOK,
            pace,
        }
    }

    fn looked(&mut self) {
        let interval = match self.pace {
            Pace::Reference => REFERENCE_INTERVAL,
            Pace::Immediate => self.interval,
        };
        self.interval = (2 * self.interval).min(REFERENCE_INTERVAL);
        self.next_look = self.next_look.map(|_| Instant::now() + interval);
    }

    /// Whether the reference tester would have checked by now.
    fn is_reference_time(&self) -> bool {
        self.elapsed() >= REFERENCE_INTERVAL
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

async fn connect(options: &Options<'_>, name: &str) -> Result<TestedSession, TestError> {
    let application = format!("{}/{name}", options.application);
    let mut settings: Vec<(&str, &str)> = vec![("application_name", &application)];
    settings.extend(
        options
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    let connection = options.server.plain(options.database, &settings).await?;
    let canceller = options.server.canceller(&connection);
    Ok(TestedSession::new(name, connection, canceller))
}

/// The connection for setup and teardown, and the timeouts that sessions begin with.
async fn connect_control(options: &Options<'_>) -> Result<(TestedSession, Vec<String>), TestError> {
    let mut control = connect(options, "control connection").await?;
    let sql = "SELECT current_setting('deadlock_timeout'), current_setting('lock_timeout'),
               current_setting('statement_timeout')";
    let timeouts = match control.execute(sql, None).await? {
        Executed::Result(Part::Rows(rows)) => rows.rows.into_iter().flatten().flatten(),
        _ => return Ok((control, Vec::new())),
    };
    let timeouts = timeouts
        .map(|value| String::from_utf8_lossy(&value).into_owned())
        .collect();
    Ok((control, timeouts))
}

/// Runs all at the same time; the results are in the order of the futures.
async fn try_join_all<T, F: Future<Output = Result<T, TestError>>>(
    futures: impl Iterator<Item = F>,
) -> Result<Vec<T>, TestError> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for (future, result) in futures
            .iter_mut()
            .zip(&mut results)
            .filter(|(_, result)| result.is_none())
        {
            match future.as_mut().poll(cx) {
                Poll::Ready(Ok(value)) => *result = Some(value),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => pending = true,
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(Ok(())) }
    })
    .await?;
    Ok(results.into_iter().flatten().collect())
}
