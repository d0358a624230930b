//! How sessions stand by a look at the lock table: blocked by each other, or not yet.

use super::Executor;
use crate::postgres::locks::{self, Waiting};
use crate::run::session::Session;
use crate::run::wait_for::WaitForGraph;

pub(super) enum Standing {
    /// Each waits for another session of the run, as the graph says, and no cycle is left for the server to break.
    AllBlocked(WaitForGraph),
    /// One waits, but for no session of the run: for this process, where the server names one.
    WaitsForOutsider(Option<i32>),
    /// One does not wait, or a cycle is left that the server will break.
    Running,
}

impl<S: Session> Executor<'_, S> {
    /// How the sessions that run stand, given who waits.
    pub(super) fn standing(&self, running: &[usize], waiting: &[Waiting]) -> Standing {
        for &index in running {
            let Some(wait) = self.wait_of(index, waiting) else {
                return Standing::Running;
            };
            let is_own = |pid: i32| self.sessions[index].has_backend(pid);
            if !wait.blockers.iter().any(|&pid| self.is_of_the_run(pid) && !is_own(pid)) {
                return Standing::WaitsForOutsider(wait.blockers.first().copied());
            }
        }
        let graph = self.wait_for_graph(waiting);
        match graph.has_cycle() {
            true => Standing::Running,
            false => Standing::AllBlocked(graph),
        }
    }

    pub(super) fn wait_of<'a>(&self, session: usize, waiting: &'a [Waiting]) -> Option<&'a Waiting> {
        let pid = self.sessions[session].backend_pid();
        waiting.iter().find(|wait| wait.pid == pid)
    }

    /// Whether a blocker is one that a step of the run can end.
    fn is_of_the_run(&self, pid: i32) -> bool {
        // a prepared transaction waits for a session of the run to end it
        pid == locks::PREPARED_TRANSACTION || self.session_of(pid).is_some()
    }

    fn wait_for_graph(&self, waiting: &[Waiting]) -> WaitForGraph {
        let mut graph = WaitForGraph::default();
        for wait in waiting {
            let Some(session) = self.session_of(wait.pid) else {
                continue;
            };
            for holder in wait.blockers.iter().filter_map(|&pid| self.session_of(pid)) {
                graph.add(session, holder);
            }
        }
        graph
    }
}
