//! Samples schedules: uniform over interleavings.

use std::collections::VecDeque;

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::samples::Samples;
use super::{Job, Key, Strategy};
use crate::explore::{Coverage, turns};
use crate::history::Uncontrolled;
use crate::history::{MoveKind, SoFar};
use crate::run::{Candidate, Entry, Run, Scheduler, take_first};
use crate::scenario::Scenario;

/// Draws whole orders of all declared steps, each with equal probability (drawing at each choice would favour schedules
/// in which few sessions are left), and runs them as [`Ordered`](crate::run::Ordered) does. An order does not tell
/// which steps wait: when a session is released, the position of its resumption is drawn, with equal probability, among
/// the possible ones, from at once to right before the session's next step. Whether the timeout of a blocked session
/// expires before it is released is a fair coin, and if it does, its position is drawn in the same way.
pub struct Random {
    samples: Samples,
    /// Each session as often as it has turns.
    turns: Vec<usize>,
}

impl Random {
    /// Draws `samples` schedules of a scenario. The same `seed` draws the same ones.
    pub fn new(scenario: &Scenario, seed: u64, samples: u64) -> Random {
        let turns = scenario
            .sessions
            .iter()
            .enumerate()
            .flat_map(|(index, session)| std::iter::repeat_n(index, turns(session) as usize))
            .collect();
        Random {
            samples: Samples::new(seed, samples),
            turns,
        }
    }

    /// A sample depends on the seed and its number alone.
    fn drawn(&self, sample: u64) -> Drawn {
        let mut rng = self.samples.rng(sample);
        // the first numbers of neighbouring streams are independent, but skipping the first one costs nothing
        let _ = rng.next_u64();
        let mut order = self.turns.clone();
        order.shuffle(&mut rng);
        Drawn {
            order: order.into_iter().map(|session| (session, false)).collect(),
            placed: Vec::new(),
            rng,
        }
    }
}

impl Strategy for Random {
    fn coverage(&self) -> Coverage {
        Coverage::sampled("random", self.samples.seed)
    }

    fn planned(&self) -> Option<u64> {
        Some(self.samples.total)
    }

    fn next(&mut self) -> Option<Job> {
        let (key, sample) = self.samples.take()?;
        let scheduler = Box::new(self.drawn(sample));
        Some(Job { key, scheduler })
    }

    fn next_key(&self) -> Option<Key> {
        self.samples.next_key()
    }

    fn observe(&mut self, _key: &Key, _run: &Run) -> Option<Uncontrolled> {
        None
    }
}

/// One schedule.
struct Drawn {
    order: VecDeque<Entry>,
    /// Released sessions whose resumption has its position in the order, and blocked ones for which it is decided
    /// whether their timeout expires.
    placed: Vec<Entry>,
    rng: ChaCha8Rng,
}

impl Drawn {
    fn place(&mut self, (session, expires): Entry) {
        self.placed.push((session, expires));
        if expires && self.rng.next_u64().is_multiple_of(2) {
            return;
        }
        let next = self.order.iter().position(|(other, _)| *other == session);
        let places = next.unwrap_or(self.order.len()) as u64 + 1;
        self.order
            .insert((self.rng.next_u64() % places) as usize, (session, expires));
    }
}

impl Scheduler for Drawn {
    fn choose(&mut self, _so_far: SoFar<'_>, ready: &[Candidate<'_>]) -> usize {
        for candidate in ready {
            let entry = (candidate.session, candidate.kind == MoveKind::Timeout);
            if candidate.kind == MoveKind::Resume {
                // it was released first
                self.order.retain(|other| *other != (candidate.session, true));
            }
            if candidate.kind != MoveKind::Step && !self.placed.contains(&entry) {
                self.place(entry);
            }
        }
        let chosen = take_first(&mut self.order, ready);
        self.placed.retain(|(session, _)| *session != chosen);
        chosen
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_interleaving_is_as_likely_as_any_other() {
        let text = r#"
            [[session]]
            name = "long"
            steps = ["BEGIN", "SELECT 1", "SELECT 2", "COMMIT"]
            [[session]]
            name = "short"
            steps = ["SELECT 1"]
        "#;
        let scenario = Scenario::from_toml("test", "test.toml", text, Path::new(".")).unwrap();
        let random = Random::new(&scenario, 7, 0);
        let mut seen: HashMap<Vec<usize>, u32> = HashMap::new();
        for sample in 0..10_000 {
            let order = random.drawn(sample).order;
            *seen
                .entry(order.into_iter().map(|(session, _)| session).collect())
                .or_default() += 1;
        }
        // ten interleavings, each expected a thousand times; eight standard deviations to either side
        assert_eq!(seen.len(), 10);
        assert!(seen.values().all(|count| (760..1240).contains(count)), "{seen:?}");
    }
}
