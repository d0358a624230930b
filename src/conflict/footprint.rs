//! What a statement may touch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::event::Snapshots;
use super::known_row::Columns;
use super::pin::{Pin, RowCondition, RowKey, only_table, pin};
use super::row_by_row::{TablesByRow, tables_by_row, takes_row};
use crate::postgres::catalog::Catalog;
use crate::scenario::Scenario;
use crate::scenario::sql::lexer::tokens;

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
    /// Its answer may depend on where rows lie.
    pub ordered: bool,
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
        self.ordered |= other.ordered;
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
    /// How each session's transactions see others.
    snapshots: Vec<Snapshots>,
    /// A commit may run checks or triggers that were put off till then.
    pub deferred: bool,
    catalog: Catalog,
    by_row: TablesByRow,
    /// By statement: the same ones come in every run.
    parsed: Arc<Mutex<HashMap<String, Parsed>>>,
}

/// What is known of a statement by its text.
#[derive(Debug, Clone)]
struct Parsed {
    pin: Option<Pin>,
    only_table: Option<u32>,
}

/// What a step may touch, and its statement's columns.
#[derive(Debug, Clone)]
pub struct StepFacts {
    pub footprint: Footprint,
    pub columns: Columns,
}

impl Footprints {
    /// `steps` has what is known of each session's steps.
    pub fn new(scenario: &Scenario, steps: Vec<Vec<StepFacts>>, catalog: Catalog) -> Footprints {
        let apart = |steps: Vec<StepFacts>| steps.into_iter().map(|step| (step.footprint, step.columns)).unzip();
        let (mut steps, columns): (Vec<Vec<Footprint>>, Vec<Vec<Columns>>) = steps.into_iter().map(apart).unzip();
        order_additions(&mut steps);
        order_numbers(&mut steps);
        let by_row = tables_by_row(scenario, &steps, &columns, &catalog);
        Footprints {
            steps,
            snapshots: scenario.sessions.iter().map(Snapshots::of_session).collect(),
            deferred: catalog.deferrable,
            catalog,
            by_row,
            parsed: Arc::default(),
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
            snapshots: scenario.sessions.iter().map(Snapshots::of_session).collect(),
            deferred: true,
            ..Footprints::default()
        }
    }

    /// How a session's transactions see others.
    pub fn snapshots(&self, session: usize) -> Snapshots {
        self.snapshots.get(session).copied().unwrap_or(Snapshots::UNKNOWN)
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
        if footprint.unknown || footprint.calls {
            return footprint;
        }
        match self.pin(sql) {
            Some(pin) => footprint.confined_to(&pin, self.by_row.confined.contains(&pin.table)),
            None => footprint,
        }
    }

    /// What a statement touched that found no row by its snapshot and waited for none: of the one table that it looks
    /// at, it has locked and changed nothing. Nothing that others do before they commit could have changed that.
    pub fn found_nothing(&self, mut footprint: Footprint, sql: &str) -> Footprint {
        let skips = tokens(sql).any(|token| token.is_one_of(&["skip", "limit", "offset", "fetch"]));
        let Some(table) = self
            .parsed(sql)
            .only_table
            .filter(|_| !skips && !footprint.unknown && !footprint.calls)
        else {
            return footprint;
        };
        let is_of_table =
            |object: &Object| matches!(object, Object::Relation(one) | Object::Row(one, _) if *one == table);
        let claimed: Vec<Object> = footprint.claims().map(|(object, _)| object.clone()).collect();
        footprint.reads.extend(claimed.into_iter().filter(is_of_table));
        footprint.locks.retain(|object, _| !is_of_table(object));
        footprint.writes.retain(|object, _| !is_of_table(object));
        footprint.checks.clear();
        footprint
    }

    /// Whether `RowTaken::if_true` ever asks something.
    pub fn has_conditional_rows(&self) -> bool {
        self.by_row.conditional
    }

    fn pin(&self, sql: &str) -> Option<Pin> {
        self.parsed(sql).pin
    }

    fn parsed(&self, sql: &str) -> Parsed {
        // what another thread may have left half done is no more than a missing entry
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        match parsed.get(sql) {
            Some(known) => known.clone(),
            None => {
                let found = Parsed {
                    pin: pin(sql, &self.catalog),
                    only_table: only_table(sql, &self.catalog),
                };
                parsed.entry(sql.to_owned()).or_insert(found).clone()
            }
        }
    }

    /// The row that a statement waits for and then takes, where when it begins to wait makes no difference to what it
    /// does: at READ COMMITTED it takes the row's newest version when the wait is over, and in this table rows do not
    /// come, go or change their key.
    ///
    /// With a condition beside the key, it waits if the row as it is committed meets it, and when the wait is over
    /// looks whether the newest version does, as it would if it came then. One thing is left over: where it does not,
    /// the row stays locked. That makes others wait for the end of this transaction, and nothing else as long as the
    /// transaction waits for nobody after it, which is why it must then claim nothing more.
    ///
    /// Nor may sessions that wait for the row wait in a cycle: who is in the row's queue ahead of whom decides then who
    /// takes the row that a deadlock's victim lets go.
    pub fn row_taken(&self, sql: &str) -> Option<RowTaken> {
        if self.by_row.row_by_row.is_empty() {
            return None;
        }
        let pin = self.pin(sql)?;
        if !takes_row(&pin) || self.by_row.row_by_row.get(&pin.table) != Some(&pin.row.index) {
            return None;
        }
        Some(RowTaken {
            row: Object::Row(pin.table, pin.row),
            if_true: match pin.condition {
                RowCondition::Row(query) => Some(query),
                _ => None,
            },
        })
    }
}

/// A row that a statement takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowTaken {
    pub row: Object,
    /// It takes the row only if this query says so of the row as it is committed.
    pub if_true: Option<String>,
}

/// Rows lie in the order in which they were added. Where statements lock several of them, they lock them in that order,
/// and whether sessions come into a deadlock depends on it.
fn order_additions(steps: &mut [Vec<Footprint>]) {
    let unknown = steps.iter().flatten().any(|footprint| footprint.unknown);
    let claims = |footprint: &Footprint| {
        let changed = footprint.writes.iter().filter(|(_, kind)| **kind != WriteKind::Append);
        let in_order = footprint.reads.iter().filter(|_| footprint.ordered);
        let objects = footprint
            .locks
            .keys()
            .chain(changed.map(|(object, _)| object))
            .chain(in_order);
        objects.cloned().collect::<Vec<_>>()
    };
    let claimed: BTreeSet<Object> = steps.iter().flatten().flat_map(claims).collect();
    for (object, kind) in steps.iter_mut().flatten().flat_map(|footprint| &mut footprint.writes) {
        if *kind == WriteKind::Append && (unknown || claimed.contains(object)) {
            *kind = WriteKind::Change;
        }
    }
}

/// Who waits for a row that several transactions hold together waits for one of them at a time, in the order of their
/// numbers, and a deadlock is found only with the one that is waited for.
fn order_numbers(steps: &mut [Vec<Footprint>]) {
    for session in numbered_sessions(steps, None) {
        for footprint in &mut steps[session] {
            let claims_something = footprint.claims().next().is_some();
            footprint.numbered = claims_something;
        }
    }
}

/// The sessions whose transactions' numbers matter for objects other than `but`.
pub fn numbered_sessions(steps: &[Vec<Footprint>], but: Option<&Object>) -> BTreeSet<usize> {
    const ALL: [LockStrength; 4] = [
        LockStrength::KeyShare,
        LockStrength::Share,
        LockStrength::NoKeyUpdate,
        LockStrength::Update,
    ];
    let objects: BTreeSet<Object> = steps
        .iter()
        .flatten()
        .flat_map(|one| one.locks.keys().chain(&one.checks).cloned())
        .collect();
    let mut numbered = BTreeSet::new();
    for object in objects.into_iter().filter(|object| Some(object) != but) {
        let strengths = |steps: &[Footprint]| -> BTreeSet<LockStrength> {
            let claimed = |one: &Footprint| match one.unknown {
                true => ALL.to_vec(),
                false => one
                    .claims()
                    .filter(|(claimed, _)| **claimed == object)
                    .map(|(_, strength)| strength)
                    .collect(),
            };
            steps.iter().flat_map(claimed).collect()
        };
        let claims: Vec<(usize, LockStrength)> = steps
            .iter()
            .enumerate()
            .flat_map(|(session, steps)| strengths(steps).into_iter().map(move |strength| (session, strength)))
            .collect();
        let held_together = |(one, a): (usize, LockStrength)| {
            let claims = &claims;
            claims
                .iter()
                .filter(move |(other, b)| one < *other && !a.conflicts_with(*b))
                .map(move |&(other, b)| [(one, a), (other, b)])
        };
        let waits_for_both = |holders: [(usize, LockStrength); 2]| {
            claims.iter().any(|(waiter, strength)| {
                holders
                    .iter()
                    .all(|(holder, held)| waiter != holder && strength.conflicts_with(*held))
            })
        };
        if claims.iter().copied().flat_map(held_together).any(waits_for_both) {
            numbered.extend(claims.iter().map(|(session, _)| *session));
        }
    }
    numbered
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

    #[test]
    fn the_order_of_added_rows_matters_where_a_statement_locks_them() {
        let kind = |steps: Vec<Footprint>| first(vec![steps]).writes[&TABLE];
        assert_eq!(kind(vec![appends(), appends()]), WriteKind::Append);
        assert_eq!(kind(vec![appends(), locks(LockStrength::Update)]), WriteKind::Change);
        assert_eq!(kind(vec![appends(), Footprint::unknown()]), WriteKind::Change);
    }

    #[test]
    fn the_order_of_numbers_matters_where_two_may_share_what_a_third_waits_for() {
        let numbered = |sessions: Vec<Footprint>| first(sessions.into_iter().map(|one| vec![one]).collect()).numbered;
        let share = || locks(LockStrength::Share);
        assert!(numbered(vec![share(), share(), locks(LockStrength::Update)]));
        assert!(!numbered(vec![share(), share(), share()]));
        assert!(!numbered(vec![share(), locks(LockStrength::Update)]));
    }
}
