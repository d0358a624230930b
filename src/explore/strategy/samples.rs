//! Counts the samples of a strategy that draws them.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::Key;

/// A number of samples. Each depends only on the seed and its number.
pub struct Samples {
    pub seed: u64,
    pub total: u64,
    drawn: u64,
}

impl Samples {
    pub fn new(seed: u64, total: u64) -> Samples {
        Samples { seed, total, drawn: 0 }
    }

    /// The key of the next sample.
    pub fn next_key(&self) -> Option<Key> {
        (self.drawn < self.total).then(|| vec![(self.drawn >> 32) as u32, self.drawn as u32])
    }

    /// Takes the next sample: its key and its number.
    pub fn take(&mut self) -> Option<(Key, u64)> {
        let key = self.next_key()?;
        self.drawn += 1;
        Some((key, self.drawn - 1))
    }

    /// The random generator for a sample.
    pub fn rng(&self, sample: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(sample);
        rng
    }
}
