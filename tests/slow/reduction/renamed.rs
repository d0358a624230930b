//! Outcomes whatever the names of interchangeable sessions.

use std::collections::BTreeSet;

use pgbraid::history::StepOutcome;
use pgbraid::scenario::Scenario;
use pgbraid::verdict::outcome::Outcome;

use super::compare::Found;

/// The ids of the outcomes that were found, and of all that come of them when sessions that are alike change places.
/// They retry nothing, so that a history has exactly the results that count.
pub fn closure(scenario: &Scenario, found: &Found, alike: impl Fn(usize, usize) -> bool) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for run in found.outcomes.values() {
        let results = |session: usize| {
            let own = run.history.turns.iter().filter(move |turn| turn.session == session);
            own.map(|turn| StepOutcome {
                origin: turn.origin,
                end: turn.tx.end,
                result: turn.result.clone(),
            })
            .collect::<Vec<_>>()
        };
        for places in permutations(scenario.sessions.len()) {
            if (0..places.len()).all(|session| alike(session, places[session])) {
                let results: Vec<_> = places.iter().map(|&session| results(session)).collect();
                let ends: Vec<_> = places
                    .iter()
                    .map(|&session| run.history.ends[session].clone())
                    .collect();
                ids.insert(Outcome::new(scenario, &results, &ends, run.outcome.tables.clone()).id);
            }
        }
    }
    ids
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for next in 0..count {
        let longer = |order: &Vec<usize>| {
            let with_next_at = |place: usize| {
                let mut order = order.clone();
                order.insert(place, next);
                order
            };
            (0..=order.len()).map(with_next_at).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}
