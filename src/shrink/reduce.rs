//! Cuts sessions and steps out of a scenario.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Target;
use crate::scenario::{Scenario, Step};
use crate::sql::StatementKind;

/// What is left out of a scenario.
#[derive(Debug, Clone, Default)]
pub struct Cut {
    /// Sessions by index.
    pub sessions: BTreeSet<usize>,
    /// Steps: the index of the `[[session]]` entry, and that of the step in it. They are cut from every copy.
    pub steps: BTreeSet<(usize, usize)>,
}

/// The scenario without what is cut, and without invariants that the target does not need. `None` if a session has no
/// step left.
///
/// A transaction of which only the begin and the end are left is removed too.
pub fn reduce(scenario: &Scenario, cut: &Cut, target: &Target) -> Option<Scenario> {
    let mut reduced = scenario.clone();
    reduced
        .invariants
        .retain(|invariant| target.names_invariant(&invariant.name));
    let mut kept = Vec::new();
    for (index, session) in scenario.sessions.iter().enumerate() {
        if cut.sessions.contains(&index) {
            continue;
        }
        let left = steps_left(&session.steps, |step| cut.steps.contains(&(session.entry, step)));
        if left.is_empty() {
            return None;
        }
        let mut session = session.clone();
        if left.len() < session.steps.len() {
            session.steps = left
                .iter()
                .map(|&step| session.steps[step].clone())
                .collect::<Vec<Step>>()
                .into();
        }
        kept.push(session);
    }
    reduced.sessions = kept;
    Some(reduced)
}

/// Indices of the remaining steps.
pub fn steps_left(steps: &Arc<[Step]>, is_cut: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut left: Vec<usize> = Vec::new();
    for index in (0..steps.len()).filter(|&index| !is_cut(index)) {
        let begins = |index: &usize| {
            let step = &steps[*index];
            step.statement.kind == StatementKind::Begin && step.when.is_none()
        };
        let ends = matches!(
            steps[index].statement.kind,
            StatementKind::Commit { chain: false } | StatementKind::Rollback { chain: false }
        );
        if ends && steps[index].when.is_none() && left.last().is_some_and(begins) {
            left.pop();
            continue;
        }
        left.push(index);
    }
    left
}

/// Whether a transaction is still opened and closed as before when the step is left out.
pub fn can_be_cut(step: &Step) -> bool {
    !matches!(
        step.statement.kind,
        StatementKind::Begin
            | StatementKind::Commit { .. }
            | StatementKind::Rollback { .. }
            | StatementKind::PrepareTransaction
    )
}
