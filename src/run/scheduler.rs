//! Decides which session moves, and what it is told for that.

use super::session::Pending;
use crate::history::{MoveKind, SoFar};

/// An enabled session.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub session: usize,
    /// What it does if it is chosen.
    pub kind: MoveKind,
    /// The step that it sends, or resumes.
    pub step: &'a Pending,
    /// The answer to [`Scheduler::question`]; `None` if there was no question, or it got an error.
    pub answer: Option<bool>,
}

/// Decides which session moves.
pub trait Scheduler {
    /// What must be known about a session before it can be chosen or passed over: a query for one truth value, which is
    /// run outside the sessions' transactions, so it sees what is committed.
    fn question(&mut self, _so_far: SoFar<'_>, _candidate: Candidate<'_>) -> Option<String> {
        None
    }

    /// Given what has happened so far and the enabled sessions (at least one, ascending, each with the one move that it
    /// can make), returns one of them. Called before every move.
    fn choose(&mut self, so_far: SoFar<'_>, ready: &[Candidate<'_>]) -> usize;

    /// Whether the run ends here, although sessions are enabled. `ready` are those that have steps left, without those
    /// that only have to close their connection. Called before every choice; if it returns true, none of them may be
    /// blocked.
    fn is_over(&mut self, _so_far: SoFar<'_>, _ready: &[usize]) -> bool {
        false
    }
}

/// The choice of one move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Enabled sessions, ascending.
    pub ready: Vec<usize>,
    /// What each of them could do.
    pub kinds: Vec<MoveKind>,
    /// The answer to the question about each of them.
    pub answers: Vec<Option<bool>>,
    pub chosen: usize,
}

impl Decision {
    fn place(&self, session: usize) -> Option<usize> {
        self.ready.iter().position(|&ready| ready == session)
    }

    /// The answer to the question about a session.
    pub fn answer_of(&self, session: usize) -> Option<bool> {
        *self.answers.get(self.place(session)?)?
    }

    /// What a session could do.
    pub fn kind_of(&self, session: usize) -> Option<MoveKind> {
        self.kinds.get(self.place(session)?).copied()
    }
}
