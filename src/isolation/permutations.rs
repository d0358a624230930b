//! The permutations of a specification: those that it names, or all interleavings of its sessions' steps.

use super::specification::{Permutation, PermutationStep, Specification, StepId};

impl Specification {
    /// The permutations to run, in order. Interleavings come in the order of a depth-first search that tries sessions
    /// in the order of the file.
    pub fn permutations(&self) -> Box<dyn Iterator<Item = Permutation> + Send + '_> {
        match &self.permutations {
            Some(named) => Box::new(named.iter().cloned()),
            None => Box::new(self.interleavings()),
        }
    }

    fn interleavings(&self) -> Interleavings {
        let lengths: Vec<usize> = self.sessions.iter().map(|session| session.steps.len()).collect();
        let first = lengths.iter().enumerate();
        Interleavings {
            next: Some(first.flat_map(|(session, &length)| vec![session; length]).collect()),
            sessions: lengths.len(),
        }
    }
}

/// Orders of sessions, in lexicographic order.
struct Interleavings {
    next: Option<Vec<usize>>,
    sessions: usize,
}

impl Iterator for Interleavings {
    type Item = Permutation;

    fn next(&mut self) -> Option<Permutation> {
        let order = self.next.take()?;
        let mut taken = vec![0; self.sessions];
        let steps = order.iter().map(|&session| {
            let step = taken[session];
            taken[session] += 1;
            PermutationStep {
                id: StepId { session, step },
                markers: Vec::new(),
            }
        });
        let permutation = Permutation { steps: steps.collect() };
        self.next = successor(order);
        Some(permutation)
    }
}

/// The next larger arrangement of the same elements.
fn successor(mut order: Vec<usize>) -> Option<Vec<usize>> {
    let pivot = order.windows(2).rposition(|pair| pair[0] < pair[1])?;
    let larger = order.iter().rposition(|&each| each > order[pivot])?;
    order.swap(pivot, larger);
    order[pivot + 1..].reverse();
    Some(order)
}
