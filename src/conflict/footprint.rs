//! What a statement may touch.

use std::collections::{BTreeMap, BTreeSet};

use crate::scenario::Scenario;

/// Something that statements of different sessions can meet at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A table or sequence by its object number.
    Relation(u32),
    /// All advisory locks.
    AdvisoryLocks,
    /// All LISTEN and NOTIFY.
    Notifications,
    /// Every sequence, where a statement names it in a way that is not understood.
    Sequences,
}

/// How strongly a statement locks rows that it does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockStrength {
    /// FOR SHARE, FOR KEY SHARE, and the checks of foreign keys: any number of sessions at a time.
    Share,
    /// FOR UPDATE, FOR NO KEY UPDATE: one session at a time.
    Exclusive,
}

/// What a statement does to a table that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteKind {
    /// It adds rows to a table where no unique index can make two additions meet.
    Append,
    /// Anything else.
    Change,
}

/// What a statement may read, lock and write, whatever its values are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    /// It may touch anything at all.
    pub unknown: bool,
    /// Read by the statement's snapshot, without a lock on the rows.
    pub reads: BTreeSet<Object>,
    pub locks: BTreeMap<Object, LockStrength>,
    pub writes: BTreeMap<Object, WriteKind>,
}

impl Footprint {
    /// Of a statement about which nothing is known.
    pub fn unknown() -> Footprint {
        Footprint {
            unknown: true,
            ..Footprint::default()
        }
    }

    /// It touches nothing that another session could meet it at.
    pub fn is_empty(&self) -> bool {
        !self.unknown && self.reads.is_empty() && self.locks.is_empty() && self.writes.is_empty()
    }

    pub fn lock(&mut self, object: Object, strength: LockStrength) {
        let known = self.locks.entry(object).or_insert(strength);
        *known = (*known).max(strength);
    }

    pub fn write(&mut self, object: Object, kind: WriteKind) {
        let known = self.writes.entry(object).or_insert(kind);
        *known = (*known).max(kind);
    }

    /// Adds what another footprint touches.
    pub fn add(&mut self, other: &Footprint) {
        self.unknown |= other.unknown;
        self.reads.extend(&other.reads);
        for (&object, &strength) in &other.locks {
            self.lock(object, strength);
        }
        for (&object, &kind) in &other.writes {
            self.write(object, kind);
        }
    }

    /// Whether it reads, locks or writes an object (adding rows where they meet nothing is none of these).
    pub fn touches(&self, object: Object) -> bool {
        self.reads.contains(&object)
            || self.locks.contains_key(&object)
            || self.writes.get(&object).is_some_and(|kind| *kind == WriteKind::Change)
    }
}

/// The footprints of a scenario's steps.
#[derive(Debug, Clone, Default)]
pub struct Footprints {
    /// By session and step.
    steps: Vec<Vec<Footprint>>,
    /// A commit may run checks or triggers that were put off till then.
    pub deferred: bool,
}

impl Footprints {
    pub fn new(steps: Vec<Vec<Footprint>>, deferred: bool) -> Footprints {
        Footprints { steps, deferred }
    }

    /// Where nothing is known: every step conflicts with every other.
    pub fn unknown(scenario: &Scenario) -> Footprints {
        let steps = scenario
            .sessions
            .iter()
            .map(|session| vec![Footprint::unknown(); session.steps.len()])
            .collect();
        Footprints { steps, deferred: true }
    }

    /// A step's footprint, of which nothing is known where there is none.
    pub fn step(&self, session: usize, step: usize) -> Footprint {
        self.steps
            .get(session)
            .and_then(|steps| steps.get(step))
            .cloned()
            .unwrap_or_else(Footprint::unknown)
    }
}
