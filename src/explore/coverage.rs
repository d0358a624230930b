//! What the schedules that a strategy has run stand for.

use num_bigint::BigUint;

/// What a strategy has covered so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// The strategy's name, as the command line spells it.
    pub strategy: &'static str,
    /// The seed that it draws with; `None` where it enumerates.
    pub seed: Option<u64>,
    /// To have run all its schedules is to have covered every interleaving.
    pub is_exhaustive: bool,
    /// Schedules that those run stand for, themselves included, where it can be counted.
    pub schedules: Option<BigUint>,
    /// Schedules were left out in which a session only waits for what it could take when it is free.
    pub leaves_out_waits: bool,
    /// Schedules that turned out to be like one that had been run.
    pub redundant: u64,
    /// What else there is to say of it.
    pub notes: Vec<String>,
}

impl Coverage {
    /// Of a strategy that runs every schedule.
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

    /// Of a strategy that samples.
    pub fn sampled(strategy: &'static str, seed: u64) -> Coverage {
        Coverage {
            seed: Some(seed),
            is_exhaustive: false,
            ..Coverage::exhaustive(strategy)
        }
    }
}
