//! Samples schedules: uniform over interleavings.

use rand::Rng;
use rand::seq::SliceRandom;

use super::samples::Samples;
use super::{Job, Key, Ordered, Strategy, turns};
use crate::run::Run;
use crate::scenario::Scenario;

/// Draws whole orders of all turns, each as likely as any other (drawing at each choice would favour schedules in which
/// few sessions are left), and runs them as [`Ordered`] does.
pub struct Random {
    samples: Samples,
    /// Each session as often as it has turns.
    turns: Vec<usize>,
}

impl Random {
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

    /// The order of a sample depends on the seed and its number alone.
    fn order(&self, sample: u64) -> Vec<usize> {
        let mut rng = self.samples.rng(sample);
        // the first numbers of neighbouring streams are independent, but cost nothing to skip past the seed's own
        let _ = rng.next_u64();
        let mut order = self.turns.clone();
        order.shuffle(&mut rng);
        order
    }
}

impl Strategy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn seed(&self) -> Option<u64> {
        Some(self.samples.seed)
    }

    fn is_exhaustive(&self) -> bool {
        false
    }

    fn planned(&self) -> Option<u64> {
        Some(self.samples.total)
    }

    fn next(&mut self) -> Option<Job> {
        let (key, sample) = self.samples.take()?;
        let order = self.order(sample);
        Some(Job {
            key,
            scheduler: Box::new(Ordered::new(order)),
        })
    }

    fn next_key(&self) -> Option<Key> {
        self.samples.next_key()
    }

    fn observe(&mut self, _key: &Key, _run: &Run) -> Option<String> {
        None
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
            *seen.entry(random.order(sample)).or_default() += 1;
        }
        // ten interleavings, a thousand expected of each; eight standard deviations to either side
        assert_eq!(seen.len(), 10);
        assert!(seen.values().all(|count| (760..1240).contains(count)), "{seen:?}");
    }
}
