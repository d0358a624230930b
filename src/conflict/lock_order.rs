//! In which order transactions may take locks, and whether they may come to wait for each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use super::footprint::{Footprint, LockStrength, Object};
use super::known_row::{KnownRow, KnownRows};
use crate::scenario::sql::StatementKind;
use crate::scenario::{Scenario, Session};

/// What may be waited for: an object, or of the table that is asked about a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Object(Object),
    Row(Vec<String>),
}

struct Claim {
    session: usize,
    node: Node,
    /// Of the table that is asked about; that row, as far as it is known.
    row: Option<KnownRow>,
    strength: LockStrength,
}

/// Whether transactions may wait in a circle that leads through a row of `table`: each holds something that the next
/// waits for. Every step that locks or writes the table takes one row of it by the same key, to hold it alone, or is the
/// check of a foreign key that nobody waits for.
pub fn may_wait_in_circle(scenario: &Scenario, steps: &[Vec<Footprint>], table: u32, rows: &KnownRows) -> bool {
    let relation = Object::Relation(table);
    let taken = |session: usize, step: usize| -> Vec<Claim> {
        let footprint = &steps[session][step];
        let takes_row = footprint.locks.contains_key(&relation) || footprint.writes.contains_key(&relation);
        let row = takes_row.then(|| rows.of_step(session, step));
        let claims = footprint
            .claims()
            .filter(|(object, _)| **object != relation || takes_row);
        let claims = claims.map(|(object, strength)| Claim {
            session,
            node: Node::Object(object.clone()),
            row: row.clone().filter(|_| *object == relation),
            strength,
        });
        claims.collect()
    };
    let mut claims: Vec<Vec<Vec<Claim>>> = Vec::new();
    for (index, session) in scenario.sessions.iter().enumerate() {
        for steps in transactions(session) {
            claims.push(steps.into_iter().map(|step| taken(index, step)).collect());
        }
    }
    name_rows(&mut claims);
    let contended = contended(&claims);
    let mut order: DiGraphMap<usize, ()> = DiGraphMap::new();
    let mut waits = |held: &Claim, waited: &Claim| {
        let same_row = held
            .row
            .as_ref()
            .zip(waited.row.as_ref())
            .is_some_and(|(held, waited)| held.is(waited));
        if let (Some(&held), Some(&waited), false) = (contended.get(&held.node), contended.get(&waited.node), same_row)
        {
            order.add_edge(held, waited, ());
        }
    };
    for transaction in &claims {
        for (index, step) in transaction.iter().enumerate() {
            for held in transaction[..index].iter().flatten() {
                step.iter().for_each(|claim| waits(held, claim));
            }
            // a statement's claims come in any order
            for (one, other) in step.iter().flat_map(|one| step.iter().map(move |other| (one, other))) {
                if one.node != other.node {
                    waits(one, other);
                }
            }
        }
    }
    let of_table: Vec<usize> = claims
        .iter()
        .flatten()
        .flatten()
        .filter(|claim| claim.row.is_some())
        .filter_map(|claim| contended.get(&claim.node).copied())
        .collect();
    tarjan_scc(&order).iter().any(|component| {
        component.iter().any(|node| of_table.contains(node))
            && (component.len() > 1 || component.iter().any(|&node| order.contains_edge(node, node)))
    })
}

/// The steps of each of a session's transactions. A transaction may be taken for longer than it is.
pub fn transactions(session: &Session) -> Vec<Vec<usize>> {
    let mut transactions = vec![Vec::new()];
    let mut open = false;
    for (index, step) in session.steps.iter().enumerate() {
        if let Some(transaction) = transactions.last_mut() {
            transaction.push(index);
        }
        let kind = step.statement.kind;
        open |= kind == StatementKind::Begin;
        let ends = matches!(
            kind,
            StatementKind::Commit { chain: false } | StatementKind::Rollback { chain: false }
        );
        open &= !ends || step.when.is_some();
        if !open {
            transactions.push(Vec::new());
        }
    }
    transactions
}

/// Gives the rows of the table nodes of their own, where all of them are known.
fn name_rows(transactions: &mut [Vec<Vec<Claim>>]) {
    let mut claims: Vec<&mut Claim> = transactions.iter_mut().flatten().flatten().collect();
    let constants = |claim: &Claim| claim.row.as_ref().map(KnownRow::constants);
    if !claims.iter().any(|claim| constants(claim) == Some(None)) {
        for claim in &mut claims {
            if let Some(Some(values)) = constants(claim) {
                claim.node = Node::Row(values);
            }
        }
    }
}

/// What one session may have to wait for because of another, numbered.
fn contended(transactions: &[Vec<Vec<Claim>>]) -> BTreeMap<Node, usize> {
    let mut claims: BTreeMap<&Node, BTreeSet<(usize, LockStrength)>> = BTreeMap::new();
    for claim in transactions.iter().flatten().flatten() {
        let of_node = claims.entry(&claim.node).or_default();
        of_node.insert((claim.session, claim.strength));
    }
    let is_contended = |claims: &BTreeSet<(usize, LockStrength)>| {
        claims.iter().any(|(session, strength)| {
            let mut others = claims.iter().filter(|(other, _)| other != session);
            others.any(|(_, other)| strength.conflicts_with(*other))
        })
    };
    let contended = claims.iter().filter(|(_, claims)| is_contended(claims));
    contended
        .enumerate()
        .map(|(number, (node, _))| ((*node).clone(), number))
        .collect()
}
