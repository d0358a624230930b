//! A scenario with less in it.

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
    /// Steps: index of the `[[session]]` entry, and of the step in it. Every copy goes without.
    pub steps: BTreeSet<(usize, usize)>,
}

/// The scenario without what is cut, and without invariants that are not wanted. `None` where a session has no step
/// left.
///
/// A transaction of which nothing but its begin and its end is left goes too.
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

/// Indexes of the steps that are left.
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

/// Whether leaving the step out leaves no transaction open, and none unopened.
pub fn can_be_cut(step: &Step) -> bool {
    !matches!(
        step.statement.kind,
        StatementKind::Begin
            | StatementKind::Commit { .. }
            | StatementKind::Rollback { .. }
            | StatementKind::PrepareTransaction
    )
}
