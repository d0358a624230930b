//! Deadlocks that PostgreSQL broke.

/// Sessions that waited in a cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlock {
    /// Ascending, the victim included.
    pub sessions: Vec<usize>,
    /// The session whose statement failed.
    pub victim: usize,
    /// The turn in which it failed.
    pub turn: usize,
}
