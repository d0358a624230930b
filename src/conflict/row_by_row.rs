//! Tables whose rows are taken one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::event::Snapshots;
use super::footprint::{Footprint, Object, numbered_sessions};
use super::known_row::{Columns, KnownRows};
use super::lock_order::{may_wait_in_cycle, transactions};
use super::row_condition::{RowCondition, condition};
use super::statement::{Confined, NamedRow, NamedValue, PinnedAction, Statement};
use crate::postgres::catalog::Catalog;
use crate::scenario::{Scenario, Session, Step};
use crate::sql::StatementKind;
use crate::sql::lexer::tokens;

/// Tables by what statements do to their rows. One step about which nothing is known, and there are none.
#[derive(Debug, Clone, Default)]
pub struct TablesByRow {
    /// Of these every statement that locks or writes does so to one row. Elsewhere rows do not count, since
    /// where a row lies depends on the order in which rows were added and changed, and the order in which another
    /// statement locks several depends on where they lie.
    pub confined: BTreeSet<u32>,
    /// Of these the ones whose rows are only ever locked and updated one at a time by one unique key, at READ COMMITTED,
    /// and nobody waits for in a cycle; with that key's index.
    pub row_by_row: BTreeMap<u32, u32>,
    /// Some of the rows are taken only on a condition.
    pub conditional: bool,
}

/// What is known of each session's steps, and of what watches them.
pub struct StepsByRow<'a> {
    pub footprints: &'a [Vec<Footprint>],
    pub statements: &'a [Vec<Statement>],
    pub columns: &'a [Vec<Columns>],
    /// The variables without which each step is passed over.
    pub needs: &'a [Vec<BTreeSet<String>>],
    /// The invariants.
    pub watchers: &'a [Footprint],
}

pub fn tables_by_row(scenario: &Scenario, all: &StepsByRow<'_>, catalog: &Catalog) -> TablesByRow {
    let mut tables = TablesByRow::default();
    let steps = all.footprints;
    let everything = || steps.iter().flatten().chain(all.watchers);
    if catalog.deferrable || everything().any(|footprint| footprint.unknown) {
        return tables;
    }
    let read_committed = scenario
        .sessions
        .iter()
        .all(|session| Snapshots::of_session(session).is_read_committed());
    let locks_outlive = scenario.sessions.iter().zip(steps).any(|(session, footprints)| {
        let mut steps = session.steps.iter().zip(footprints);
        steps.any(|(step, footprint)| may_outlive(step, footprint))
    });
    for &table in catalog.tables.keys() {
        let relation = Object::Relation(table);
        if everything().any(|footprint| footprint.ordered.contains(&relation)) {
            continue;
        }
        let Some(claims) = claims_by_row(scenario, all, table, catalog) else {
            continue;
        };
        tables.confined.insert(table);
        let Some(index) = claims.first().map(|claim| claim.confined.row.index) else {
            continue;
        };
        let rows = KnownRows::new(scenario, all.statements, all.columns, catalog, index);
        if read_committed
            && !locks_outlive
            && is_row_by_row(scenario, all, table, &claims, &rows, catalog)
            && !may_wait_in_cycle(scenario, steps, table, &rows)
        {
            tables.conditional |= claims.iter().any(|claim| claim.condition != RowCondition::None);
            tables.row_by_row.insert(table, index);
        }
    }
    tables
}

/// Whether a step may take a lock that its session holds from one transaction to the next.
fn may_outlive(step: &Step, footprint: &Footprint) -> bool {
    let names: Vec<String> = tokens(&step.sql.text)
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

/// The steps that lock or write a table, unless one is not confined to a row.
fn claims_by_row<'a>(
    scenario: &Scenario,
    all: &StepsByRow<'a>,
    table: u32,
    catalog: &Catalog,
) -> Option<Vec<RowClaim<'a>>> {
    let relation = Object::Relation(table);
    let mut claims = Vec::new();
    for (session, footprints) in all.footprints.iter().enumerate() {
        for (step, footprint) in footprints.iter().enumerate() {
            if footprint.takes(&relation) {
                if footprint.calls {
                    return None;
                }
                let confined = all.statements[session][step].confined.as_ref();
                let confined = confined.filter(|confined| confined.row.table == table)?;
                let sql = &scenario.sessions[session].steps[step].template.text;
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
/// them too, where nobody has to wait for it nor it for anybody.
fn is_row_by_row(
    scenario: &Scenario,
    all: &StepsByRow<'_>,
    table: u32,
    claims: &[RowClaim],
    rows: &KnownRows,
    catalog: &Catalog,
) -> bool {
    let steps = all.footprints;
    let Some(first) = claims.first() else { return false };
    // nobody waits for two sessions that hold a row of this table together
    let numbered = numbered_sessions(steps, Some(&Object::Relation(table)));
    let is_orderly = |claim: &RowClaim| {
        let rest = || claims_nothing_without_row(scenario, all, (claim.session, claim.step));
        let footprint = &steps[claim.session][claim.step];
        takes_row(&claim.condition, claim.confined.action)
            && footprint.is_about(&Object::Relation(table))
            // its transaction gets its number when it begins to wait
            && !numbered.contains(&claim.session)
            && claim.confined.row.index == first.confined.row.index
            && (claim.condition == RowCondition::None || holds_already(claim, claims, scenario, rows) || rest())
    };
    let references = catalog.foreign_keys.iter().any(|key| key.referencing == table);
    let updates_only = claims.iter().all(|claim| claim.confined.action == PinnedAction::Update);
    let is_checked = |footprint: &Footprint| footprint.checks.contains(&Object::Relation(table));
    let checks = steps.iter().enumerate().flat_map(|(session, footprints)| {
        let checking = (0..footprints.len()).filter(|&step| is_checked(&footprints[step]));
        checking.map(move |step| (session, step))
    });
    !references
        && claims.iter().all(is_orderly)
        && (updates_only
            || checks
                .into_iter()
                .all(|(session, step)| holds_referenced(scenario, all, (session, step), table, claims)))
}

/// Whether the transaction surely holds the row already, so that the step does not wait.
fn holds_already(claim: &RowClaim, claims: &[RowClaim], scenario: &Scenario, rows: &KnownRows) -> bool {
    let row = rows.of_step(claim.session, claim.step);
    taken_before(scenario, (claim.session, claim.step), claims)
        .any(|taken| rows.of_step(taken.session, taken.step).is(&row))
}

/// The rows that the transaction of a step has surely taken before it.
fn taken_before<'a>(
    scenario: &'a Scenario,
    (session, step): (usize, usize),
    claims: &'a [RowClaim<'a>],
) -> impl Iterator<Item = &'a RowClaim<'a>> {
    let steps = &scenario.sessions[session].steps;
    let since_begin = since_begin(&scenario.sessions[session], step);
    claims
        .iter()
        .filter(move |taken| taken.session == session && since_begin.contains(&taken.step))
        .filter(move |taken| taken.condition == RowCondition::None && steps[taken.step].when.is_none())
}

/// The steps before this one that are surely in the same transaction, where none of them takes a part of it back.
fn since_begin(session: &Session, step: usize) -> Range<usize> {
    let begun = session.steps[..step]
        .iter()
        .rposition(|earlier| earlier.statement.kind != StatementKind::Plain);
    let begins = |&begun: &usize| {
        let step = &session.steps[begun];
        step.statement.kind == StatementKind::Begin && step.when.is_none()
    };
    begun.filter(begins).map_or(step..step, |begun| begun + 1..step)
}

/// Whether no step after this one of the same transaction locks or writes anything where this one returns no row.
fn claims_nothing_without_row(scenario: &Scenario, all: &StepsByRow<'_>, (session, step): (usize, usize)) -> bool {
    let (footprints, columns, needs) = (&all.footprints[session], &all.columns[session], &all.needs[session]);
    let sets = |step: usize, name: &String| columns[step].as_ref().is_none_or(|columns| columns.contains_key(name));
    let is_passed_over = |later: usize| {
        let mut needed = needs[later].iter();
        needed.any(|name| sets(step, name) && !(step + 1..later).any(|between| sets(between, name)))
    };
    transactions(&scenario.sessions[session])
        .iter()
        .filter(|transaction| transaction.contains(&step))
        .flatten()
        .all(|&later| later <= step || !footprints[later].holds() || is_passed_over(later))
}

/// Whether the transaction of a step that inserts a row surely holds the row of `table` that it references, so that the
/// check of the foreign key locks nothing that is not locked.
fn holds_referenced(
    scenario: &Scenario,
    all: &StepsByRow<'_>,
    (session, step): (usize, usize),
    table: u32,
    claims: &[RowClaim],
) -> bool {
    let statement = &all.statements[session][step];
    // a parameter may have another value in another statement
    let is_constant = |row: &&NamedRow| row.values.iter().all(|value| matches!(value, NamedValue::Constant(_)));
    let mut referenced = statement
        .references
        .iter()
        .filter(|row| row.table == table)
        .filter(is_constant);
    referenced.next().is_some_and(|row| {
        taken_before(scenario, (session, step), claims)
            .any(|taken| taken.confined.row == *row && taken.confined.action == PinnedAction::LockExclusive)
    })
}

/// Whether a statement takes its row to hold it alone.
pub fn takes_row(condition: &RowCondition, action: PinnedAction) -> bool {
    *condition != RowCondition::Other && matches!(action, PinnedAction::LockExclusive | PinnedAction::Update)
}
