//! What a statement may touch.

use std::collections::{BTreeMap, BTreeSet};

use super::statement::NamedRow;

/// Something over which statements of different sessions can conflict.
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
    /// Every sequence: a statement names one in a way that is not understood.
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

/// A row by a unique key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// Object number of the unique index.
    pub index: u32,
    /// The key's values, in a form in which equal values are written alike.
    pub values: Vec<String>,
}

impl RowKey {
    /// The row that a statement names, given its parameters. `None` where one of them may not name one.
    pub fn named(row: &NamedRow, parameters: &[Option<String>]) -> Option<RowKey> {
        let values = row.values.iter().map(|value| value.with(parameters));
        Some(RowKey {
            index: row.index,
            values: values.collect::<Option<_>>()?,
        })
    }
}

/// How strongly a statement locks rows, from the weakest on (PostgreSQL's manual, section 13.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockStrength {
    KeyShare,
    Share,
    NoKeyUpdate,
    Update,
}

impl LockStrength {
    /// Whether two transactions cannot hold these on the same row (table 13.3 of the manual).
    pub fn conflicts_with(self, other: LockStrength) -> bool {
        self as u8 + other as u8 >= LockStrength::Update as u8
    }
}

/// What a statement does to a table that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteKind {
    /// It adds rows to a table where no unique index can make two additions conflict.
    Append,
    /// It changes rows, but no column of a unique index.
    UpdateNoKey,
    /// Anything else.
    Change,
}

impl WriteKind {
    /// How strongly it locks the rows that it meets.
    pub fn strength(self) -> LockStrength {
        match self {
            // added rows conflict only with claims on existing rows
            WriteKind::Append => LockStrength::Share,
            WriteKind::UpdateNoKey => LockStrength::NoKeyUpdate,
            WriteKind::Change => LockStrength::Update,
        }
    }
}

/// What a statement may read, lock and write, whatever its values are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    /// It may touch anything at all.
    pub unknown: bool,
    /// Read by the statement's snapshot, without locking the rows.
    pub reads: BTreeSet<Object>,
    pub locks: BTreeMap<Object, LockStrength>,
    /// Locked FOR KEY SHARE by the check of a foreign key, which sees nothing of the row but that it exists.
    pub checks: BTreeSet<Object>,
    pub writes: BTreeMap<Object, WriteKind>,
    /// A trigger or a function of the scenario's own may run, so it may touch other rows than its text shows.
    pub calls: bool,
    /// Tables whose physical row order may matter to it.
    pub ordered: BTreeSet<Object>,
    /// It takes the time, and something distinguishes times.
    pub timed: bool,
    /// The order in which its transaction and another get their numbers matters.
    pub numbered: bool,
}

impl Footprint {
    /// The footprint of a statement about which nothing is known.
    pub fn unknown() -> Footprint {
        Footprint {
            unknown: true,
            ..Footprint::default()
        }
    }

    /// It touches nothing over which another session could conflict with it.
    pub fn is_empty(&self) -> bool {
        !self.unknown && self.reads.is_empty() && !self.holds()
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
        self.calls |= other.calls;
        self.timed |= other.timed;
        self.ordered.extend(other.ordered.iter().cloned());
        self.reads.extend(other.reads.iter().cloned());
        self.checks.extend(other.checks.iter().cloned());
        for (object, &strength) in &other.locks {
            self.lock(object.clone(), strength);
        }
        for (object, &kind) in &other.writes {
            self.write(object.clone(), kind);
        }
    }

    /// Whether its effect depends on a write. It does not if it adds rows that meet nothing.
    pub fn depends_on(&self, written: &Object, kind: WriteKind) -> bool {
        let changes = self.writes.iter().filter(|(_, kind)| **kind != WriteKind::Append);
        self.reads
            .iter()
            .chain(self.locks.keys())
            .chain(changes.map(|(object, _)| object))
            .chain(self.checks.iter().filter(|_| kind != WriteKind::UpdateNoKey))
            .any(|own| own.overlaps(written))
    }

    /// Whether it touches nothing else. (What a statement does after waiting for a row may be computed twice.)
    pub fn is_about(&self, object: &Object) -> bool {
        !self.unknown
            && !self.timed
            && self
                .reads
                .iter()
                .chain(self.claims().map(|(claimed, _)| claimed))
                .all(|own| own == object)
    }

    /// Whether it locks or writes an object, not counting the checks of foreign keys.
    pub fn takes(&self, object: &Object) -> bool {
        self.locks.contains_key(object) || self.writes.contains_key(object)
    }

    /// Whether it locks or changes something, so that others may have to wait for it.
    pub fn holds(&self) -> bool {
        self.unknown || self.claims().next().is_some()
    }

    /// What it locks, and how strongly.
    pub fn claims(&self) -> impl Iterator<Item = (&Object, LockStrength)> {
        let writes = self.writes.iter().map(|(object, kind)| (object, kind.strength()));
        let locks = self.locks.iter().map(|(object, strength)| (object, *strength));
        let checks = self.checks.iter().map(|object| (object, LockStrength::KeyShare));
        writes.chain(locks).chain(checks)
    }

    /// The statement's footprint given that it touches only one row of a table. Its claims on the table stay as they
    /// are unless `claims_too`.
    pub fn confined_to(mut self, table: u32, row: RowKey, claims_too: bool) -> Footprint {
        let (table, row) = (Object::Relation(table), Object::Row(table, row));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Table 13.3 of PostgreSQL's manual.
    #[test]
    fn row_locks_conflict_by_mode() {
        use LockStrength::{KeyShare, NoKeyUpdate, Share, Update};
        let modes = [KeyShare, Share, NoKeyUpdate, Update];
        let conflicting = |one: LockStrength| modes.map(|other| one.conflicts_with(other));
        assert_eq!(conflicting(KeyShare), [false, false, false, true]);
        assert_eq!(conflicting(Share), [false, false, true, true]);
        assert_eq!(conflicting(NoKeyUpdate), [false, true, true, true]);
        assert_eq!(conflicting(Update), [true, true, true, true]);
    }
}
