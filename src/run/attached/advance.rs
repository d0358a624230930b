//! Runs a program until its next step is known.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::host::{Came, Given, Happening, Host};
use super::schedulable::{Treatment, commands, treatment};
use super::taking::Whose;
use super::{Attached, LONGEST_LATENESS, Part, observed};
use crate::history::Uncontrolled;
use crate::postgres::wire::TransactionStatus;
use crate::process::file_lock_wait;
use crate::proxy::Arrival;
use crate::run::session::Outside;
use crate::run::{Conditions, RunError};

/// How soon a program that says nothing is looked at; the last pause repeats.
const LOOKS_MILLIS: [u64; 6] = [2, 3, 10, 20, 50, 100];

/// How long a request whose program rests may say nothing until it counts as waiting for another. Timers of services tick more
/// often than that.
const LONGEST_REST: Duration = Duration::from_millis(300);

impl Attached {
    /// Has the program hear what has come of its last step, or starts it.
    pub(super) async fn release(&mut self, host: &mut Host, conditions: &mut Conditions<'_>) -> Result<(), RunError> {
        host.used = true;
        match self.part {
            Part::Whole if host.launched.is_none() => host.start().await?,
            Part::Whole => {}
            Part::Connection => self.release_connection(host).await?,
            Part::Request(_) => self.ask(host, conditions).await?,
        }
        self.outside = None;
        if self.statements > 0 {
            poll_fn(|cx| {
                self.look_at_others(host, self.current, cx);
                Poll::Ready(())
            })
            .await;
        }
        self.release_links(host).await
    }

    /// Has the session's connections hear what has been withheld from them.
    pub(super) async fn release_links(&mut self, host: &mut Host) -> Result<(), RunError> {
        if let Some(link) = host.links.get(self.current).filter(|_| self.owns(host, self.current)) {
            // what is left of an autocommitted statement that failed
            let failed = link.status() == TransactionStatus::Aborted && link.injected && !link.skipping;
            if failed {
                self.roll_back_failed(host).await?;
            }
        }
        for index in 0..host.links.len() {
            if self.owns(host, index) {
                let link = &mut host.links[index];
                link.busy = false;
                link.release();
            }
        }
        Ok(())
    }

    /// Runs the program until it sends a step, waits for something outside the database, or has ended.
    pub(super) async fn advance(&mut self, host: &mut Host, conditions: &mut Conditions<'_>) -> Result<(), RunError> {
        let mut started = Instant::now();
        let mut last = started;
        let mut looks = 0;
        // a connection that has come to rest is looked at, not waited for
        let is_idle = matches!(self.part, Part::Connection) && host.thinking.contains_key(&self.id);
        loop {
            if self.take_given(host, conditions).await? && (is_idle || !self.has_waiters(host)) {
                return self.found(host);
            }
            if host.exited.is_some() && host.service.is_some() {
                // what is left of it would be nobody's
                host.end().await;
            }
            if self.is_bereft(host) {
                self.end_without_service(host).await;
                return Ok(());
            }
            if host.exited.is_some() && host.open_links().next().is_none() && self.held.is_none() {
                self.end_program(host).await;
                return Ok(());
            }
            match self.next_happening(host, self.pause(looks, is_idle)).await? {
                Some(Happening::Arrival(arrival)) => host.welcome(arrival).await?,
                Some(Happening::Request(link, request, end)) => {
                    let whose = self.whose(host, link);
                    let held = self.take_request(host, link, request, end, whose, conditions).await?;
                    if held && !self.has_waiters(host) {
                        return self.found(host);
                    }
                }
                Some(Happening::Gone(link)) => match self.whose(host, link) {
                    Whose::Of(session) => {
                        host.links[link].busy = true;
                        let what = Came::Farewell;
                        host.given.push_back(Given { session, link, what });
                    }
                    _ => {
                        if self.farewell(host, link, conditions).await? && !self.has_waiters(host) {
                            return self.found(host);
                        }
                    }
                },
                Some(Happening::Exited(exit)) => {
                    host.exited = Some(exit);
                }
                // the answer to a request
                None => {}
                Some(Happening::Nothing) => {
                    looks += 1;
                    if let Some(wait) = host.group().and_then(file_lock_wait) {
                        self.observed.meets_in_files();
                        self.outside = Some(Outside::FileLock { holder: wait.holder });
                        return Ok(());
                    }
                    if is_idle && host.unclear.is_empty() {
                        return Ok(());
                    }
                    if self.is_settled(host, last)? {
                        return self.found(host);
                    }
                    if started.elapsed() > host.at.limit && matches!(self.part, Part::Request(_)) {
                        started = Instant::now();
                        if host.exited.is_none() && matches!(self.answer, Some(Ok(_))) {
                            return Err(RunError::Restless {
                                service: host.name.clone(),
                                limit: host.at.limit,
                            });
                        }
                        if host.exited.is_none() {
                            self.give_up_request(host).await;
                        } else if self.close_links(host, conditions).await? {
                            return self.found(host);
                        }
                        continue;
                    }
                    if started.elapsed() > host.at.limit && host.exited.is_some() {
                        return Err(RunError::Outlived {
                            session: self.session.name.clone(),
                            limit: host.at.limit,
                            output: host.output(),
                        });
                    }
                    if started.elapsed() > host.at.limit {
                        return Err(RunError::Silent {
                            session: self.session.name.clone(),
                            limit: host.at.limit,
                            output: host.output(),
                        });
                    }
                    continue;
                }
            }
            looks = 0;
            last = Instant::now();
        }
    }

    /// How long the program may say nothing until it is looked at.
    fn pause(&self, looks: usize, is_idle: bool) -> Sleep {
        let millis = match self.part {
            _ if is_idle => 0,
            Part::Whole => LOOKS_MILLIS[looks.min(LOOKS_MILLIS.len() - 1)],
            // a program that is to rest must be seen twice between the ticks of its own timers
            Part::Connection | Part::Request(_) if looks < 2 => LOOKS_MILLIS[looks],
            Part::Connection | Part::Request(_) => [10, 2][looks % 2],
        };
        sleep(Duration::from_millis(millis))
    }

    /// Takes what this session sent while another was released. Returns whether a step is held.
    async fn take_given(&mut self, host: &mut Host, conditions: &mut Conditions<'_>) -> Result<bool, RunError> {
        let place = host.given.iter().position(|given| given.session == self.id);
        let Some(Given { link, what, .. }) = place.and_then(|place| host.given.remove(place)) else {
            return Ok(false);
        };
        host.links[link].busy = false;
        match what {
            Came::Request(request, end) => {
                self.take_request(host, link, request, end, Whose::Mine, conditions)
                    .await
            }
            Came::Farewell => self.farewell(host, link, conditions).await,
        }
    }

    /// The first of these: something happens at the program's gate, or, where this is `None`, a service answers.
    async fn next_happening(&mut self, host: &mut Host, pause: Sleep) -> Result<Option<Happening>, RunError> {
        let asked = &mut self.asked;
        let answering = async {
            match asked {
                Some(asked) => asked.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            happening = host.next_happening(pause) => happening.map(Some),
            answer = answering => {
                self.asked = None;
                match answer {
                    Ok(Ok(answer)) => {
                        self.answer.get_or_insert(answer);
                    }
                    Ok(Err(source)) => return Err(RunError::Request {
                        session: self.session.name.clone(),
                        source,
                    }),
                    Err(error) => return Err(RunError::Runtime(std::io::Error::other(error))),
                }
                host.stir();
                Ok(None)
            }
        }
    }

    /// Whether others wait inside the program, so that what comes may be theirs.
    fn has_waiters(&self, host: &Host) -> bool {
        match self.part {
            Part::Whole => false,
            Part::Connection => {
                let is_given = |id: usize| host.given.iter().any(|given| given.session == id);
                host.thinking.keys().any(|&id| id != self.id && !is_given(id))
            }
            Part::Request(_) => host.others_think(self.id),
        }
    }

    /// Whether it is known what this session does next because the program rests.
    fn is_settled(&mut self, host: &mut Host, last: Instant) -> Result<bool, RunError> {
        match self.part {
            Part::Whole => Ok(false),
            Part::Connection => Ok(host.rests() && self.connection_settled(host, last)?),
            Part::Request(_) => Ok(host.rests() && self.settled(host, last)),
        }
    }

    /// The program rests: whether that says what this request does next.
    fn settled(&mut self, host: &mut Host, last: Instant) -> bool {
        self.assign_unclear(host);
        if self.held.is_some() {
            return true;
        }
        if self.answer.is_some() {
            if host.has_exited() {
                return false;
            }
            if !host.others_think(self.id) && host.has_timers_left() {
                if last.elapsed() < LONGEST_LATENESS {
                    return false;
                }
                host.note_late_work();
            }
            self.end_request(host);
            return true;
        }
        let is_alone = !host.active.iter().any(|id| *id != self.id);
        if host.thinking.contains_key(&self.id) {
            return true;
        }
        if is_alone || last.elapsed() < LONGEST_REST {
            return false;
        }
        // it waits for another request inside the program
        if self.statements == 0 {
            self.note(Uncontrolled::StartOrder {
                session: self.session.name.clone(),
            });
        }
        host.thinking.insert(self.id, host.releases);
        self.observed.meets_in_process();
        true
    }

    /// Steps that came while others waited inside the program: they are theirs if this request has come to its end.
    pub(super) fn assign_unclear(&mut self, host: &mut Host) {
        for (link, request, end) in std::mem::take(&mut host.unclear) {
            let waiters: Vec<usize> = host.thinking.keys().copied().filter(|id| *id != self.id).collect();
            let given: Vec<usize> = host.given.iter().map(|given| given.session).collect();
            let mut free = waiters.iter().filter(|id| !given.contains(id));
            let (first, is_sole) = (free.next().copied(), free.next().is_none());
            let is_done = self.answer.is_some() || self.held.is_some();
            if !(is_done && is_sole) {
                self.note(Uncontrolled::RequestsNotToldApart {
                    instance: host.name.clone(),
                });
            }
            let session = if is_done { first.unwrap_or(self.id) } else { self.id };
            let what = Came::Request(request, end);
            host.given.push_back(Given { session, link, what });
        }
    }

    /// What this session does next is known. One that waited for no other session waited for a timer.
    fn found(&mut self, host: &mut Host) -> Result<(), RunError> {
        if self.held.is_none() && !self.ended {
            return Ok(());
        }
        if let Some(since) = host.thinking.remove(&self.id)
            && host.exited.is_none()
            && self.held.is_some()
            && !self.begins(host)
        {
            if since == host.releases {
                self.note(Uncontrolled::WaitedForTimer {
                    session: self.session.name.clone(),
                });
            }
            self.observed.meets_in_process();
        }
        Ok(())
    }

    /// The program has ended, and nothing is left of it.
    async fn end_program(&mut self, host: &mut Host) {
        host.end().await;
        host.thinking.remove(&self.id);
        self.exit = host.exited;
        if self.shows_exit() {
            self.output = host.output();
        }
        self.learn_end();
        self.note_next("its end", format!("{:?}", self.exit));
        self.ended = true;
    }

    /// What has come of a cancellation, or of a client that gave up while its statement waits.
    pub(super) fn poll_meanwhile(&mut self, host: &mut Host, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(arrival)) = host.gate.poll_arrival(cx) {
            let Arrival::Cancel {
                backend_pid,
                secret_key,
                client,
            } = arrival
            else {
                host.arrived.push_back(arrival);
                continue;
            };
            if let Some(canceller) = host.canceller(backend_pid, secret_key) {
                self.note(Uncontrolled::ProgramCancelled {
                    session: self.session.name.clone(),
                });
                tokio::spawn(async move {
                    // a query that was over by then needs none
                    let _ = canceller.cancel().await;
                    drop(client);
                });
            }
        }
    }

    /// Other connections of the program's, while this one has a turn: what they send now could have come before.
    pub(super) fn look_at_others(&mut self, host: &mut Host, busy: usize, cx: &mut Context<'_>) {
        if matches!(self.part, Part::Connection) {
            // they are sessions of their own
            return;
        }
        for index in (0..host.links.len()).filter(|&index| index != busy) {
            let link = &mut host.links[index];
            if link.gone || link.busy {
                continue;
            }
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
}
