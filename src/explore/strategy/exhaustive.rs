//! Every schedule, depth first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Job, Key, Strategy};
use crate::explore::Coverage;
use crate::history::{MoveKind, SoFar};
use crate::history::{RunDifference, Uncontrolled};
use crate::run::{Candidate, Run, Scheduler};

/// Runs a schedule and, at each move that it chose itself, notes the other choices as prefixes of schedules still to be
/// run. The choice that stays with the session that moved last comes first, so the first schedules are those with the
/// fewest switches.
#[derive(Default)]
pub struct Exhaustive {
    started: bool,
    /// By key: the rank of the choice at each move of the prefix.
    pending: BTreeMap<Key, Prefix>,
    under_way: HashMap<Key, Prefix>,
}

#[derive(Clone, Default)]
struct Prefix {
    order: Vec<usize>,
    /// The run that the prefix branches off from.
    parent: Option<Arc<Run>>,
}

impl Exhaustive {
    /// A search that has not begun.
    pub fn new() -> Exhaustive {
        Exhaustive::default()
    }
}

impl Strategy for Exhaustive {
    fn coverage(&self) -> Coverage {
        Coverage::exhaustive("exhaustive")
    }

    fn next(&mut self) -> Option<Job> {
        if !std::mem::replace(&mut self.started, true) {
            self.pending.insert(Key::new(), Prefix::default());
        }
        let (key, prefix) = self.pending.pop_first()?;
        let scheduler = Box::new(DepthFirst {
            prefix: prefix.order.clone(),
            last: None,
        });
        self.under_way.insert(key.clone(), prefix);
        Some(Job { key, scheduler })
    }

    fn next_key(&self) -> Option<Key> {
        if !self.started {
            return Some(Key::new());
        }
        self.pending.first_key_value().map(|(key, _)| key.clone())
    }

    fn observe(&mut self, key: &Key, run: &Run) -> Option<Uncontrolled> {
        let prefix = self.under_way.remove(key)?;
        if let Some(difference) = prefix
            .parent
            .as_deref()
            .and_then(|parent| difference(parent, run, &prefix.order))
        {
            return Some(difference);
        }
        let order = run.order();
        let parent = Arc::new(run.clone());
        let mut ranks = key.clone();
        for (place, decision) in run.decisions.iter().enumerate().skip(prefix.order.len()) {
            let last = place.checked_sub(1).map(|before| order[before]);
            let ready: Vec<_> = decision
                .ready
                .iter()
                .copied()
                .zip(decision.kinds.iter().copied())
                .collect();
            for (rank, choice) in candidates(&ready, last).enumerate().skip(1) {
                let mut key = ranks.clone();
                key.push(rank as u32);
                let mut order = order[..place].to_vec();
                order.push(choice);
                self.pending.insert(
                    key,
                    Prefix {
                        order,
                        parent: Some(parent.clone()),
                    },
                );
            }
            ranks.push(0);
        }
        None
    }
}

/// The enabled sessions, in the order in which they are tried: the one that moved last first, timeouts last.
fn candidates(ready: &[(usize, MoveKind)], last: Option<usize>) -> impl Iterator<Item = usize> {
    let mut ready = ready.to_vec();
    ready.sort_by_key(|&(session, kind)| (kind == MoveKind::Timeout, Some(session) != last));
    ready.into_iter().map(|(session, _)| session)
}

/// Follows a prefix, then takes the first choice each time.
struct DepthFirst {
    prefix: Vec<usize>,
    last: Option<usize>,
}

impl Scheduler for DepthFirst {
    fn choose(&mut self, so_far: SoFar<'_>, ready: &[Candidate<'_>]) -> usize {
        let ready: Vec<_> = ready
            .iter()
            .map(|candidate| (candidate.session, candidate.kind))
            .collect();
        let planned = self
            .prefix
            .get(so_far.moves.len())
            .copied()
            .filter(|session| ready.iter().any(|(other, _)| other == session));
        // `ready` is never empty
        let choice = planned
            .or_else(|| candidates(&ready, self.last).next())
            .unwrap_or_default();
        self.last = Some(choice);
        choice
    }
}

/// Where two runs that shared the moves before the last of `prefix` differ in the effects of those moves.
fn difference(parent: &Run, run: &Run, prefix: &[usize]) -> Option<Uncontrolled> {
    let shared = prefix.len().saturating_sub(1);
    for place in 0..shared {
        let (Some(before), Some(now)) = (parent.history.moves.get(place), run.history.moves.get(place)) else {
            return Some(Uncontrolled::EndedEarly { number: place + 1 });
        };
        let turn = &parent.history.turns[before.turn];
        let session = &parent.history.sessions[before.session];
        if parent.decisions[place] != run.decisions[place] {
            return Some(Uncontrolled::RunsDiffer(RunDifference::Enabled {
                session: session.clone(),
                step: turn.step.clone(),
            }));
        }
        let same = |&turn: &usize| {
            let (before, now) = (&parent.history.turns[turn], &run.history.turns[turn]);
            before.step == now.step && before.result == now.result && before.waits == now.waits
        };
        if before != now || !before.finished.iter().all(same) {
            return Some(Uncontrolled::RunsDiffer(RunDifference::Result {
                session: session.clone(),
                step: turn.step.clone(),
            }));
        }
    }
    let planned = prefix.last().copied();
    (run.decisions.get(shared).map(|decision| decision.chosen) != planned)
        .then_some(Uncontrolled::NotEnabled { number: shared + 1 })
}
