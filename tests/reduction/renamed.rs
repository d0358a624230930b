//! Outcomes whatever the names of interchangeable sessions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pgbraid::explore::{Exploration, Ordered};
use pgbraid::run::{Template, Workbench};
use pgbraid::verdict::outcome::Outcome;

use super::host::Host;

/// The ids of an exploration's outcomes and of all that come of them when copies change places. The sessions retry
/// nothing, so that a history has exactly the results that count.
pub fn closure(host: &Host, template: &Arc<Template>, exploration: &Exploration) -> BTreeSet<String> {
    let scenario = template.scenario();
    let mut workbench = host
        .runtime
        .block_on(Workbench::open(template.clone(), Duration::from_secs(60)))
        .unwrap();
    let mut ids = BTreeSet::new();
    for tally in &exploration.outcomes {
        let mut order = Ordered::new(tally.order.clone());
        let run = host.runtime.block_on(workbench.run(&mut order)).unwrap();
        let results = |session: usize| {
            let own = run.history.turns.iter().filter(move |turn| turn.session == session);
            own.map(|turn| (turn.step_index, turn.role, turn.result.clone()))
                .collect::<Vec<_>>()
        };
        for places in permutations(scenario.sessions.len()) {
            let alike = |session: usize| {
                let (one, other) = (&scenario.sessions[session], &scenario.sessions[places[session]]);
                one.entry == other.entry && one.params == other.params
            };
            if !(0..places.len()).all(alike) {
                continue;
            }
            let results: Vec<_> = places.iter().map(|&session| results(session)).collect();
            let ends: Vec<_> = places.iter().map(|&session| run.history.ends[session].clone()).collect();
            ids.insert(Outcome::new(scenario, &results, &ends, run.outcome.tables.clone()).id);
        }
    }
    ids
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for next in 0..count {
        let longer = |order: &Vec<usize>| {
            let at = |place: usize| {
                let mut order = order.clone();
                order.insert(place, next);
                order
            };
            (0..=order.len()).map(at).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}
