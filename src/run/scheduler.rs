//! Who decides which session moves, and what it is told.

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
    /// The answer to what [`Scheduler::question`] asked of it; `None` where it asked nothing, or got an error.
    pub answer: Option<bool>,
}

/// Decides which session moves.
pub trait Scheduler {
    /// What must be known of a session before it can be chosen or left alone: a query for one truth value, which is run
    /// outside the sessions' transactions, so that it sees what is committed.
    fn question(&mut self, _so_far: SoFar<'_>, _candidate: Candidate<'_>) -> Option<String> {
        None
    }

    /// Takes what has happened so far and the enabled sessions (never none, ascending, each with the one move that it
    /// can make), and returns one of them. Asked before every move.
    fn choose(&mut self, so_far: SoFar<'_>, ready: &[Candidate<'_>]) -> usize;

    /// Whether the run ends here, though sessions are enabled. `ready` has those that have steps left, and not those of
    /// which only the connection is to end. Asked ahead of every choice; none of them may be blocked
    /// then.
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
    /// What the scheduler had asked of each of them, and was told.
    pub answers: Vec<Option<bool>>,
    pub chosen: usize,
}

impl Decision {
    fn place(&self, session: usize) -> Option<usize> {
        self.ready.iter().position(|&ready| ready == session)
    }

    /// What the scheduler was told of a session.
    pub fn answer_of(&self, session: usize) -> Option<bool> {
        *self.answers.get(self.place(session)?)?
    }

    /// What a session could do.
    pub fn kind_of(&self, session: usize) -> Option<MoveKind> {
        self.kinds.get(self.place(session)?).copied()
    }
}
