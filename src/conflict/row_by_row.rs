//! Tables whose rows are taken one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::analysis::StatementKnown;
use super::footprint::Object;
use super::known_row::KnownRows;
use super::lock_order::may_wait_in_cycle;
use super::numbers::numbered_sessions;
use super::program::{ProgramStep, SessionProgram};
use super::row_condition::{RowCondition, condition};
use super::statement::{Confined, NamedRow, NamedValue, RowAction};
use crate::postgres::catalog::Catalog;
use crate::sql::StatementKind;
use crate::sql::lexer::tokens;

/// Tables by what statements do to their rows. If nothing is known of some step, there are none.
#[derive(Debug, Clone, Default)]
pub struct TablesByRow {
    /// Tables where every statement that locks or writes does so to one row. In other tables rows are not
    /// distinguished: where a row lies depends on the order in which rows were added and changed, and a statement that
    /// locks several rows does so in the order in which they lie.
    pub confined: BTreeSet<u32>,
    /// Those of them whose rows are only ever locked and updated one at a time by one unique key, at READ COMMITTED,
    /// and where no session waits in a cycle; with that key's index.
    pub row_by_row: BTreeMap<u32, u32>,
    /// Some of the rows are taken only on a condition.
    pub conditional: bool,
}

pub fn tables_by_row(sessions: &[SessionProgram], watchers: &[StatementKnown], catalog: &Catalog) -> TablesByRow {
    let mut tables = TablesByRow::default();
    let steps = || sessions.iter().flat_map(|session| &session.steps);
    let everything = || {
        let watched = watchers.iter().map(|watcher| &watcher.footprint);
        steps().map(|step| &step.facts.footprint).chain(watched)
    };
    if catalog.deferrable || everything().any(|footprint| footprint.unknown) {
        return tables;
    }
    let read_committed = sessions.iter().all(|session| session.snapshots.is_read_committed());
    let locks_outlive = steps().any(may_outlive);
    for &table in catalog.tables.keys() {
        let relation = Object::Relation(table);
        if everything().any(|footprint| footprint.ordered.contains(&relation)) {
            continue;
        }
        let Some(claims) = claims_by_row(sessions, table, catalog) else {
            continue;
        };
        tables.confined.insert(table);
        let Some(index) = claims.first().map(|claim| claim.confined.row.index) else {
            continue;
        };
        let rows = KnownRows::new(sessions, catalog, index);
        if read_committed
            && !locks_outlive
            && is_row_by_row(sessions, table, &claims, &rows, catalog)
            && !may_wait_in_cycle(sessions, table, &rows)
        {
            tables.conditional |= claims.iter().any(|claim| claim.condition != RowCondition::None);
            tables.row_by_row.insert(table, index);
        }
    }
    tables
}

/// Whether a step may take a lock that its session holds beyond the transaction.
fn may_outlive(step: &ProgramStep) -> bool {
    let footprint = &step.facts.footprint;
    let names: Vec<String> = tokens(&step.sql)
        .map(|token| token.text.to_lowercase())
        .filter(|text| text.contains("advisory"))
        .collect();
    let ends_with_transaction = !names.is_empty() && names.iter().all(|name| name.contains("xact"));
    let mut claims = footprint.claims();
    claims.any(|(object, _)| *object == Object::AdvisoryLocks) && (footprint.calls || !ends_with_transaction)
}

/// A step that locks or writes a row of a table.
struct RowClaim<'a> {
    session: usize,
    step: usize,
    confined: &'a Confined,
    condition: RowCondition,
}

/// The steps that lock or write a table; `None` if one of them is not confined to a row.
fn claims_by_row<'a>(sessions: &'a [SessionProgram], table: u32, catalog: &Catalog) -> Option<Vec<RowClaim<'a>>> {
    let relation = Object::Relation(table);
    let mut claims = Vec::new();
    for (session, program) in sessions.iter().enumerate() {
        for (step, ProgramStep { sql, facts, .. }) in program.steps.iter().enumerate() {
            if facts.footprint.takes(&relation) {
                if facts.footprint.calls {
                    return None;
                }
                let confined = facts.meaning.confined.as_ref();
                let confined = confined.filter(|confined| confined.row.table == table)?;
                claims.push(RowClaim {
                    session,
                    step,
                    confined,
                    condition: match confined.takes_first {
                        true => condition(sql, table, confined.by_key_alone, catalog),
                        false => RowCondition::Other,
                    },
                });
            }
        }
    }
    Some(claims)
}

/// Whether rows of a table are only ever taken one at a time by one unique key. The check of a foreign key may lock
/// them too, where it neither waits nor is waited for.
fn is_row_by_row(
    sessions: &[SessionProgram],
    table: u32,
    claims: &[RowClaim],
    rows: &KnownRows,
    catalog: &Catalog,
) -> bool {
    let Some(first) = claims.first() else { return false };
    // nobody waits for two sessions that hold a row of this table together
    let numbered = numbered_sessions(sessions, Some(&Object::Relation(table)));
    let is_orderly = |claim: &RowClaim| {
        let session = &sessions[claim.session];
        let rest = || claims_nothing_without_row(session, claim.step);
        let footprint = &session.steps[claim.step].facts.footprint;
        takes_row(&claim.condition, claim.confined.action)
            && footprint.is_about(&Object::Relation(table))
            // its transaction gets its number when it begins to wait
            && !numbered.contains(&claim.session)
            && claim.confined.row.index == first.confined.row.index
            && (claim.condition == RowCondition::None || holds_already(claim, claims, session, rows) || rest())
    };
    let references = catalog.foreign_keys.iter().any(|key| key.referencing == table);
    let updates_only = claims.iter().all(|claim| claim.confined.action == RowAction::Update);
    let is_checked = |step: &ProgramStep| step.facts.footprint.checks.contains(&Object::Relation(table));
    let mut checks = sessions.iter().enumerate().flat_map(|(index, session)| {
        let steps = session.steps.iter().enumerate();
        let checking = steps.filter(|(_, step)| is_checked(step));
        checking.map(move |(step, _)| (index, step))
    });
    !references
        && claims.iter().all(is_orderly)
        && (updates_only || checks.all(|(session, step)| holds_referenced(sessions, (session, step), table, claims)))
}

/// Whether the transaction surely holds the row already, so that the step does not wait.
fn holds_already(claim: &RowClaim, claims: &[RowClaim], session: &SessionProgram, rows: &KnownRows) -> bool {
    let row = rows.of_step(claim.session, claim.step);
    taken_before(session, (claim.session, claim.step), claims)
        .any(|taken| rows.of_step(taken.session, taken.step).is(&row))
}

/// The rows that the transaction of a step has surely taken before it.
fn taken_before<'a>(
    program: &'a SessionProgram,
    (session, step): (usize, usize),
    claims: &'a [RowClaim<'a>],
) -> impl Iterator<Item = &'a RowClaim<'a>> {
    let since_begin = since_begin(program, step);
    claims
        .iter()
        .filter(move |taken| taken.session == session && since_begin.contains(&taken.step))
        .filter(move |taken| taken.condition == RowCondition::None && !program.steps[taken.step].conditional)
}

/// The earlier steps that are surely in the same transaction. None of them ends it or rolls a part of it back.
fn since_begin(session: &SessionProgram, step: usize) -> Range<usize> {
    let begun = session.steps[..step]
        .iter()
        .rposition(|earlier| earlier.kind != StatementKind::Plain);
    let begins = |&begun: &usize| {
        let step = &session.steps[begun];
        step.kind == StatementKind::Begin && !step.conditional
    };
    begun.filter(begins).map_or(step..step, |begun| begun + 1..step)
}

/// Whether no later step of the same transaction locks or writes anything if this one returns no row.
fn claims_nothing_without_row(session: &SessionProgram, step: usize) -> bool {
    let columns = |step: usize| session.steps[step].facts.columns.as_ref();
    let surely_sets = |name: &String| columns(step).is_some_and(|columns| columns.contains_key(name));
    let may_set = |step: usize, name: &String| columns(step).is_none_or(|columns| columns.contains_key(name));
    let is_passed_over = |later: usize| {
        let mut needed = session.steps[later].facts.needs.iter();
        needed.any(|name| surely_sets(name) && !(step + 1..later).any(|between| may_set(between, name)))
    };
    let transactions = session.transactions();
    transactions
        .iter()
        .filter(|transaction| transaction.contains(&step))
        .flatten()
        .all(|&later| later <= step || !session.steps[later].facts.footprint.holds() || is_passed_over(later))
}

/// Whether the transaction of a step that inserts a row surely holds the row of `table` that it references, so that the
/// check of the foreign key locks nothing more.
fn holds_referenced(
    sessions: &[SessionProgram],
    (session, step): (usize, usize),
    table: u32,
    claims: &[RowClaim],
) -> bool {
    let meaning = &sessions[session].steps[step].facts.meaning;
    // a parameter may have another value in another statement
    let is_constant = |row: &&NamedRow| row.values.iter().all(|value| matches!(value, NamedValue::Constant(_)));
    let mut referenced = meaning
        .references
        .iter()
        .filter(|row| row.table == table)
        .filter(is_constant);
    referenced.next().is_some_and(|row| {
        taken_before(&sessions[session], (session, step), claims)
            .any(|taken| taken.confined.row == *row && taken.confined.action == RowAction::LockExclusive)
    })
}

/// Whether a statement takes its row exclusively.
pub fn takes_row(condition: &RowCondition, action: RowAction) -> bool {
    *condition != RowCondition::Other && matches!(action, RowAction::LockExclusive | RowAction::Update)
}
