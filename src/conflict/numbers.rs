//! The numbers of transactions, which order the waits for rows that several transactions hold.

use std::collections::BTreeSet;

use super::footprint::{Footprint, LockStrength, Object};
use super::program::SessionProgram;

/// A transaction that waits for a row held by several transactions waits for one of them at a time, in the order of
/// their numbers, and a deadlock is detected only through the one that it waits for.
pub fn order_numbers(sessions: &mut [SessionProgram]) {
    for session in numbered_sessions(sessions, None) {
        for step in &mut sessions[session].steps {
            let footprint = &mut step.facts.footprint;
            let claims_something = footprint.claims().next().is_some();
            footprint.numbered = claims_something;
        }
    }
}

/// The sessions whose transactions' numbers matter for objects other than `but`.
pub fn numbered_sessions(sessions: &[SessionProgram], but: Option<&Object>) -> BTreeSet<usize> {
    const ALL: [LockStrength; 4] = [
        LockStrength::KeyShare,
        LockStrength::Share,
        LockStrength::NoKeyUpdate,
        LockStrength::Update,
    ];
    let steps: Vec<Vec<&Footprint>> = sessions
        .iter()
        .map(|session| session.steps.iter().map(|step| &step.facts.footprint).collect())
        .collect();
    let objects: BTreeSet<Object> = steps
        .iter()
        .flatten()
        .flat_map(|one| one.locks.keys().chain(&one.checks).cloned())
        .collect();
    let mut numbered = BTreeSet::new();
    for object in objects.into_iter().filter(|object| Some(object) != but) {
        let strengths = |steps: &[&Footprint]| -> BTreeSet<LockStrength> {
            let claimed = |one: &&Footprint| match one.unknown {
                true => ALL.to_vec(),
                false => one
                    .claims()
                    .filter(|(claimed, _)| **claimed == object)
                    .map(|(_, strength)| strength)
                    .collect(),
            };
            steps.iter().flat_map(claimed).collect()
        };
        let claims: Vec<(usize, LockStrength)> = steps
            .iter()
            .enumerate()
            .flat_map(|(session, steps)| strengths(steps).into_iter().map(move |strength| (session, strength)))
            .collect();
        let held_together = |(one, a): (usize, LockStrength)| {
            let claims = &claims;
            claims
                .iter()
                .filter(move |(other, b)| one < *other && !a.conflicts_with(*b))
                .map(move |&(other, b)| [(one, a), (other, b)])
        };
        let waits_for_both = |holders: [(usize, LockStrength); 2]| {
            claims.iter().any(|(waiter, strength)| {
                holders
                    .iter()
                    .all(|(holder, held)| waiter != holder && strength.conflicts_with(*held))
            })
        };
        if claims.iter().copied().flat_map(held_together).any(waits_for_both) {
            numbered.extend(claims.iter().map(|(session, _)| *session));
        }
    }
    numbered
}
