//! The wait-for graph: which session waits for which.

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

/// An edge from each waiting session to every session that it waits for.
#[derive(Debug, Clone, Default)]
pub struct WaitForGraph(DiGraphMap<usize, ()>);

impl WaitForGraph {
    pub fn add(&mut self, waiting: usize, holder: usize) {
        self.0.add_edge(waiting, holder, ());
    }

    /// The sessions that `session` waits for, ascending.
    pub fn blockers(&self, session: usize) -> Vec<usize> {
        let mut blockers: Vec<usize> = self.0.neighbors(session).collect();
        blockers.sort_unstable();
        blockers
    }

    /// Whether some sessions wait for each other, so that PostgreSQL will raise a deadlock (or, if the cycle comes only
    /// from the order of a wait queue, will change that order).
    pub fn has_cycle(&self) -> bool {
        tarjan_scc(&self.0).iter().any(|component| component.len() > 1)
            || self.0.all_edges().any(|(waiting, holder, ())| waiting == holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_has_no_cycle_and_a_ring_has_one() {
        let mut graph = WaitForGraph::default();
        graph.add(0, 1);
        graph.add(0, 2);
        graph.add(1, 2);
        assert!(!graph.has_cycle());
        assert_eq!(graph.blockers(0), [1, 2]);
        graph.add(2, 0);
        assert!(graph.has_cycle());
    }
}
