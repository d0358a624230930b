//! Requests to services: how they are sent, and how they end.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::host::{Happening, Host};
use super::request::{is_ready, send};
use super::taking::Whose;
use super::{Attached, Part, SharedHost};
use crate::history::NoAnswer;
use crate::process::Output;
use crate::run::{Conditions, RunError};

/// How often a service that starts is asked whether it is ready.
const ASKED_EVERY: Duration = Duration::from_millis(20);

/// A service may take this long to be ready, however short the limit of a step is.
const SHORTEST_LIMIT: Duration = Duration::from_secs(30);

/// How long a service that is ready may still be busy with its start.
const LONGEST_START: Duration = Duration::from_secs(2);

/// How long an answer that a service sent before it ended may take to be read.
const LONGEST_READING: Duration = Duration::from_secs(1);

/// How often a service is started that found its port taken.
const MOST_ATTEMPTS: u32 = 4;

fn await_ready(port: u16, path: Option<String>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while !is_ready(port, path.as_deref()).await {
            sleep(ASKED_EVERY).await;
        }
    })
}

impl Attached {
    /// Sends the request if it has not been sent, to an instance that is ready.
    pub(super) async fn ask(&mut self, host: &mut Host, conditions: &mut Conditions<'_>) -> Result<(), RunError> {
        let Part::Request(request) = &self.part else {
            return Ok(());
        };
        if host.thinking.contains_key(&self.id) {
            return Ok(());
        }
        host.releases += 1;
        if host.active.contains(&self.id) {
            return Ok(());
        }
        if host.exited.is_some() {
            // it is not started anew within a run
            host.active.insert(self.id);
            return Ok(());
        }
        let request = request.clone();
        self.make_ready(host, conditions).await?;
        let port = host.service.as_ref().map_or(0, |instance| instance.port);
        host.active.insert(self.id);
        self.asked = Some(tokio::spawn(send(port, request)));
        Ok(())
    }

    async fn make_ready(&mut self, host: &mut Host, conditions: &mut Conditions<'_>) -> Result<(), RunError> {
        let Some(instance) = &host.service else { return Ok(()) };
        if host.launched.is_some() && instance.ready {
            return Ok(());
        }
        let all: Vec<SharedHost> = instance.all.iter().filter_map(std::sync::Weak::upgrade).collect();
        if host.launched.is_none() {
            host.start().await?;
        }
        // the others may as well start meanwhile
        for other in all {
            if let Ok(mut other) = other.try_lock()
                && other.launched.is_none()
                && other.exited.is_none()
            {
                other.start().await?;
            }
        }
        let (port, path) = match &host.service {
            Some(instance) => (instance.port, instance.service.ready.clone()),
            None => return Ok(()),
        };
        let limit = host.at.limit.max(SHORTEST_LIMIT);
        let started = Instant::now();
        let mut probe = await_ready(port, path.clone());
        let mut attempts = 1;
        let mut since = None;
        loop {
            match host.next_happening(sleep(Duration::from_millis(5))).await? {
                Happening::Arrival(arrival) => host.welcome(arrival).await?,
                Happening::Request(link, request, end) => {
                    self.take_request(host, link, request, end, Whose::Start, conditions)
                        .await?;
                }
                Happening::Gone(link) => {
                    host.links[link].close().await;
                }
                Happening::Exited(exit) => host.exited = Some(exit),
                Happening::Nothing => {
                    if since.is_none() && probe.is_finished() {
                        since = Some(Instant::now());
                    }
                    let has_started = since.is_some_and(|since| host.rests() || since.elapsed() > LONGEST_START);
                    if has_started && !host.has_exited() {
                        break;
                    }
                    if started.elapsed() > limit {
                        probe.abort();
                        return Err(RunError::NotReady {
                            service: host.name.clone(),
                            limit,
                            output: host.output(),
                        });
                    }
                }
            }
            let Some(exit) = host.exited else { continue };
            probe.abort();
            // somebody else may have taken the port meanwhile
            if attempts == MOST_ATTEMPTS || !host.port_is_taken().await {
                host.end().await;
                return Err(host.ended(exit));
            }
            attempts += 1;
            host.stop().await;
            host.start().await?;
            let port = host.service.as_ref().map_or(0, |instance| instance.port);
            probe = await_ready(port, path.clone());
        }
        host.know_threads();
        if let Some(instance) = &mut host.service {
            instance.ready = true;
        }
        Ok(())
    }

    /// Its answer is not waited for any longer: ends the service, since what it still did would belong to no session.
    pub(super) async fn give_up_request(&mut self, host: &mut Host) {
        let cause = match self.under_way {
            Some(_) => NoAnswer::Stuck,
            None => NoAnswer::Silent(host.at.limit),
        };
        self.answer.get_or_insert(Err(cause));
        host.give_up().await;
    }

    /// Whether the service has ended, and nothing that it has sent for this request is left.
    pub(super) fn is_bereft(&mut self, host: &mut Host) -> bool {
        if !matches!(self.part, Part::Request(_)) || host.exited.is_none() || self.held.is_some() {
            return false;
        }
        if !host.open_links().all(|(_, link)| link.busy) {
            return false;
        }
        self.assign_unclear(host);
        !host.given.iter().any(|given| given.session == self.id)
    }

    /// The service has ended. What it had answered before counts.
    pub(super) async fn end_without_service(&mut self, host: &mut Host) {
        if let Some(asked) = self.asked.take()
            && let Ok(Ok(Ok(answer))) = timeout(LONGEST_READING, asked).await
        {
            self.answer.get_or_insert(answer);
        }
        self.end_request(host);
    }

    /// The answer has come, or none will, and nothing of the request is under way any more.
    pub(super) fn end_request(&mut self, host: &mut Host) {
        host.active.remove(&self.id);
        host.thinking.remove(&self.id);
        self.ended = true;
        if let None | Some(Err(NoAnswer::Closed)) = self.answer {
            self.answer = Some(Err(match host.exited {
                _ if host.given_up => NoAnswer::Stopped,
                Some(exit) => NoAnswer::Ended(exit),
                None => NoAnswer::Closed,
            }));
        }
        let printed = host.output();
        let is_lost = matches!(self.answer, Some(Err(_)));
        self.output = Output {
            stdout: printed.stdout.chars().filter(|_| is_lost).collect(),
            stderr: printed.stderr,
        };
        if is_lost {
            host.spoiled = true;
            self.observed.meets_in_process();
        }
        self.learn_end();
        let next = self
            .answer
            .as_ref()
            .map(|answer| answer.as_ref().map(|answer| answer.status));
        self.note_next("its answer", format!("{next:?}"));
    }
}
