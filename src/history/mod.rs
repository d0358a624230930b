//! What one run did, without anything that differs between two runs of the same schedule.
//!
//! A history describes itself: each [`Turn`] holds its statement, where the statement came from, and what it did to its
//! session's transaction, so that readers need no scenario.

mod deadlock;
mod fresh;
mod moves;
mod result;
#[cfg(test)]
pub(crate) mod testing;
mod transaction;
mod turn;
mod uncontrolled;
mod variable;
mod volatile;

pub use deadlock::Deadlock;
pub use fresh::{NOW, has_placeholder};
pub use moves::{Move, MoveKind, SoFar};
pub use result::{Answer, Exit, NoAnswer, SessionEnd, StepError, StepOutcome, StepResult};
pub use transaction::{Tx, TxEnd};
pub use turn::{DISCONNECT, Origin, Statement, Turn, Wait};
pub use uncontrolled::{RunDifference, Uncontrolled};
pub use variable::{Variable, Variables};
pub use volatile::Volatile;

/// What one run did: every step with its result, its waits and when it resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The sessions' names; everything else refers to a session by its index here.
    pub sessions: Vec<String>,
    /// One entry for each step sent, in the order in which they were sent. The index is the turn.
    pub turns: Vec<Turn>,
    /// What was scheduled, in order: every step sent, and every resumption of a session that had been released.
    pub moves: Vec<Move>,
    /// How each session ended, by session.
    pub ends: Vec<SessionEnd>,
}

impl History {
    /// All of it.
    pub fn so_far(&self) -> SoFar<'_> {
        SoFar {
            turns: &self.turns,
            moves: &self.moves,
        }
    }
}
