//! Requests to services: how they are sent, and how they end.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::host::{Happening, Host};
use super::request::{is_ready, send};
use super::taking::Whose;
use super::{Attached, Part, SharedHost};
use crate::process::Output;
use crate::run::{Conditions, RunError};

/// How often a service that starts is asked whether it is ready.
const ASKED_EVERY: Duration = Duration::from_millis(20);

/// How long a service that is ready may still be busy with its start.
const LONGEST_START: Duration = Duration::from_secs(2);

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
            {
                other.start().await?;
            }
        }
        let (port, path) = match &host.service {
            Some(instance) => (instance.port, instance.service.ready.clone()),
            None => return Ok(()),
        };
        let limit = host.at.limit;
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
                Happening::Exited(exit) => {
                    probe.abort();
                    // somebody else may have taken the port meanwhile
                    if attempts < MOST_ATTEMPTS && host.port_is_taken().await {
                        attempts += 1;
                        host.stop().await;
                        host.start().await?;
                        let port = host.service.as_ref().map_or(0, |instance| instance.port);
                        probe = await_ready(port, path.clone());
                        continue;
                    }
                    return Err(host.ended(exit));
                }
                Happening::Nothing => {
                    if since.is_none() && probe.is_finished() {
                        since = Some(Instant::now());
                    }
                    if since.is_some_and(|since| host.rests() || since.elapsed() > LONGEST_START) {
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
        }
        host.know_threads();
        if let Some(instance) = &mut host.service {
            instance.ready = true;
        }
        Ok(())
    }

    /// The answer has come, and nothing of the request is under way any more.
    pub(super) fn end_request(&mut self, host: &mut Host) {
        host.active.remove(&self.id);
        self.ended = true;
        let status = self.answer.as_ref().map(|answer| answer.status);
        self.output = Output {
            stdout: String::new(),
            stderr: host.output().stderr,
        };
        self.learn_end();
        self.note_next("its answer", status);
    }
}
