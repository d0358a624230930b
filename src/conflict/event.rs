//! The moves of a run, as far as conflicts are concerned.

use super::footprint::Footprint;
use super::snapshots::Snapshots;

/// One move: what the scheduled session did, and what others did that ran on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The session that was scheduled.
    pub session: usize,
    /// Every session whose state it changed: that one, and those that it released, made wait for another session, or
    /// allowed to run a transaction again.
    pub participants: Vec<usize>,
    pub pieces: Vec<Piece>,
}

/// What one session did in a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub snapshots: Snapshots,
    pub statement: Footprint,
    /// What its transaction has read, locked and written before.
    pub held: Footprint,
    /// What its transaction has read, locked and written so far, including this statement, if another session's
    /// statement alone may doom it: where there are three or more serializable transactions.
    pub tracked: Option<Footprint>,
    /// If the statement takes the transaction's only snapshot: everything that the transaction may read with it.
    pub transaction: Option<Footprint>,
    /// The transaction (or a part of it, behind a savepoint) ended.
    pub end: Option<End>,
}

/// The end of a transaction, or of a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub committed: bool,
    /// What the transaction read, locked and wrote.
    pub held: Footprint,
}
