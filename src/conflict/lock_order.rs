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

impl Claim {
    /// Whether two claims of one session are surely on the same row, so that the second waits for nobody.
    fn is_same_row(&self, other: &Claim) -> bool {
        matches!((&self.row, &other.row), (Some(one), Some(other)) if one.is(other))
    }
}

/// What the steps of a transaction claim, step by step.
type Transaction = Vec<Vec<Claim>>;

/// Whether transactions may wait in a cycle that leads through a row of `table`: each holds something that the next
/// waits for. Every step that locks or writes the table takes one row of it by the same key, to hold it alone, or is the
/// check of a foreign key that nobody waits for. Nothing is unknown of any step: locks on tables as a whole are in no
/// footprint, and statements that take strong ones are unknown.
pub fn may_wait_in_cycle(sessions: &[SessionProgram], table: u32, rows: &KnownRows) -> bool {
    let mut transactions = transactions(sessions, table, rows);
    name_rows(&mut transactions);
    let order = LockOrder::of(&transactions);
    let mut claims = transactions.iter().flatten().flatten();
    claims.any(|claim| claim.row.is_some() && order.has_cycle_through(&claim.node))
}

/// What each transaction of each session claims.
fn transactions(sessions: &[SessionProgram], table: u32, rows: &KnownRows) -> Vec<Transaction> {
    let of_session = |(index, session): (usize, &SessionProgram)| -> Vec<Transaction> {
        let claims = |step: usize| claims(session, index, step, table, rows);
        let transactions = session.transactions().into_iter();
        transactions
            .map(|steps| steps.into_iter().map(claims).collect())
            .collect()
    };
    sessions.iter().enumerate().flat_map(of_session).collect()
}

/// What a step claims. Of `table`, the check of a foreign key is left out: nobody waits for it.
fn claims(session: &SessionProgram, index: usize, step: usize, table: u32, rows: &KnownRows) -> Vec<Claim> {
    let relation = Object::Relation(table);
    let footprint = &session.steps[step].facts.footprint;
    let row = footprint.takes(&relation).then(|| rows.of_step(index, step));
    let claims = footprint
        .claims()
        .filter(|(object, _)| **object != relation || row.is_some());
    let claims = claims.map(|(object, strength)| Claim {
        session: index,
        node: Node::Object(object.clone()),
        row: row.clone().filter(|_| *object == relation),
        strength,
    });
    claims.collect()
}

/// Gives the rows of the table nodes of their own, if all of them are known: an unknown one may be any of them.
fn name_rows(transactions: &mut [Transaction]) {
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

/// Which of the things that sessions contend for a transaction may wait for while it holds which.
struct LockOrder {
    contended: BTreeMap<Node, usize>,
    /// From what is held to what is waited for, by their numbers.
    graph: DiGraphMap<usize, ()>,
}

impl LockOrder {
    fn of(transactions: &[Transaction]) -> LockOrder {
        let mut order = LockOrder {
            contended: contended(transactions),
            graph: DiGraphMap::new(),
        };
        for transaction in transactions {
            for (index, step) in transaction.iter().enumerate() {
                let held_before = || transaction[..index].iter().flatten();
                for claim in step {
                    held_before().for_each(|held| order.add(held, claim));
                    // a statement's claims come in any order
                    let beside = step.iter().filter(|other| other.node != claim.node);
                    beside.for_each(|held| order.add(held, claim));
                }
            }
        }
        order
    }

    fn add(&mut self, held: &Claim, waited: &Claim) {
        let numbers = (self.contended.get(&held.node), self.contended.get(&waited.node));
        if let (Some(&from), Some(&to)) = numbers
            && !held.is_same_row(waited)
        {
            self.graph.add_edge(from, to, ());
        }
    }

    fn has_cycle_through(&self, node: &Node) -> bool {
        let number = self
            .contended
            .get(node)
            .filter(|&&number| self.graph.contains_node(number));
        number.is_some_and(|&number| {
            let mut next = self.graph.neighbors(number);
            next.any(|next| has_path_connecting(&self.graph, next, number, None))
        })
    }
}

/// What one session may have to wait for because of another, numbered.
fn contended(transactions: &[Transaction]) -> BTreeMap<Node, usize> {
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
