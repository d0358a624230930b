//! The reduction, with samples in between: a search that takes long finds sooner what many schedules show.

use super::{Dpor, Job, Key, Random, Strategy};
use crate::explore::Coverage;
use crate::history::Uncontrolled;
use crate::run::Run;

/// The reduction has run so many schedules before the first sample.
const AHEAD: u32 = 8;

/// How many samples there are at most.
pub const MOST_SAMPLES: u64 = 40;

/// The seed of the samples.
pub const SEED: u64 = 1;

/// Runs the schedules of the reduction, and after each one a sample.
pub struct Mixed {
    reduction: Dpor,
    samples: Random,
    /// Schedules of the reduction that were handed out, and that came back.
    handed_out: u32,
    observed: u32,
    drawn: u32,
}

impl Mixed {
    pub fn new(reduction: Dpor, samples: Random) -> Mixed {
        Mixed {
            reduction,
            samples,
            handed_out: 0,
            observed: 0,
            drawn: 0,
        }
    }

    /// The key of the next sample, where the reduction has something left to do and is not too far behind. A sample comes
    /// after the schedule of the reduction with the same first number.
    fn next_sample(&self) -> Option<Key> {
        let place = self.drawn + AHEAD - 1;
        let is_due = self.observed > place && self.reduction.next_key().is_some();
        (is_due && self.samples.next_key().is_some()).then(|| vec![place, 1])
    }
}

impl Strategy for Mixed {
    fn coverage(&self) -> Coverage {
        let mut coverage = self.reduction.coverage();
        if self.drawn > 0 {
            coverage.notes.push(match self.drawn {
                1 => "1 schedule was drawn at random, to find failures early".to_owned(),
                drawn => format!("{drawn} schedules were drawn at random, to find failures early"),
            });
        }
        coverage
    }

    fn begins_again(&self) -> bool {
        self.reduction.begins_again()
    }

    fn next(&mut self) -> Option<Job> {
        let key = self.next_key()?;
        let is_sample = self.next_sample().as_ref() == Some(&key);
        let job = if is_sample {
            self.drawn += 1;
            self.samples.next()
        } else {
            self.handed_out += 1;
            self.reduction.next()
        };
        job.map(|job| Job { key, ..job })
    }

    fn next_key(&self) -> Option<Key> {
        let reduction = self.reduction.next_key().map(|_| vec![self.handed_out, 0]);
        self.next_sample().into_iter().chain(reduction).min()
    }

    fn observe(&mut self, key: &Key, run: &Run) -> Option<Uncontrolled> {
        match key.as_slice() {
            [_, 1] => None,
            _ => {
                self.observed += 1;
                self.reduction.observe(key, run)
            }
        }
    }
}
