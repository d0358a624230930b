//! What a statement may touch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::event::Snapshots;
use super::known_row::Columns;
use super::lock_order::transactions;
use super::pin::{Pin, RowKey};
use super::row_by_row::{StepsByRow, TablesByRow, tables_by_row, takes_row};
use super::row_condition::{RowCondition, condition};
use super::statement::{Statement, Times, may_take_time, names_the_time};
use crate::postgres::catalog::Catalog;
use crate::postgres::quote_literal;
use crate::scenario::{Param, Scenario, Session};

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

/// The footprints of a scenario's steps.
#[derive(Debug, Clone, Default)]
pub struct Footprints {
    /// By session and step.
    steps: Vec<Vec<Footprint>>,
    statements: Vec<Vec<Statement>>,
    /// How each session's transactions see others.
    snapshots: Vec<Snapshots>,
    /// A commit may run checks or triggers that were put off till then.
    pub deferred: bool,
    catalog: Catalog,
    by_row: TablesByRow,
    /// By session and step, see [`adds_constants`](Self::adds_constants).
    adds_constants: Vec<Vec<bool>>,
    /// By session: when its transactions begin matters, since that is their time.
    begins_apart: Vec<bool>,
    /// By table and statement with its variables filled in: the same ones come in every run.
    conditions: Arc<Mutex<HashMap<(u32, String), RowCondition>>>,
}

/// A step's statement as it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Filled<'a> {
    pub session: usize,
    /// The step's index.
    pub step: usize,
    /// With its variables filled in.
    pub sql: &'a str,
    /// The variables' values, where they are known in the same way in every run.
    pub values: &'a [Option<String>],
}

/// What a step may touch, and its statement's columns.
#[derive(Debug, Clone)]
pub struct StepFacts {
    pub footprint: Footprint,
    pub statement: Statement,
    pub columns: Columns,
    /// The variables without which its condition is not true: where one is NULL, the step is passed over.
    pub needs: BTreeSet<String>,
}

/// What is known of a scenario before any run.
pub struct Facts {
    /// Each session's steps.
    pub steps: Vec<Vec<StepFacts>>,
    /// The conditions of steps and the invariants: what they look at decides what matters, though they run apart from the
    /// sessions.
    pub watchers: Vec<StepFacts>,
}

impl Footprints {
    pub fn new(scenario: &Scenario, facts: Facts, catalog: Catalog) -> Footprints {
        let Facts {
            steps: mut facts,
            watchers,
        } = facts;
        let reads_anything = watchers.iter().any(|watcher| watcher.footprint.unknown);
        let changes_settings = facts.iter().flatten().any(|step| step.statement.changes_settings);
        if reads_anything || changes_settings {
            return Footprints::unknown(scenario, !changes_settings);
        }
        let begins_apart = note_times(scenario, &mut facts, &watchers, &catalog);
        let of_steps = |take: fn(&StepFacts) -> Footprint| -> Vec<Vec<Footprint>> {
            facts.iter().map(|steps| steps.iter().map(take).collect()).collect()
        };
        let mut steps = of_steps(|step| step.footprint.clone());
        let columns: Vec<Vec<Columns>> = facts
            .iter()
            .map(|steps| steps.iter().map(|step| step.columns.clone()).collect())
            .collect();
        let statements: Vec<Vec<Statement>> = facts
            .iter()
            .map(|steps| steps.iter().map(|step| step.statement.clone()).collect())
            .collect();
        let needs: Vec<Vec<BTreeSet<String>>> = facts
            .iter()
            .map(|steps| steps.iter().map(|step| step.needs.clone()).collect())
            .collect();
        let watchers: Vec<Footprint> = watchers.into_iter().map(|watcher| watcher.footprint).collect();
        order_additions(&mut steps, &watchers);
        order_numbers(&mut steps);
        let by_row = tables_by_row(
            scenario,
            &StepsByRow {
                footprints: &steps,
                statements: &statements,
                columns: &columns,
                needs: &needs,
                watchers: &watchers,
            },
            &catalog,
        );
        Footprints {
            adds_constants: adds_constants(&steps, &statements),
            steps,
            statements,
            snapshots: scenario.sessions.iter().map(Snapshots::of_session).collect(),
            deferred: catalog.deferrable,
            catalog,
            by_row,
            begins_apart,
            conditions: Arc::default(),
        }
    }

    /// Where nothing is known: every step conflicts with every other. `keep_isolation` says that sessions have the isolation
    /// levels that they ask for.
    pub fn unknown(scenario: &Scenario, keep_isolation: bool) -> Footprints {
        let snapshots = |session| match keep_isolation {
            true => Snapshots::of_session(session),
            false => Snapshots::UNKNOWN,
        };
        let steps = scenario
            .sessions
            .iter()
            .map(|session| vec![Footprint::unknown(); session.steps.len()])
            .collect();
        Footprints {
            steps,
            snapshots: scenario.sessions.iter().map(snapshots).collect(),
            begins_apart: scenario
                .sessions
                .iter()
                .map(|session| may_take_times(scenario, session))
                .collect(),
            deferred: true,
            ..Footprints::default()
        }
    }

    /// Whether BEGIN takes a time that matters, so that it has to be a turn of its own.
    pub fn begins_apart(&self, session: usize) -> bool {
        self.begins_apart.get(session).copied().unwrap_or_default()
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
    pub fn filled(&self, filled: Filled<'_>) -> Footprint {
        let footprint = self.step(filled.session, filled.step);
        if footprint.unknown || footprint.calls {
            return footprint;
        }
        match self.row_of(filled) {
            Some((table, row)) => footprint.confined_to(table, row, self.by_row.confined.contains(&table)),
            None => footprint,
        }
    }

    /// What a statement touched that found no row by its snapshot and waited for none: of the one table that it looks
    /// at, it has locked and changed nothing. Nothing that others do before they commit could have changed that.
    pub fn found_nothing(&self, mut footprint: Footprint, filled: Filled<'_>) -> Footprint {
        let only_table = self.statement(filled).and_then(|statement| statement.only_table);
        let Some(table) = only_table.filter(|_| !footprint.unknown && !footprint.calls) else {
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

    fn statement(&self, filled: Filled<'_>) -> Option<&Statement> {
        self.statements.get(filled.session)?.get(filled.step)
    }

    /// Whether a statement does no more than to add one row of constants, to tables with which no step does anything else.
    pub fn adds_constants(&self, filled: Filled<'_>) -> bool {
        let of_session = self.adds_constants.get(filled.session);
        of_session
            .and_then(|steps| steps.get(filled.step))
            .copied()
            .unwrap_or_default()
    }

    /// The table and row that a statement is confined to.
    fn row_of(&self, filled: Filled<'_>) -> Option<(u32, RowKey)> {
        let confined = self.statement(filled)?.confined.as_ref()?;
        Some((confined.row.table, RowKey::named(&confined.row, filled.values)?))
    }

    fn pin(&self, filled: Filled<'_>) -> Option<Pin> {
        let confined = self.statement(filled)?.confined.as_ref()?;
        let table = confined.row.table;
        // what another thread may have left half done is no more than a missing entry
        let mut conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        let condition =
            conditions
                .entry((table, filled.sql.to_owned()))
                .or_insert_with(|| match confined.takes_first {
                    true => condition(filled.sql, table, confined.by_key_alone, &self.catalog),
                    false => RowCondition::Other,
                });
        Some(Pin {
            table,
            row: RowKey::named(&confined.row, filled.values)?,
            condition: condition.clone(),
            action: confined.action,
        })
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
    pub fn row_taken(&self, filled: Filled<'_>) -> Option<RowTaken> {
        if self.by_row.row_by_row.is_empty() {
            return None;
        }
        let pin = self.pin(filled)?;
        if !takes_row(&pin.condition, pin.action) || self.by_row.row_by_row.get(&pin.table) != Some(&pin.row.index) {
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

/// Which steps do no more than to add one row of constants, to tables with which no step does anything else.
fn adds_constants(steps: &[Vec<Footprint>], statements: &[Vec<Statement>]) -> Vec<Vec<bool>> {
    let touches = |one: &Footprint, object: &Object| {
        let mut touched = one.reads.iter().chain(one.claims().map(|(object, _)| object));
        one.unknown || touched.any(|own| own.overlaps(object)) || one.ordered.contains(object)
    };
    let others: Vec<&Footprint> = steps
        .iter()
        .flatten()
        .zip(statements.iter().flatten())
        .filter(|(_, statement)| !statement.adds_constants)
        .map(|(footprint, _)| footprint)
        .collect();
    let is_apart = |own: &Footprint| {
        !others
            .iter()
            .any(|other| own.writes.keys().any(|object| touches(other, object)))
    };
    let of_session = |(steps, statements): (&Vec<Footprint>, &Vec<Statement>)| {
        let both = steps.iter().zip(statements);
        both.map(|(footprint, statement)| statement.adds_constants && is_apart(footprint))
            .collect()
    };
    steps.iter().zip(statements).map(of_session).collect()
}

/// Whether a session's statements may take the time, by the look of their texts and of the setup's.
fn may_take_times(scenario: &Scenario, session: &Session) -> bool {
    let setup = scenario.setup.iter().map(|setup| setup.text.as_str());
    let steps = session.steps.iter().map(|step| step.sql.text.as_str());
    setup.chain(steps).any(may_take_time)
}

/// Marks the steps that take the time, where it matters when: where somebody tells one time from another, and a time that
/// a step has taken is kept.
/// Returns for each session whether it matters when its transactions begin.
fn note_times(
    scenario: &Scenario,
    steps: &mut [Vec<StepFacts>],
    watchers: &[StepFacts],
    catalog: &Catalog,
) -> Vec<bool> {
    let all = steps
        .iter()
        .flatten()
        .chain(watchers)
        .map(|facts| facts.statement.times);
    let times = all.fold(Times::default(), Times::and);
    // a parameter may be the text 'now'
    let is_given = |session: &Session| {
        let mut params = session.params.values();
        params.any(|param| matches!(param, Param::Text(text) if names_the_time(&quote_literal(text))))
    };
    let is_kept =
        steps.iter().flatten().any(|facts| facts.statement.times.keeps) || scenario.sessions.iter().any(is_given);
    let mut begins_apart = vec![false; scenario.sessions.len()];
    if !is_kept || !(times.tells || catalog.compares_times) {
        return begins_apart;
    }
    for ((session, facts), apart) in scenario.sessions.iter().zip(steps).zip(&mut begins_apart) {
        let is_given = is_given(session);
        // the time of a transaction is that of its first statement
        for transaction in transactions(session) {
            let takes = |&step: &usize| is_given || facts[step].statement.times.takes;
            if transaction.iter().any(takes) {
                *apart = true;
                transaction
                    .into_iter()
                    .for_each(|step| facts[step].footprint.timed = true);
            }
        }
    }
    begins_apart
}

/// Rows lie in the order in which they were added. Where statements lock several of them, they lock them in that order,
/// and whether sessions come into a deadlock depends on it. Others may show it: `watchers` are the invariants.
fn order_additions(steps: &mut [Vec<Footprint>], watchers: &[Footprint]) {
    let unknown = steps
        .iter()
        .flatten()
        .chain(watchers)
        .any(|footprint| footprint.unknown);
    let claims = |footprint: &Footprint| {
        let changed = footprint.writes.iter().filter(|(_, kind)| **kind != WriteKind::Append);
        let objects = footprint
            .locks
            .keys()
            .chain(changed.map(|(object, _)| object))
            .chain(&footprint.ordered);
        objects.cloned().collect::<Vec<_>>()
    };
    let claimed: BTreeSet<Object> = steps.iter().flatten().chain(watchers).flat_map(claims).collect();
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
        order_additions(&mut steps, &[]);
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
