//! What the schedules that a strategy has run stand for.

use num_bigint::BigUint;

/// What a strategy has covered so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// The strategy's name, as the command line spells it.
    pub strategy: &'static str,
    /// The seed that it draws with; `None` if it enumerates.
    pub seed: Option<u64>,
    /// Having run all its schedules means having covered every interleaving.
    pub is_exhaustive: bool,
    /// The number of schedules that its runs stand for, themselves included, if it can be counted.
    pub schedules: Option<BigUint>,
    /// Schedules were left out in which a session only waits for what it could take later, when it is free.
    pub leaves_out_waits: bool,
    /// Schedules that turned out to be equivalent to an earlier one.
    pub redundant: u64,
    /// Further remarks.
    pub notes: Vec<String>,
}

impl Coverage {
    /// The coverage of a strategy that runs every schedule.
    pub fn exhaustive(strategy: &'static str) -> Coverage {
        Coverage {
            strategy,
            seed: None,
            is_exhaustive: true,
            schedules: None,
            leaves_out_waits: false,
            redundant: 0,
            notes: Vec::new(),
        }
    }

    /// The coverage of a strategy that samples.
    pub fn sampled(strategy: &'static str, seed: u64) -> Coverage {
        Coverage {
            seed: Some(seed),
            is_exhaustive: false,
            ..Coverage::exhaustive(strategy)
        }
    }
}
