//! What each session may run, as far as it is declared or has been seen, and what is known of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::additions::{adds_constants, order_additions};
use super::analysis::StatementKnown;
use super::confined_row::ConfinedRow;
use super::footprint::{Footprint, Object, RowKey};
use super::known_row::Columns;
use super::numbers::order_numbers;
use super::row_by_row::{TablesByRow, tables_by_row, takes_row};
use super::row_condition::{RowCondition, condition};
use super::snapshots::Snapshots;
use super::statement::{Meaning, may_take_time};
use super::times::{is_given, note_times};
use crate::postgres::catalog::Catalog;
use crate::scenario::{self, Param};
use crate::sql::StatementKind;

/// The sessions' statements, and what follows from all of them together. It only grows: a new statement can make others
/// matter that did not matter before (see [`Program::with_step`]).
#[derive(Debug, Clone, Default)]
pub struct Program {
    declared: Arc<Declared>,
    /// The sessions, with the footprints that their steps have alongside each other.
    sessions: Vec<SessionProgram>,
    /// A commit may run deferred checks or triggers.
    pub deferred: bool,
    by_row: TablesByRow,
    /// By session and step, see [`rest_of_transaction`](Self::rest_of_transaction).
    rests: Vec<Vec<Arc<Footprint>>>,
    /// See [`serializable_threes`](Self::serializable_threes).
    serializable_threes: bool,
    /// By session and step, see [`adds_constants`](Self::adds_constants).
    adds_constants: Vec<Vec<bool>>,
    /// By session: when its transactions begin matters, because that sets their time.
    begins_apart: Vec<bool>,
    /// By table and statement with its variables filled in, since the same ones occur in every run.
    conditions: Arc<Mutex<HashMap<(u32, String), RowCondition>>>,
}

/// What a program is built from.
#[derive(Debug, Clone, Default)]
struct Declared {
    sessions: Vec<SessionProgram>,
    /// Queries that run outside the sessions, namely the invariants and the conditions of steps: what they read decides
    /// what matters.
    watchers: Vec<StatementKnown>,
    catalog: Catalog,
    /// The setup may take the time.
    time_in_setup: bool,
}

/// What a session may run.
#[derive(Debug, Clone)]
pub struct SessionProgram {
    pub steps: Vec<ProgramStep>,
    /// Values of variables before the first step.
    pub params: BTreeMap<String, Param>,
    /// How its transactions see others.
    pub snapshots: Snapshots,
    /// It may run a transaction again.
    pub retries: bool,
    /// It is a program: it may run its steps in any order, any number of times, in any transactions.
    pub is_program: bool,
}

/// A statement that a session may run.
#[derive(Debug, Clone)]
pub struct ProgramStep {
    /// With `$n` for its variables.
    pub sql: String,
    pub kind: StatementKind,
    /// The variables behind `$1`, `$2`, …
    pub variables: Vec<String>,
    /// It may be skipped.
    pub conditional: bool,
    pub facts: StepFacts,
}

/// What a step may touch, and its statement's columns.
#[derive(Debug, Clone)]
pub struct StepFacts {
    pub footprint: Footprint,
    pub meaning: Meaning,
    pub columns: Columns,
    /// The variables that its condition needs: where one is NULL, the condition is not true and the step is skipped.
    pub needs: BTreeSet<String>,
}

/// A step's statement as it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Filled<'a> {
    pub session: usize,
    /// The step's index.
    pub step: usize,
    /// With its variables filled in.
    pub sql: &'a str,
    /// The variables' values, where they are known and the same in every run.
    pub values: &'a [Option<String>],
}

/// A row that a statement takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowTaken {
    pub row: Object,
    /// It takes the row only if this query is true of the committed row.
    pub if_true: Option<String>,
}

impl SessionProgram {
    /// A session as the scenario declares it, with what is known of each step.
    pub fn new(session: &scenario::Session, facts: Vec<StepFacts>) -> SessionProgram {
        let step = |(step, facts): (&scenario::Step, StepFacts)| ProgramStep {
            sql: step.template.text.clone(),
            kind: step.statement.kind,
            variables: step
                .template
                .variables
                .iter()
                .map(|variable| variable.name.clone())
                .collect(),
            conditional: step.when.is_some(),
            facts,
        };
        SessionProgram {
            steps: session.steps.iter().zip(facts).map(step).collect(),
            params: session.params.clone(),
            snapshots: Snapshots::of_session(session),
            retries: session.retry.is_some(),
            is_program: session.program.is_some(),
        }
    }

    /// The steps of each of its transactions. A transaction may be assumed to be longer than it is.
    pub fn transactions(&self) -> Vec<Vec<usize>> {
        if self.is_program {
            return vec![(0..self.steps.len()).collect()];
        }
        let mut transactions = vec![Vec::new()];
        let mut open = false;
        for (index, step) in self.steps.iter().enumerate() {
            if let Some(transaction) = transactions.last_mut() {
                transaction.push(index);
            }
            open |= step.kind == StatementKind::Begin;
            let ends = matches!(
                step.kind,
                StatementKind::Commit { chain: false } | StatementKind::Rollback { chain: false }
            );
            open &= !ends || step.conditional;
            if !open {
                transactions.push(Vec::new());
            }
        }
        transactions
    }

    /// Whether it is a single transaction, however that ends.
    pub fn is_one_transaction(&self) -> bool {
        if self.is_program {
            return false;
        }
        let ends = |kind| matches!(kind, StatementKind::Commit { .. } | StatementKind::Rollback { .. });
        let once = match self.steps.as_slice() {
            [] | [_] => true,
            [first, between @ .., last] => {
                first.kind == StatementKind::Begin
                    && !last.conditional
                    && matches!(
                        last.kind,
                        StatementKind::Commit { chain: false } | StatementKind::Rollback { chain: false }
                    )
                    && !between.iter().any(|step| ends(step.kind))
            }
        };
        once && !self.retries
    }

    /// By step: all that its steps may touch from this one on until a statement that surely ends the transaction.
    fn rests_of_transactions(&self) -> Vec<Arc<Footprint>> {
        if self.is_program {
            let mut whole = Footprint::default();
            for step in &self.steps {
                whole.add(&step.facts.footprint);
            }
            let whole = Arc::new(whole);
            return self.steps.iter().map(|_| whole.clone()).collect();
        }
        let mut rests = Vec::with_capacity(self.steps.len());
        let mut rest = Footprint::default();
        for step in self.steps.iter().rev() {
            match step.kind {
                StatementKind::Plain | StatementKind::OutsideBlock => rest.add(&step.facts.footprint),
                StatementKind::Commit { .. } | StatementKind::Rollback { .. } if !step.conditional => {
                    rest = Footprint::default();
                }
                _ => {}
            }
            rests.push(Arc::new(rest.clone()));
        }
        rests.reverse();
        rests
    }
}

impl ProgramStep {
    /// Whether it takes the time, or may.
    pub fn takes_time(&self) -> bool {
        self.facts.meaning.times.takes || may_take_time(&self.sql)
    }
}

impl StepFacts {
    /// The facts of a step about which nothing is known.
    pub fn unknown() -> StepFacts {
        StepFacts {
            footprint: Footprint::unknown(),
            meaning: Meaning::unknown(),
            columns: None,
            needs: BTreeSet::new(),
        }
    }
}

/// See [`Program::serializable_threes`].
fn serializable_threes(sessions: &[SessionProgram]) -> bool {
    let sessions = sessions.iter().filter(|session| session.snapshots.serializable);
    let sessions: Vec<&SessionProgram> = sessions.collect();
    sessions.len() > 2 || (sessions.len() == 2 && !sessions.iter().all(|session| session.is_one_transaction()))
}

/// Whether the setup may take the time.
fn takes_time(scenario: &scenario::Scenario) -> bool {
    scenario.setup.as_ref().is_some_and(|setup| may_take_time(&setup.text))
}

impl Program {
    /// Builds it from what is known of each session's steps, and of the invariants and the conditions of steps.
    pub fn new(
        scenario: &scenario::Scenario,
        facts: Vec<Vec<StepFacts>>,
        watchers: Vec<StatementKnown>,
        catalog: Catalog,
    ) -> Program {
        let sessions = scenario.sessions.iter().zip(facts);
        Program::of(Declared {
            sessions: sessions
                .map(|(session, facts)| SessionProgram::new(session, facts))
                .collect(),
            watchers,
            catalog,
            time_in_setup: takes_time(scenario),
        })
    }

    /// A program about which nothing is known: every step conflicts with every other. `keep_isolation` says that
    /// sessions have the isolation levels that they ask for.
    pub fn unknown(scenario: &scenario::Scenario, keep_isolation: bool) -> Program {
        let session = |session: &scenario::Session| {
            let facts = session.steps.iter().map(|_| StepFacts::unknown());
            SessionProgram::new(session, facts.collect())
        };
        let declared = Declared {
            sessions: scenario.sessions.iter().map(session).collect(),
            time_in_setup: takes_time(scenario),
            ..Declared::default()
        };
        Program::without_facts(declared, keep_isolation)
    }

    /// The program with one more statement at the end of a session.
    pub fn with_step(&self, session: usize, step: ProgramStep) -> Program {
        let mut declared = Declared::clone(&self.declared);
        if let Some(session) = declared.sessions.get_mut(session) {
            session.steps.push(step);
        }
        Program::of(declared)
    }

    /// The program where those of its sessions that are programs may run these statements, at these levels.
    pub fn with_seen(&self, steps: &[ProgramStep], snapshots: Snapshots) -> Program {
        Program::of(self.declared_with(steps, snapshots))
    }

    /// The same where nothing is known of any statement, declared or seen.
    pub fn opaque(&self, steps: &[ProgramStep]) -> Program {
        Program::without_facts(self.declared_with(steps, Snapshots::UNKNOWN), false)
    }

    fn declared_with(&self, steps: &[ProgramStep], snapshots: Snapshots) -> Declared {
        let mut declared = Declared::clone(&self.declared);
        for session in declared.sessions.iter_mut().filter(|session| session.is_program) {
            session.steps = steps.to_vec();
            session.snapshots = snapshots;
        }
        declared
    }

    fn without_facts(declared: Declared, keep_isolation: bool) -> Program {
        let mut sessions = declared.sessions.clone();
        for session in &mut sessions {
            for step in &mut session.steps {
                step.facts = StepFacts::unknown();
            }
            if !keep_isolation {
                session.snapshots = Snapshots::UNKNOWN;
            }
        }
        let takes_time = |session: &SessionProgram| {
            let mut steps = session.steps.iter();
            declared.time_in_setup || steps.any(|step| may_take_time(&step.sql))
        };
        let begins_apart: Vec<bool> = sessions.iter().map(takes_time).collect();
        for (session, apart) in sessions.iter_mut().zip(&begins_apart) {
            session
                .steps
                .iter_mut()
                .for_each(|step| step.facts.footprint.timed = *apart);
        }
        Program {
            begins_apart,
            rests: sessions.iter().map(SessionProgram::rests_of_transactions).collect(),
            serializable_threes: serializable_threes(&sessions),
            sessions,
            deferred: true,
            declared: Arc::new(declared),
            ..Program::default()
        }
    }

    fn of(declared: Declared) -> Program {
        let reads_anything = declared.watchers.iter().any(|watcher| watcher.footprint.unknown);
        let mut steps = declared.sessions.iter().flat_map(|session| &session.steps);
        let changes_settings = steps.any(|step| step.facts.meaning.changes_settings);
        if reads_anything || changes_settings {
            return Program::without_facts(declared, !changes_settings);
        }
        let Declared { watchers, catalog, .. } = &declared;
        let mut sessions = declared.sessions.clone();
        let begins_apart = note_times(&mut sessions, watchers, catalog);
        order_additions(&mut sessions, watchers);
        order_numbers(&mut sessions);
        // these go by the order of a session's steps, which a program does not tell
        let has_programs = sessions.iter().any(|session| session.is_program);
        let (adds_constants, by_row) = match has_programs {
            true => (Vec::new(), TablesByRow::default()),
            false => (adds_constants(&sessions), tables_by_row(&sessions, watchers, catalog)),
        };
        Program {
            adds_constants,
            by_row,
            deferred: catalog.deferrable,
            begins_apart,
            rests: sessions.iter().map(SessionProgram::rests_of_transactions).collect(),
            serializable_threes: serializable_threes(&sessions),
            sessions,
            declared: Arc::new(declared),
            conditions: Arc::default(),
        }
    }

    pub fn sessions(&self) -> &[SessionProgram] {
        &self.sessions
    }

    /// Whether BEGIN takes a time that matters, so that it has to be a turn of its own.
    pub fn begins_apart(&self, session: usize) -> bool {
        self.begins_apart.get(session).copied().unwrap_or_default()
    }

    /// Whether a declared statement takes the time, or the setup: without that, and without a statement seen that does, no
    /// BEGIN has to be a turn.
    pub fn takes_time(&self) -> bool {
        let Declared {
            sessions,
            time_in_setup,
            ..
        } = &*self.declared;
        let mut steps = sessions.iter().flat_map(|session| &session.steps);
        *time_in_setup || steps.any(ProgramStep::takes_time) || sessions.iter().any(is_given)
    }

    /// How a session's transactions see others.
    pub fn snapshots(&self, session: usize) -> Snapshots {
        self.sessions
            .get(session)
            .map_or(Snapshots::UNKNOWN, |session| session.snapshots)
    }

    fn facts(&self, session: usize, step: usize) -> Option<&StepFacts> {
        Some(&self.sessions.get(session)?.steps.get(step)?.facts)
    }

    /// A step's footprint whatever its values are; unknown for a step that does not exist.
    pub fn step(&self, session: usize, step: usize) -> Footprint {
        let facts = self.facts(session, step);
        facts.map_or_else(Footprint::unknown, |facts| facts.footprint.clone())
    }

    /// Everything a session's steps may touch, from this one up to a statement that surely ends the transaction.
    pub fn rest_of_transaction(&self, session: usize, step: usize) -> Footprint {
        match self.rests.get(session) {
            // of a program, nothing is known of a statement that was not seen
            Some(rests) if self.sessions[session].is_program => {
                let rest = rests.get(step).map(|rest| Footprint::clone(rest));
                rest.unwrap_or_else(Footprint::unknown)
            }
            Some(rests) => rests.get(step).map(|rest| Footprint::clone(rest)).unwrap_or_default(),
            None => Footprint::unknown(),
        }
    }

    /// Whether something may compare times.
    pub fn tells_times(&self) -> bool {
        let Declared { watchers, catalog, .. } = &*self.declared;
        let mut steps = self.sessions.iter().flat_map(|session| &session.steps);
        catalog.compares_times
            || watchers.iter().any(|watcher| watcher.meaning.times.tells)
            || steps.any(|step| step.facts.meaning.times.tells)
    }

    /// Whether three or more serializable transactions can be under way in a run: one that is doomed, one that dooms
    /// it, and one that has committed before.
    pub fn serializable_threes(&self) -> bool {
        self.serializable_threes
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

    /// What a statement touched that found no row in its snapshot and waited for none: it has locked and changed
    /// nothing in the one table that it reads. Nothing that others do before they commit could have changed that.
    pub fn found_nothing(&self, mut footprint: Footprint, filled: Filled<'_>) -> Footprint {
        let only_table = self.meaning(filled).and_then(|meaning| meaning.only_table);
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

    /// Whether `RowTaken::if_true` is ever set.
    pub fn has_conditional_rows(&self) -> bool {
        self.by_row.conditional
    }

    fn meaning(&self, filled: Filled<'_>) -> Option<&Meaning> {
        Some(&self.facts(filled.session, filled.step)?.meaning)
    }

    /// Whether a statement only adds one row of constants, to tables with which no step does anything else.
    pub fn adds_constants(&self, filled: Filled<'_>) -> bool {
        let of_session = self.adds_constants.get(filled.session);
        of_session
            .and_then(|steps| steps.get(filled.step))
            .copied()
            .unwrap_or_default()
    }

    /// The table and row that a statement is confined to.
    fn row_of(&self, filled: Filled<'_>) -> Option<(u32, RowKey)> {
        let confined = self.meaning(filled)?.confined.as_ref()?;
        Some((confined.row.table, RowKey::named(&confined.row, filled.values)?))
    }

    fn confined_row(&self, filled: Filled<'_>) -> Option<ConfinedRow> {
        let confined = self.meaning(filled)?.confined.as_ref()?;
        let table = confined.row.table;
        // what a panicking thread may have left unfinished is at worst a missing entry
        let mut conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        let condition =
            conditions
                .entry((table, filled.sql.to_owned()))
                .or_insert_with(|| match confined.takes_first {
                    true => condition(filled.sql, table, confined.by_key_alone, &self.declared.catalog),
                    false => RowCondition::Other,
                });
        Some(ConfinedRow {
            table,
            row: RowKey::named(&confined.row, filled.values)?,
            condition: condition.clone(),
            action: confined.action,
        })
    }

    /// The row that a statement waits for and then takes, if the moment at which it begins to wait makes no difference
    /// to what it does: at READ COMMITTED it takes the row's newest version when the wait is over, and in this table
    /// rows do not come, go or change their key.
    ///
    /// With a condition beside the key, it waits if the committed row meets the condition; when the wait is over it
    /// checks whether the newest version does, as it would if it ran then. One difference remains: if that version does
    /// not meet the condition, the row stays locked. That makes others wait for the end of this transaction, and has no
    /// other effect as long as the transaction waits for nobody afterwards, which is why it must then claim nothing
    /// more.
    ///
    /// This does not apply when sessions that wait for the row may wait in a cycle: the order of the row's queue then
    /// decides which session takes the row that a deadlock's victim releases.
    pub fn row_taken(&self, filled: Filled<'_>) -> Option<RowTaken> {
        if self.by_row.row_by_row.is_empty() {
            return None;
        }
        let confined = self.confined_row(filled)?;
        if !takes_row(&confined.condition, confined.action)
            || self.by_row.row_by_row.get(&confined.table) != Some(&confined.row.index)
        {
            return None;
        }
        Some(RowTaken {
            row: Object::Row(confined.table, confined.row),
            if_true: match confined.condition {
                RowCondition::Row(query) => Some(query),
                _ => None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::footprint::{LockStrength, WriteKind};
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

    fn step(footprint: Footprint) -> ProgramStep {
        ProgramStep {
            sql: String::new(),
            kind: StatementKind::Plain,
            variables: Vec::new(),
            conditional: false,
            facts: StepFacts {
                footprint,
                meaning: Meaning::default(),
                columns: Some(BTreeMap::new()),
                needs: BTreeSet::new(),
            },
        }
    }

    /// Sessions of steps with these footprints.
    fn program(sessions: Vec<Vec<Footprint>>) -> Program {
        let session = |footprints: Vec<Footprint>| SessionProgram {
            steps: footprints.into_iter().map(step).collect(),
            params: BTreeMap::new(),
            snapshots: Snapshots::UNKNOWN,
            retries: false,
            is_program: false,
        };
        Program::of(Declared {
            sessions: sessions.into_iter().map(session).collect(),
            ..Declared::default()
        })
    }

    #[test]
    fn the_order_of_added_rows_matters_where_a_statement_locks_them() {
        let kind = |steps: Vec<Footprint>| program(vec![steps]).step(0, 0).writes[&TABLE];
        assert_eq!(kind(vec![appends(), appends()]), WriteKind::Append);
        assert_eq!(kind(vec![appends(), locks(LockStrength::Update)]), WriteKind::Change);
        assert_eq!(kind(vec![appends(), Footprint::unknown()]), WriteKind::Change);
    }

    #[test]
    fn the_order_of_numbers_matters_where_two_may_share_what_a_third_waits_for() {
        let numbered = |footprints: Vec<Footprint>| {
            let sessions = footprints.into_iter().map(|one| vec![one]).collect();
            program(sessions).step(0, 0).numbered
        };
        let share = || locks(LockStrength::Share);
        assert!(numbered(vec![share(), share(), locks(LockStrength::Update)]));
        assert!(!numbered(vec![share(), share(), share()]));
        assert!(!numbered(vec![share(), locks(LockStrength::Update)]));
    }

    #[test]
    fn a_statement_that_is_seen_later_counts_as_if_it_had_been_declared() {
        let grown = program(vec![vec![appends()], vec![]]);
        assert_eq!(grown.step(0, 0).writes[&TABLE], WriteKind::Append);
        let grown = grown.with_step(1, step(locks(LockStrength::Update)));
        let whole = program(vec![vec![appends()], vec![locks(LockStrength::Update)]]);
        assert_eq!(grown.step(0, 0), whole.step(0, 0));
        assert_eq!(grown.step(1, 0), whole.step(1, 0));
        assert_eq!(grown.step(0, 0).writes[&TABLE], WriteKind::Change);
    }

    #[test]
    fn when_transactions_begin_matters_where_nothing_is_known_of_statements_that_take_the_time() {
        let takes = ProgramStep {
            sql: "INSERT INTO t SELECT now()".to_owned(),
            ..step(appends())
        };
        let program = program(vec![vec![], vec![]]);
        let mut declared = Declared::clone(&program.declared);
        declared.sessions[0].is_program = true;
        let program = Program::of(declared).opaque(&[takes]);
        assert!(program.begins_apart(0) && program.step(0, 0).timed);
        assert!(!program.begins_apart(1));
    }
}
