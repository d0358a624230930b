//! Which runs were of the programs themselves, and a sample of the others to be run with them.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::run::{Run, RunSource};

/// How many runs from what was learned are run with the programs at the end.
const SAMPLE: usize = 10;

/// The seed of that sample.
const SEED: u64 = 1;

/// How many runs there were, by where the programs' deeds came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// Of the programs themselves, those that confirm others included.
    pub live: u64,
    /// From what was learned of the programs.
    pub learned: u64,
    /// How many of the latter did the same when they were run with the programs.
    pub confirmed_live: u64,
}

/// Counts runs, and draws the sample: each run from what was learned is in it with the same probability (Vitter, Random
/// Sampling with a Reservoir, ACM TOMS 1985, algorithm R).
#[derive(Debug)]
pub struct BySource {
    pub counts: RunCounts,
    sample: Vec<Run>,
    rng: ChaCha8Rng,
}

impl Default for BySource {
    fn default() -> BySource {
        BySource {
            counts: RunCounts::default(),
            sample: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(SEED),
        }
    }
}

impl BySource {
    /// Takes in a run. `checked` says that it was run again with the programs.
    pub fn count(&mut self, run: &Run, checked: bool) {
        self.counts.live += u64::from(run.source == RunSource::Programs) + u64::from(checked);
        if run.source == RunSource::Programs {
            return;
        }
        self.counts.learned += 1;
        if run.source == RunSource::Confirmed {
            self.counts.confirmed_live += 1;
            return;
        }
        if self.sample.len() < SAMPLE {
            self.sample.push(run.clone());
            return;
        }
        let place = self.rng.random_range(0..self.counts.learned);
        if let Some(kept) = usize::try_from(place).ok().and_then(|place| self.sample.get_mut(place)) {
            *kept = run.clone();
        }
    }

    /// The sample.
    pub fn into_sample(self) -> Vec<Run> {
        self.sample
    }
}
