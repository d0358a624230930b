//! The times that statements take, where something distinguishes times.

use super::analysis::StatementKnown;
use super::program::SessionProgram;
use super::statement::{Times, names_the_time};
use crate::postgres::catalog::Catalog;
use crate::postgres::quote_literal;
use crate::scenario::Param;

/// Whether a parameter of a session may be a time: the text 'now'.
pub fn is_given(session: &SessionProgram) -> bool {
    let mut params = session.params.values();
    params.any(|param| matches!(param, Param::Text(text) if names_the_time(&quote_literal(text))))
}

/// Marks the steps that take the time, if it matters when they do: something distinguishes times, and a step keeps a
/// time that it takes. Returns for each session whether it matters when its transactions begin.
pub fn note_times(sessions: &mut [SessionProgram], watchers: &[StatementKnown], catalog: &Catalog) -> Vec<bool> {
    let steps = || sessions.iter().flat_map(|session| &session.steps);
    let watched = watchers.iter().map(|watcher| watcher.meaning.times);
    let all = steps().map(|step| step.facts.meaning.times).chain(watched);
    let times = all.fold(Times::default(), Times::and);
    let is_kept = steps().any(|step| step.facts.meaning.times.keeps) || sessions.iter().any(is_given);
    let mut begins_apart = vec![false; sessions.len()];
    if !is_kept || !(times.tells || catalog.compares_times) {
        return begins_apart;
    }
    for (session, apart) in sessions.iter_mut().zip(&mut begins_apart) {
        let is_given = is_given(session);
        // the time of a transaction is that of its first statement
        for transaction in session.transactions() {
            let takes = |&step: &usize| is_given || session.steps[step].facts.meaning.times.takes;
            if transaction.iter().any(takes) {
                *apart = true;
                for step in transaction {
                    session.steps[step].facts.footprint.timed = true;
                }
            }
        }
    }
    begins_apart
}
