//! What a statement may touch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::event::Snapshots;
use super::pin::{Pin, PinnedAction, RowKey, pin};
use crate::postgres::catalog::Catalog;
use crate::scenario::Scenario;

/// Something that statements of different sessions can meet at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A table or sequence by its object number.
    Relation(u32),
    /// One row of a table.
    Row(u32, RowKey),
    /// All advisory locks.
    AdvisoryLocks,
    /// All LISTEN and NOTIFY.
    Notifications,
    /// Every sequence, where a statement names it in a way that is not understood.
    Sequences,
}

impl Object {
    /// Whether the two have anything in common. Rows named by different keys may be the same row.
    pub fn overlaps(&self, other: &Object) -> bool {
        match (self, other) {
            (Object::Row(one, _), Object::Relation(other)) | (Object::Relation(one), Object::Row(other, _)) => {
                one == other
            }
            (Object::Row(table, one), Object::Row(other_table, other)) => {
                table == other_table && (one.index != other.index || one.values == other.values)
            }
            _ => self == other,
        }
    }
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
        self.reads.extend(other.reads.iter().cloned());
        for (object, &strength) in &other.locks {
            self.lock(object.clone(), strength);
        }
        for (object, &kind) in &other.writes {
            self.write(object.clone(), kind);
        }
    }

    /// Whether it reads, locks or writes an object (adding rows where they meet nothing is none of these).
    pub fn touches(&self, object: &Object) -> bool {
        self.reads
            .iter()
            .chain(self.locks.keys())
            .any(|own| own.overlaps(object))
            || self
                .writes
                .iter()
                .any(|(own, kind)| *kind == WriteKind::Change && own.overlaps(object))
    }

    /// Whether it locks or changes something, so that others may have to wait for it.
    pub fn holds(&self) -> bool {
        self.unknown || !self.locks.is_empty() || !self.writes.is_empty()
    }

    /// What the statement touches given that of the pin's table it touches the pin's row alone; its claims on the table
    /// stay as they are unless `claims_too`.
    pub fn confined_to(mut self, pin: &Pin, claims_too: bool) -> Footprint {
        let (table, row) = (Object::Relation(pin.table), Object::Row(pin.table, pin.row.clone()));
        if self.reads.remove(&table) {
            self.reads.insert(row.clone());
        }
        if claims_too && let Some(strength) = self.locks.remove(&table) {
            self.locks.insert(row.clone(), strength);
        }
        if claims_too && let Some(kind) = self.writes.remove(&table) {
            self.writes.insert(row, kind);
        }
        self
    }
}

/// The footprints of a scenario's steps.
#[derive(Debug, Clone, Default)]
pub struct Footprints {
    /// By session and step.
    steps: Vec<Vec<Footprint>>,
    /// A commit may run checks or triggers that were put off till then.
    pub deferred: bool,
    catalog: Catalog,
    /// Tables of which every statement that locks or writes does so to one row. Elsewhere rows do not count, since where
    /// a row lies depends on the order in which rows were added and changed, and the order in which another statement
    /// locks several depends on where they lie.
    confined: BTreeSet<u32>,
    /// Tables whose rows are only ever locked and updated one at a time by one unique key, at READ COMMITTED, and that
    /// key's index.
    row_by_row: BTreeMap<u32, u32>,
    /// Pins by statement: the same ones come in every run.
    pins: Arc<Mutex<HashMap<String, Option<Pin>>>>,
}

impl Footprints {
    /// `steps` has each session's footprints, by step.
    pub fn new(scenario: &Scenario, mut steps: Vec<Vec<Footprint>>, catalog: Catalog) -> Footprints {
        order_additions(&mut steps);
        order_numbers(&mut steps);
        let (confined, row_by_row) = tables_by_row(scenario, &steps, &catalog);
        Footprints {
            steps,
            deferred: catalog.deferrable,
            catalog,
            confined,
            row_by_row,
            pins: Arc::default(),
        }
    }

    /// Where nothing is known: every step conflicts with every other.
    pub fn unknown(scenario: &Scenario) -> Footprints {
        let steps = scenario
            .sessions
            .iter()
            .map(|session| vec![Footprint::unknown(); session.steps.len()])
            .collect();
        Footprints {
            steps,
            deferred: true,
            ..Footprints::default()
        }
    }

    /// A step's footprint whatever its values are; nothing is known where there is none.
    pub fn step(&self, session: usize, step: usize) -> Footprint {
        self.steps
            .get(session)
            .and_then(|steps| steps.get(step))
            .cloned()
            .unwrap_or_else(Footprint::unknown)
    }

    /// A step's footprint given its statement with the variables filled in.
    pub fn filled(&self, session: usize, step: usize, sql: &str) -> Footprint {
        let footprint = self.step(session, step);
        if footprint.unknown {
            return footprint;
        }
        match self.pin(sql) {
            Some(pin) => footprint.confined_to(&pin, self.confined.contains(&pin.table)),
            None => footprint,
        }
    }

    fn pin(&self, sql: &str) -> Option<Pin> {
        // what another thread may have left half done is no more than a missing entry
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        match pins.get(sql) {
            Some(known) => known.clone(),
            None => pins.entry(sql.to_owned()).or_insert(pin(sql, &self.catalog)).clone(),
        }
    }

    /// The row that a statement waits for and then takes, where when it begins to wait makes no difference to what it
    /// does: at READ COMMITTED it takes the row's newest version when the wait is over, and in this table rows do not
    /// come, go or change their key.
    pub fn row_taken(&self, sql: &str) -> Option<Object> {
        if self.row_by_row.is_empty() {
            return None;
        }
        let pin = self.pin(sql)?;
        let takes = pin.exact && matches!(pin.action, PinnedAction::LockExclusive | PinnedAction::Update);
        (takes && self.row_by_row.contains_key(&pin.table)).then_some(Object::Row(pin.table, pin.row))
    }
}

/// The tables of which every statement that locks or writes is confined to a row, and of these the ones meant by
/// [`Footprints::row_taken`], where each does so by the same key alone and every session is at READ COMMITTED. One step
/// about which nothing is known, and there are none.
fn tables_by_row(
    scenario: &Scenario,
    steps: &[Vec<Footprint>],
    catalog: &Catalog,
) -> (BTreeSet<u32>, BTreeMap<u32, u32>) {
    let (mut confined, mut row_by_row) = (BTreeSet::new(), BTreeMap::new());
    if catalog.deferrable || steps.iter().flatten().any(|footprint| footprint.unknown) {
        return (confined, row_by_row);
    }
    let read_committed = scenario
        .sessions
        .iter()
        .all(|session| Snapshots::of_session(session).is_read_committed());
    for &table in catalog.tables.keys() {
        let relation = Object::Relation(table);
        let mut pins = Vec::new();
        for (session, steps) in scenario.sessions.iter().zip(steps) {
            for (step, footprint) in session.steps.iter().zip(steps) {
                if footprint.locks.contains_key(&relation) || footprint.writes.contains_key(&relation) {
                    pins.push(pin(&step.template.text, catalog).filter(|pin| pin.table == table));
                }
            }
        }
        let Some(pins) = pins.into_iter().collect::<Option<Vec<Pin>>>() else {
            continue;
        };
        confined.insert(table);
        let in_foreign_key = catalog
            .foreign_keys
            .iter()
            .any(|&(one, other, _)| one == table || other == table);
        let orderly = |pin: &Pin| pin.exact && matches!(pin.action, PinnedAction::LockExclusive | PinnedAction::Update);
        if let Some(first) = pins.first()
            && read_committed
            && !in_foreign_key
            && pins.iter().all(|pin| orderly(pin) && pin.row.index == first.row.index)
        {
            row_by_row.insert(table, first.row.index);
        }
    }
    (confined, row_by_row)
}

/// Rows lie in the order in which they were added. Where statements lock several of them, they lock them in that order,
/// and whether sessions come into a deadlock depends on it.
fn order_additions(steps: &mut [Vec<Footprint>]) {
    let unknown = steps.iter().flatten().any(|footprint| footprint.unknown);
    let claims = |footprint: &Footprint| {
        let changed = footprint.writes.iter().filter(|(_, kind)| **kind == WriteKind::Change);
        let objects = footprint.locks.keys().chain(changed.map(|(object, _)| object));
        objects.cloned().collect::<Vec<_>>()
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
        .flat_map(|one| one.locks.keys().cloned())
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

    /// What becomes of the first session's first step.
    fn first(steps: Vec<Vec<Footprint>>) -> Footprint {
        let mut steps = steps;
        order_additions(&mut steps);
        order_numbers(&mut steps);
        steps[0][0].clone()
    }

    #[test]
    fn the_order_of_added_rows_matters_where_a_statement_locks_them() {
        let kind = |steps: Vec<Footprint>| first(vec![steps]).writes[&TABLE];
        assert_eq!(kind(vec![appends(), appends()]), WriteKind::Append);
        assert_eq!(kind(vec![appends(), locks(LockStrength::Exclusive)]), WriteKind::Change);
        assert_eq!(kind(vec![appends(), Footprint::unknown()]), WriteKind::Change);
    }

    #[test]
    fn the_order_of_numbers_matters_where_two_may_share_what_a_third_waits_for() {
        let numbered = |sessions: Vec<Footprint>| first(sessions.into_iter().map(|one| vec![one]).collect()).numbered;
        let share = || locks(LockStrength::Share);
        assert!(numbered(vec![share(), share(), locks(LockStrength::Exclusive)]));
        assert!(!numbered(vec![share(), share(), share()]));
        assert!(!numbered(vec![share(), locks(LockStrength::Exclusive)]));
    }
}
