//! The orders in which transactions may take locks, and whether transactions may wait for each other in a cycle.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::has_path_connecting;
use petgraph::graphmap::DiGraphMap;

use super::footprint::{LockStrength, Object};
use super::known_row::{KnownRow, KnownRows};
use super::program::SessionProgram;

/// What may be waited for: an object, or a row of the table in question.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Object(Object),
    Row(Vec<String>),
}

struct Claim {
    session: usize,
    node: Node,
    /// For the table in question: the row, as far as it is known.
    row: Option<KnownRow>,
    strength: LockStrength,
}

/// Whether transactions may wait in a cycle that leads through a row of `table`: each holds something that the next
/// waits for. Every step that locks or writes the table takes one row of it by the same key, to hold it alone, or is the
/// check of a foreign key that nobody waits for. Nothing is unknown of any step: locks on tables as a whole are in no
/// footprint, and statements that take strong ones are unknown.
pub fn may_wait_in_cycle(sessions: &[SessionProgram], table: u32, rows: &KnownRows) -> bool {
    let relation = Object::Relation(table);
    let taken = |session: usize, step: usize| -> Vec<Claim> {
        let footprint = &sessions[session].steps[step].facts.footprint;
        let takes_row = footprint.takes(&relation);
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
    for (index, session) in sessions.iter().enumerate() {
        for steps in session.transactions() {
            claims.push(steps.into_iter().map(|step| taken(index, step)).collect());
        }
    }
    name_rows(&mut claims);
    let contended = contended(&claims);
    let mut order: DiGraphMap<usize, ()> = DiGraphMap::new();
    let mut waits = |held: &Claim, waited: &Claim| {
        let same_row = matches!((&held.row, &waited.row), (Some(held), Some(waited)) if held.is(waited));
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
    claims
        .iter()
        .flatten()
        .flatten()
        .filter(|claim| claim.row.is_some())
        .filter_map(|claim| contended.get(&claim.node).copied())
        .filter(|&row| order.contains_node(row))
        .any(|row| {
            let mut next = order.neighbors(row);
            next.any(|next| has_path_connecting(&order, next, row, None))
        })
}

/// Gives the rows of the table nodes of their own, if all of them are known: an unknown one may be any of them.
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::super::footprint::{Footprint, WriteKind};
    use super::super::known_row::Columns;
    use super::super::program::StepFacts;
    use super::super::statement::{Confined, Meaning, NamedRow, NamedValue, RowAction};
    use super::*;
    use crate::postgres::catalog::{Catalog, Column, KeyType, UniqueKey};
    use crate::scenario::{Scenario, Session, Step};

    const ITEMS: u32 = 1;
    const ORDERS: u32 = 2;

    /// items (id integer PRIMARY KEY).
    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        let id = Column {
            name: "id".to_owned(),
            type_oid: 23,
            not_null: true,
            number: 1,
        };
        catalog.columns.insert(ITEMS, vec![id]);
        catalog.unique_keys.push(UniqueKey {
            table: ITEMS,
            index: ITEMS * 10,
            columns: vec![("id".to_owned(), KeyType::Integer)],
        });
        catalog
    }

    /// What is known of a step with `WHERE id = …`.
    fn meaning(step: &Step) -> Meaning {
        let value = step
            .template
            .text
            .split("WHERE id = ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let value = value.map(|value| match value.strip_prefix('$') {
            Some(number) => NamedValue::Parameter(number.parse::<usize>().unwrap() - 1, KeyType::Integer),
            None => NamedValue::Constant(value.to_owned()),
        });
        Meaning {
            confined: value.map(|value| Confined {
                row: NamedRow {
                    table: ITEMS,
                    index: ITEMS * 10,
                    values: vec![value],
                },
                action: RowAction::Update,
                takes_first: true,
                by_key_alone: true,
            }),
            ..Meaning::default()
        }
    }

    /// Whether sessions with these parameters may wait in a cycle through a row of `items`. A step that reads a column
    /// `id` gets it from that table.
    fn cycle(sessions: &[(&str, &[&str])]) -> bool {
        let mut toml = String::new();
        for (index, (params, steps)) in sessions.iter().enumerate() {
            toml += &format!("[[session]]\nname = \"s{index}\"\nparams = {{ {params} }}\n");
            toml += &format!("steps = {:?}\n", [&["BEGIN"], *steps, &["COMMIT"]].concat());
        }
        let scenario = Scenario::from_toml("test", "test.toml", &toml, Path::new(".")).unwrap();
        let footprint = |sql: &str| {
            let mut footprint = Footprint::default();
            for (table, name) in [(ITEMS, "items"), (ORDERS, "orders")] {
                if sql.contains(name) {
                    footprint.write(Object::Relation(table), WriteKind::UpdateNoKey);
                }
            }
            footprint
        };
        let columns = |sql: &str| -> Columns {
            let attribute = match sql {
                _ if sql.starts_with("SELECT id") => 1,
                _ if sql.contains("AS id") => 2,
                _ => return Some(BTreeMap::new()),
            };
            Some(BTreeMap::from([("id".to_owned(), (ITEMS, attribute))]))
        };
        let of_session = |session: &Session| {
            let facts = session.steps.iter().map(|step| StepFacts {
                footprint: footprint(&step.sql.text),
                meaning: meaning(step),
                columns: columns(&step.sql.text),
                needs: BTreeSet::new(),
            });
            SessionProgram::new(session, facts.collect())
        };
        let sessions: Vec<SessionProgram> = scenario.sessions.iter().map(of_session).collect();
        let catalog = catalog();
        let rows = KnownRows::new(&sessions, &catalog, ITEMS * 10);
        may_wait_in_cycle(&sessions, ITEMS, &rows)
    }

    const ONE: &str = "UPDATE items SET stock = 0 WHERE id = 1";
    const TWO: &str = "UPDATE items SET stock = 0 WHERE id = 2";
    const A: &str = "UPDATE items SET stock = 0 WHERE id = :a";
    const B: &str = "UPDATE items SET stock = 0 WHERE id = :b";
    const ORDER: &str = "UPDATE orders SET item = NULL WHERE customer = 'eve'";

    #[test]
    fn rows_taken_in_one_order_make_no_cycle() {
        assert!(!cycle(&[("", &[ONE]), ("", &[ONE])]));
        assert!(!cycle(&[("", &[ONE, TWO]), ("", &[ONE, TWO])]));
        assert!(!cycle(&[("a = 1, b = 2", &[A, B]), ("a = 2, b = 1", &[B, A])]));
        assert!(!cycle(&[("", &[ONE, ORDER]), ("", &[ONE, ORDER])]));
    }

    #[test]
    fn rows_taken_in_opposite_orders_do() {
        assert!(cycle(&[("", &[ONE, TWO]), ("", &[TWO, ONE])]));
        assert!(cycle(&[("a = 1, b = 2", &[A, B]), ("a = 2, b = 1", &[A, B])]));
        assert!(cycle(&[("", &[ONE, ORDER]), ("", &[ORDER, ONE])]));
        assert!(!cycle(&[("", &[ONE, TWO]), ("", &[TWO, "COMMIT", "BEGIN", ONE])]));
    }

    #[test]
    fn a_row_taken_twice_makes_no_cycle_where_it_is_surely_the_same() {
        let by_id = "UPDATE items SET stock = 0 WHERE id = :id";
        let steps: [&[&str]; 4] = [
            &[ONE, ONE],
            &[A, A],
            &["SELECT id FROM items WHERE id = 1 FOR UPDATE", by_id],
            &["SELECT id FROM items WHERE id = :a FOR UPDATE", by_id],
        ];
        for steps in steps {
            assert!(!cycle(&[("a = 1", steps), ("a = 1", steps)]), "{steps:?}");
        }
        // here the variable is another number
        let other = ["SELECT stock AS id FROM items WHERE id = 1 FOR UPDATE", by_id];
        assert!(cycle(&[("", &other), ("", &other)]));
        let set_between = [
            "SELECT stock AS id FROM items",
            by_id,
            "SELECT stock AS id FROM items",
            by_id,
        ];
        assert!(cycle(&[("", &set_between), ("", &set_between)]));
    }
}
