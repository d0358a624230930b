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
    /// The order in which it and another statement get their transactions' numbers matters.
    pub numbered: bool,
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
        self.numbered |= other.numbered;
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
    /// By session and step; `deferred` says that a commit may run checks or triggers.
    pub fn new(mut steps: Vec<Vec<Footprint>>, deferred: bool) -> Footprints {
        order_additions(&mut steps);
        order_numbers(&mut steps);
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

/// Rows lie in the order in which they were added. Where statements lock several of them, they lock them in that order,
/// and whether sessions come into a deadlock depends on it.
fn order_additions(steps: &mut [Vec<Footprint>]) {
    let unknown = steps.iter().flatten().any(|footprint| footprint.unknown);
    let claims = |footprint: &Footprint| {
        let changed = footprint.writes.iter().filter(|(_, kind)| **kind == WriteKind::Change);
        let objects = footprint.locks.keys().chain(changed.map(|(object, _)| object));
        objects.copied().collect::<Vec<_>>()
    };
    let claimed: BTreeSet<Object> = steps.iter().flatten().flat_map(claims).collect();
    for (object, kind) in steps.iter_mut().flatten().flat_map(|footprint| &mut footprint.writes) {
        if unknown || claimed.contains(object) {
            *kind = WriteKind::Change;
        }
    }
}

/// Who waits for a row that several transactions hold together waits for one of them at a time, in the order of their
/// numbers, and a deadlock is found only with the one that is waited for.
fn order_numbers(steps: &mut [Vec<Footprint>]) {
    let objects: BTreeSet<Object> = steps
        .iter()
        .flatten()
        .flat_map(|one| one.locks.keys().copied())
        .collect();
    let mut holders = BTreeSet::new();
    for object in objects {
        let claiming = |claims: &dyn Fn(&Footprint) -> bool| -> BTreeSet<usize> {
            (0..steps.len())
                .filter(|&session| steps[session].iter().any(claims))
                .collect()
        };
        let sharing = claiming(&|one| one.unknown || one.locks.get(&object) == Some(&LockStrength::Share));
        let excluding = claiming(&|one| {
            one.unknown
                || one.locks.get(&object) == Some(&LockStrength::Exclusive)
                || one.writes.get(&object) == Some(&WriteKind::Change)
        });
        let all: BTreeSet<usize> = sharing.union(&excluding).copied().collect();
        if !sharing.is_empty() && !excluding.is_empty() && all.len() > 2 {
            holders.extend(all);
        }
    }
    for session in holders {
        for footprint in &mut steps[session] {
            footprint.numbered = !footprint.locks.is_empty() || !footprint.writes.is_empty();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Object = Object::Relation(1);

    fn appends() -> Footprint {
        let mut footprint = Footprint::default();
        footprint.write(TABLE, WriteKind::Append);
        footprint
    }

    fn locks(strength: LockStrength) -> Footprint {
        let mut footprint = Footprint::default();
        footprint.lock(TABLE, strength);
        footprint
    }

    #[test]
    fn the_order_of_added_rows_matters_where_a_statement_locks_them() {
        let kind = |steps: Vec<Footprint>| Footprints::new(vec![steps], false).step(0, 0).writes[&TABLE];
        assert_eq!(kind(vec![appends(), appends()]), WriteKind::Append);
        assert_eq!(kind(vec![appends(), locks(LockStrength::Exclusive)]), WriteKind::Change);
        assert_eq!(kind(vec![appends(), Footprint::unknown()]), WriteKind::Change);
    }

    #[test]
    fn the_order_of_numbers_matters_where_two_may_share_what_a_third_waits_for() {
        let numbered = |sessions: Vec<Footprint>| {
            let steps = sessions.into_iter().map(|one| vec![one]).collect();
            Footprints::new(steps, false).step(0, 0).numbered
        };
        let share = || locks(LockStrength::Share);
        assert!(numbered(vec![share(), share(), locks(LockStrength::Exclusive)]));
        assert!(!numbered(vec![share(), share(), share()]));
        assert!(!numbered(vec![share(), locks(LockStrength::Exclusive)]));
    }
}
