//! What was scheduled, one move after the other.

use super::Turn;

/// What can be scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MoveKind {
    /// A session sends its next step.
    Step,
    /// A blocked session that has been released resumes: it runs until its step is over or blocked again.
    Resume,
    /// A timeout that the session has set ends the step in which it is blocked.
    Timeout,
}

/// One choice of the schedule, and the session that it moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The session that was scheduled.
    pub session: usize,
    /// What it did.
    pub kind: MoveKind,
    /// The turn of its step.
    pub turn: usize,
    /// Turns whose steps ended with this move: its own, then those of sessions that ran on because they could not be
    /// stopped.
    pub finished: Vec<usize>,
    /// Sessions that it released: they are resumed by moves of their own.
    pub released: Vec<usize>,
    /// Other sessions that went from one wait into another.
    pub moved: Vec<usize>,
    /// Sessions that may now run their transactions again, since one that their error released has resumed.
    pub lets_retry: Vec<usize>,
}

impl Move {
    /// A move with which nothing is known to have happened yet.
    pub fn new(session: usize, kind: MoveKind, turn: usize) -> Move {
        Move {
            session,
            kind,
            turn,
            finished: Vec::new(),
            released: Vec::new(),
            moved: Vec::new(),
            lets_retry: Vec::new(),
        }
    }
}

/// A run up to a choice. Steps that are still blocked have [`Turn::IN_FLIGHT`] as their end.
#[derive(Debug, Clone, Copy)]
pub struct SoFar<'a> {
    /// In the order in which they were sent.
    pub turns: &'a [Turn],
    /// In the order in which they were made.
    pub moves: &'a [Move],
}

impl SoFar<'_> {
    /// The released session that began to wait first.
    pub fn first_to_wait(self, released: impl Iterator<Item = usize>) -> Option<usize> {
        // a session waits from its own last move on
        released.min_by_key(|&session| self.moves.iter().rposition(|one| one.session == session))
    }
}
