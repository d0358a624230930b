//! Programs whose connections are sessions of their own, such as one with several threads: which connection is which session,
//! and how it is known that a session has nothing to send.
//!
//! A session is told by its connection. The order in which threads start is chance, so the sessions of a program get their
//! connections in the order of what they send first, then of when the threads were started, and only then of when the
//! connections were opened. Sessions are independent as far as their statements are, as long as nothing passes
//! between them inside the program. Two things may show that something does: a connection that had come to rest sends
//! something because another one got a reply, and a connection has a second transaction, which may be that of a thread that
//! waited for it. From then on everything may meet everything.

use std::time::Duration;

use tokio::time::Instant;

use super::host::{Came, Given, Host};
use super::{Attached, naming};
use crate::process::{may_wake_within, waiting_threads};
use crate::proxy::Request;
use crate::run::RunError;

/// How long a program must rest until a connection that has sent nothing counts as having nothing to send, unless it is known
/// that none of its threads waits for a time. A thread that sleeps longer between two statements makes the verdict
/// inconclusive.
const REST: Duration = Duration::from_millis(100);

impl Attached {
    /// Starts the program, where this is the first of its sessions to be released.
    pub(super) async fn release_connection(&mut self, host: &mut Host) -> Result<(), RunError> {
        if host.thinking.contains_key(&self.id) {
            return Ok(());
        }
        host.releases += 1;
        if host.launched.is_none() && host.exited.is_none() {
            host.start().await?;
            let others = host.connections.iter().filter(|id| **id != self.id);
            host.thinking = others.map(|id| (*id, 0)).collect();
        }
        Ok(())
    }

    /// The sessions of the program that have no connection.
    fn without_connection<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = usize> + 'a {
        let has_one = |id: usize| host.open_links().any(|(_, link)| link.owner == Some(id));
        host.connections.iter().copied().filter(move |id| !has_one(*id))
    }

    /// Gives each connection that has sent its first step to a session.
    fn assign_connections(&mut self, host: &mut Host) -> Result<(), RunError> {
        if host.unclear.is_empty() {
            return Ok(());
        }
        let free: Vec<usize> = self.without_connection(host).collect();
        let mut come = std::mem::take(&mut host.unclear);
        if come.len() > free.len() {
            return Err(RunError::MoreConnections {
                session: self.session.program_name().to_owned(),
                connections: host.connections.len(),
            });
        }
        let threads = waiting_threads(host.processes());
        come.sort_by_cached_key(|(link, request, _)| {
            let port = host.links[*link].client.port();
            let thread = port.and_then(|port| threads.get(&port));
            (self.content(request), thread, *link)
        });
        for ((link, request, end), &session) in come.into_iter().zip(&free) {
            host.links[link].owner = Some(session);
            let what = Came::Request(request, end);
            host.given.push_back(Given { session, link, what });
        }
        if host.first.is_none() {
            host.first = Some(host.given.iter().map(|given| given.session).collect());
            let releases = host.releases;
            host.thinking.values_mut().for_each(|since| *since = releases);
        }
        Ok(())
    }

    /// What a request says, without names that the driver has made.
    fn content(&self, request: &Request) -> String {
        let statements = request.statements.iter();
        let said = statements.map(|asked| {
            let values = naming::values(asked, &self.volatile);
            let filled = naming::filled(&asked.sql, &values);
            self.volatile.mask(&filled).into_owned()
        });
        said.collect::<Vec<_>>().join("; ")
    }

    /// The program rests: whether that says what this session does next.
    pub(super) fn connection_settled(&mut self, host: &mut Host, last: Instant) -> Result<bool, RunError> {
        let is_first = host.first.is_none();
        let have_all_come = self.without_connection(host).count() <= host.unclear.len();
        if is_first && !have_all_come && last.elapsed() < REST {
            return Ok(false);
        }
        self.assign_connections(host)?;
        if host.given.iter().any(|given| given.session == self.id) {
            // it is taken first
            return Ok(false);
        }
        if self.held.is_some() || host.thinking.contains_key(&self.id) {
            return Ok(true);
        }
        // where the connection is closed, there is nothing to wait for
        let is_connected = self.own_links(host).next().is_some();
        if is_connected && last.elapsed() < REST && may_wake_within(host.processes(), REST) {
            return Ok(false);
        }
        host.thinking.insert(self.id, host.releases);
        Ok(true)
    }

    /// Whether the step that is held is one of those that the program has begun with.
    pub(super) fn begins(&self, host: &Host) -> bool {
        self.statements == 1 && host.first.as_ref().is_some_and(|first| first.contains(&self.id))
    }
}
