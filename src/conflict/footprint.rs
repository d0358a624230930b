//! What a statement may touch.

use std::collections::{BTreeMap, BTreeSet};

use super::statement::NamedRow;

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

/// A row by a unique key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// Object number of the unique index.
    pub index: u32,
    /// The key's values, written so that equal ones are written alike.
    pub values: Vec<String>,
}

impl RowKey {
    /// The row that a statement names, given its parameters. `None` where one of them names none for sure.
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
    /// It adds rows to a table where no unique index can make two additions meet.
    Append,
    /// It changes rows, but no column of a unique index.
    UpdateNoKey,
    /// Anything else.
    Change,
}

impl WriteKind {
    /// How strongly the rows that it meets are locked.
    pub fn strength(self) -> LockStrength {
        match self {
            // rows that are added meet nothing but claims on rows that are there
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
    /// Read by the statement's snapshot, without a lock on the rows.
    pub reads: BTreeSet<Object>,
    pub locks: BTreeMap<Object, LockStrength>,
    /// Locked FOR KEY SHARE by the check of a foreign key, which sees nothing of the row but that it is there.
    pub checks: BTreeSet<Object>,
    pub writes: BTreeMap<Object, WriteKind>,
    /// A trigger or a function of the scenario's own may run, so that it may touch other rows than its text tells.
    pub calls: bool,
    /// Tables of which it may matter to it where the rows lie.
    pub ordered: BTreeSet<Object>,
    /// It takes the time, and somebody tells times apart.
    pub timed: bool,
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

    /// Whether what it does depends on a write (it does not where it adds rows that meet nothing).
    pub fn depends_on(&self, written: &Object, kind: WriteKind) -> bool {
        let changes = self.writes.iter().filter(|(_, kind)| **kind != WriteKind::Append);
        self.reads
            .iter()
            .chain(self.locks.keys())
            .chain(changes.map(|(object, _)| object))
            .chain(self.checks.iter().filter(|_| kind != WriteKind::UpdateNoKey))
            .any(|own| own.overlaps(written))
    }

    /// Whether it touches nothing else. (What a statement that waits for a row then does may be worked out twice.)
    pub fn is_about(&self, object: &Object) -> bool {
        !self.unknown
            && !self.timed
            && self
                .reads
                .iter()
                .chain(self.claims().map(|(claimed, _)| claimed))
                .all(|own| own == object)
    }

    /// Whether it locks or writes an object; the check of a foreign key does not count.
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

    /// What the statement touches given that of a table it touches one row alone; its claims on the table stay as they are
    /// unless `claims_too`.
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
