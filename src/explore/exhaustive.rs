//! Every schedule, depth first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Job, Key, Strategy};
use crate::run::history::Turn;
use crate::run::{Candidate, Run, Scheduler};

/// Runs a schedule, and at each turn that it chose itself notes the other choices as prefixes of schedules still to be
/// run. Of two choices the one that stays with the session that went on last comes first, so the first schedules are
/// those with the fewest switches.
#[derive(Default)]
pub struct Exhaustive {
    started: bool,
    /// By key: the rank of the choice at each turn of the prefix.
    pending: BTreeMap<Key, Prefix>,
    under_way: HashMap<Key, Prefix>,
}

#[derive(Clone, Default)]
struct Prefix {
    order: Vec<usize>,
    /// The run that the prefix was taken from.
    parent: Option<Arc<Run>>,
}

impl Exhaustive {
    pub fn new() -> Exhaustive {
        Exhaustive::default()
    }
}

impl Strategy for Exhaustive {
    fn name(&self) -> &'static str {
        "exhaustive"
    }

    fn is_exhaustive(&self) -> bool {
        true
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

    fn observe(&mut self, key: &Key, run: &Run) -> Option<String> {
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
        for (turn, decision) in run.decisions.iter().enumerate().skip(prefix.order.len()) {
            let last = turn.checked_sub(1).map(|before| order[before]);
            for (rank, choice) in candidates(&decision.ready, last).enumerate().skip(1) {
                let mut key = ranks.clone();
                key.push(rank as u32);
                let mut order = order[..turn].to_vec();
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

/// The sessions that can go on, in the order in which they are tried: the one that went on last first.
fn candidates(ready: &[usize], last: Option<usize>) -> impl Iterator<Item = usize> {
    let stay = last.filter(|last| ready.contains(last));
    stay.into_iter()
        .chain(ready.iter().copied().filter(move |session| Some(*session) != stay))
}

/// Follows a prefix, then takes the first choice each time.
struct DepthFirst {
    prefix: Vec<usize>,
    last: Option<usize>,
}

impl Scheduler for DepthFirst {
    fn choose(&mut self, turns: &[Turn], ready: &[Candidate<'_>]) -> usize {
        let ready: Vec<usize> = ready.iter().map(|candidate| candidate.session).collect();
        let planned = self
            .prefix
            .get(turns.len())
            .copied()
            .filter(|session| ready.contains(session));
        // `ready` is never empty
        let choice = planned
            .or_else(|| candidates(&ready, self.last).next())
            .unwrap_or_default();
        self.last = Some(choice);
        choice
    }
}

/// Where two runs that shared the turns before the last of `prefix` differ in what these turns did.
fn difference(parent: &Run, run: &Run, prefix: &[usize]) -> Option<String> {
    let shared = prefix.len().saturating_sub(1);
    for turn in 0..shared {
        let (Some(before), Some(now)) = (parent.history.turns.get(turn), run.history.turns.get(turn)) else {
            return Some(format!("one run of the same schedule ended before turn {}", turn + 1));
        };
        if parent.decisions[turn] != run.decisions[turn] {
            let name = &parent.history.sessions[before.session];
            return Some(format!(
                "in two runs of the same schedule, different sessions could go on before step {} of {name}",
                before.step
            ));
        }
        let over = before.finished_in < shared;
        let same = before.step == now.step
            && (before.finished_in < shared) == (now.finished_in < shared)
            && (!over || (before.result == now.result && before.waits == now.waits));
        if !same {
            return Some(format!(
                "in two runs of the same schedule, step {} of {} gave different results",
                before.step, parent.history.sessions[before.session]
            ));
        }
    }
    let planned = prefix.last().copied();
    (run.decisions.get(shared).map(|decision| decision.chosen) != planned).then(|| {
        format!(
            "a session that could go on at turn {} of one run could not in another",
            shared + 1
        )
    })
}
