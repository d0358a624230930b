//! The direct serialization graph of a history's committed transactions, and the anomaly that a cycle in it is.
//!
//! After Adya, Liskov, O'Neil: *Generalized Isolation Level Definitions* (ICDE 2000). Aborted and intermediate reads
//! (G1a, G1b) are reads of uncommitted data, which PostgreSQL never shows to another transaction.

use petgraph::algo::astar;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeFiltered;

use super::outcome::Violation;

/// A committed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The index of the session.
    pub session: usize,
    /// Its turns, ascending.
    pub turns: Vec<usize>,
    /// It changed rows.
    pub wrote: bool,
}

/// How one transaction depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DependencyKind {
    /// ww: the second wrote the next version of a row.
    Overwrote,
    /// wr: the second read what the first wrote.
    Read,
    /// rw: the second wrote the version that follows the one that the first had read.
    ReadBefore {
        /// The first read no version of the row: it was not among the rows that the first looked for.
        predicate: bool,
    },
}

impl DependencyKind {
    /// Its name in the literature.
    pub fn abbreviation(self) -> &'static str {
        match self {
            DependencyKind::Overwrote => "ww",
            DependencyKind::Read => "wr",
            DependencyKind::ReadBefore { .. } => "rw",
        }
    }
}

/// One edge of the graph: `from` comes before `to` in every serial order with the same effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Index of the transaction.
    pub from: usize,
    /// The later transaction, by its index.
    pub to: usize,
    /// Of which kind it is.
    pub kind: DependencyKind,
    /// The table, as it is named.
    pub table: String,
    /// The row by its primary key, `id = 1`; `None` where the table has none.
    pub row: Option<String>,
    /// The turn in which `from` read or wrote the row.
    pub from_turn: usize,
    /// The turn in which `to` read or wrote the row.
    pub to_turn: usize,
}

impl Dependency {
    fn is_anti(&self) -> bool {
        matches!(self.kind, DependencyKind::ReadBefore { .. })
    }
}

/// The name of a cycle of dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anomaly {
    /// G0, P0.
    DirtyWrite,
    /// G1c.
    CircularInformationFlow,
    /// P4.
    LostUpdate,
    /// A5A.
    ReadSkew,
    /// A5B.
    WriteSkew,
    /// A read-only transaction makes a cycle of two others.
    ReadOnlyTransaction,
    /// A cycle by a predicate.
    Phantom,
}

impl Anomaly {
    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Anomaly::DirtyWrite => "dirty write",
            Anomaly::CircularInformationFlow => "circular information flow",
            Anomaly::LostUpdate => "lost update",
            Anomaly::ReadSkew => "read skew",
            Anomaly::WriteSkew => "write skew",
            Anomaly::ReadOnlyTransaction => "read-only transaction anomaly",
            Anomaly::Phantom => "phantom",
        }
    }

    /// Its number in the literature.
    pub fn code(self) -> &'static str {
        match self {
            Anomaly::DirtyWrite => "G0",
            Anomaly::CircularInformationFlow => "G1c",
            Anomaly::LostUpdate => "P4",
            Anomaly::ReadSkew => "G-single",
            Anomaly::WriteSkew | Anomaly::ReadOnlyTransaction => "G2-item",
            Anomaly::Phantom => "G2",
        }
    }
}

/// Dependencies in a cycle: each one's `to` is the next one's `from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// What it is called.
    pub anomaly: Anomaly,
    /// The dependencies of which it is made, each from where the last one leads.
    pub dependencies: Vec<Dependency>,
}

/// What the dependencies of a failing schedule's committed transactions say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Committed transactions.
    pub transactions: Vec<Transaction>,
    /// `None` if the graph has no cycle: the transactions had the effect of running one after another.
    pub cycle: Option<Cycle>,
}

impl Explanation {
    /// Looks for cycles in the dependencies between transactions.
    pub fn new(transactions: Vec<Transaction>, dependencies: Vec<Dependency>) -> Explanation {
        let mut cycle = cycle(&transactions, &dependencies);
        if let Some(Cycle { dependencies, .. }) = &mut cycle {
            // the cycle is told beginning with the read that came before a write
            let count = dependencies.len();
            let after_another = |index: &usize| !dependencies[(index + count - 1) % count].is_anti();
            let first = (0..count)
                .filter(|&index| dependencies[index].is_anti())
                .find(after_another);
            dependencies.rotate_left(first.unwrap_or(0));
        }
        Explanation { transactions, cycle }
    }

    /// Whether it says something about these violations: it has a cycle, or a wrong state is not due to one.
    pub fn explains(&self, violations: &[Violation]) -> bool {
        let is_of_state =
            |one: &Violation| matches!(one, Violation::Invariant { .. } | Violation::NotSerializable { .. });
        self.cycle.is_some() || violations.iter().any(is_of_state)
    }

    /// What the first cycle is called; `None` where there is none.
    pub fn anomaly(&self) -> Option<Anomaly> {
        self.cycle.as_ref().map(|cycle| cycle.anomaly)
    }
}

/// The shortest cycle of the most serious anomaly, which is the one that the lowest isolation level forbids.
fn cycle(transactions: &[Transaction], dependencies: &[Dependency]) -> Option<Cycle> {
    let mut graph: DiGraph<(), &Dependency> = DiGraph::new();
    for _ in transactions {
        graph.add_node(());
    }
    for dependency in dependencies {
        graph.add_edge(
            NodeIndex::new(dependency.from),
            NodeIndex::new(dependency.to),
            dependency,
        );
    }
    let overwrote = |one: &Dependency| one.kind == DependencyKind::Overwrote;
    let direct = |one: &Dependency| !one.is_anti();
    let item = |one: &Dependency| one.kind != DependencyKind::ReadBefore { predicate: true };
    let wrote = |one: &Dependency| transactions[one.from].wrote;
    let find = |first: &dyn Fn(&Dependency) -> bool, rest: &dyn Fn(&Dependency) -> bool| {
        let cycles = dependencies
            .iter()
            .filter(|one| first(one))
            .filter_map(|one| closed(&graph, one, rest));
        cycles.min_by_key(Vec::len)
    };
    let named = |anomaly, dependencies| Some(Cycle { anomaly, dependencies });
    if let Some(found) = find(&overwrote, &overwrote) {
        return named(Anomaly::DirtyWrite, found);
    }
    if let Some(found) = find(&direct, &direct) {
        return named(Anomaly::CircularInformationFlow, found);
    }
    let lost = dependencies
        .iter()
        .filter(|one| one.is_anti() && item(one))
        .find_map(|read| {
            let overwrite = dependencies.iter().find(|one| {
                overwrote(one)
                    && (one.from, one.to) == (read.to, read.from)
                    && (&one.table, &one.row) == (&read.table, &read.row)
            })?;
            Some(vec![read.clone(), overwrite.clone()])
        });
    if let Some(found) = lost {
        return named(Anomaly::LostUpdate, found);
    }
    if let Some(found) = find(&Dependency::is_anti, &direct) {
        return named(Anomaly::ReadSkew, found);
    }
    if let Some(found) = find(&item, &item) {
        let anomaly = match found.iter().all(wrote) {
            true => Anomaly::WriteSkew,
            false => Anomaly::ReadOnlyTransaction,
        };
        return named(anomaly, found);
    }
    find(&Dependency::is_anti, &|_| true).and_then(|found| named(Anomaly::Phantom, found))
}

/// The shortest cycle that begins with a dependency and continues with those that `allowed` accepts.
fn closed(
    graph: &DiGraph<(), &Dependency>,
    first: &Dependency,
    allowed: &dyn Fn(&Dependency) -> bool,
) -> Option<Vec<Dependency>> {
    let filtered = EdgeFiltered::from_fn(graph, |edge| allowed(edge.weight()));
    let end = NodeIndex::new(first.from);
    let (_, path) = astar(&filtered, NodeIndex::new(first.to), |node| node == end, |_| 1, |_| 0)?;
    let mut cycle = vec![first.clone()];
    for pair in path.windows(2) {
        let edge = graph
            .edges_connecting(pair[0], pair[1])
            .map(|edge| *edge.weight())
            .filter(|edge| allowed(edge))
            .min_by_key(|edge| (edge.from_turn, edge.to_turn))?;
        cycle.push(edge.clone());
    }
    Some(cycle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WW: DependencyKind = DependencyKind::Overwrote;
    const WR: DependencyKind = DependencyKind::Read;
    const RW: DependencyKind = DependencyKind::ReadBefore { predicate: false };
    const PREDICATE_RW: DependencyKind = DependencyKind::ReadBefore { predicate: true };

    fn named(edges: &[(usize, usize, DependencyKind, &str)], read_only: &[usize]) -> Option<(Anomaly, usize)> {
        let count = edges.iter().map(|edge| edge.0.max(edge.1) + 1).max().unwrap_or(0);
        let transactions = (0..count).map(|session| Transaction {
            session,
            turns: vec![session],
            wrote: !read_only.contains(&session),
        });
        let dependencies = edges.iter().map(|&(from, to, kind, row)| Dependency {
            from,
            to,
            kind,
            table: "t".to_owned(),
            row: Some(row.to_owned()),
            from_turn: from,
            to_turn: to,
        });
        let cycle = Explanation::new(transactions.collect(), dependencies.collect()).cycle?;
        let length = cycle.dependencies.len();
        for (index, one) in cycle.dependencies.iter().enumerate() {
            assert_eq!(one.to, cycle.dependencies[(index + 1) % length].from, "a closed cycle");
        }
        Some((cycle.anomaly, length))
    }

    #[test]
    fn a_chain_is_no_cycle() {
        assert_eq!(named(&[(0, 1, WW, "a"), (1, 2, RW, "b"), (0, 2, WR, "a")], &[]), None);
    }

    #[test]
    fn cycles_are_named_after_their_edges() {
        for (edges, read_only, expected) in [
            (vec![(0, 1, WW, "a"), (1, 0, WW, "b")], vec![], Anomaly::DirtyWrite),
            (
                vec![(0, 1, WW, "a"), (1, 0, WR, "b")],
                vec![],
                Anomaly::CircularInformationFlow,
            ),
            (vec![(0, 1, RW, "a"), (1, 0, WW, "a")], vec![], Anomaly::LostUpdate),
            (vec![(0, 1, RW, "a"), (1, 0, WW, "b")], vec![], Anomaly::ReadSkew),
            (
                vec![(0, 1, PREDICATE_RW, "a"), (1, 0, WW, "a")],
                vec![],
                Anomaly::ReadSkew,
            ),
            (vec![(0, 1, RW, "a"), (1, 0, WR, "b")], vec![0], Anomaly::ReadSkew),
            (vec![(0, 1, RW, "a"), (1, 0, RW, "b")], vec![], Anomaly::WriteSkew),
            (
                vec![(0, 1, PREDICATE_RW, "a"), (1, 0, RW, "b")],
                vec![],
                Anomaly::Phantom,
            ),
            (
                vec![(0, 1, RW, "a"), (1, 2, RW, "b"), (2, 0, WR, "b")],
                vec![0],
                Anomaly::ReadOnlyTransaction,
            ),
        ] {
            let length = edges.len();
            assert_eq!(named(&edges, &read_only), Some((expected, length)), "{edges:?}");
        }
    }

    #[test]
    fn what_a_lower_level_forbids_comes_first_and_then_the_shortest() {
        let skew_and_lost = [(0, 1, RW, "x"), (1, 0, RW, "y"), (0, 1, RW, "a"), (1, 0, WW, "a")];
        assert_eq!(named(&skew_and_lost, &[]), Some((Anomaly::LostUpdate, 2)));
        let long_and_short = [(0, 1, RW, "a"), (1, 2, WR, "b"), (2, 0, WR, "c"), (0, 2, RW, "d")];
        assert_eq!(named(&long_and_short, &[]), Some((Anomaly::ReadSkew, 2)));
    }
}
