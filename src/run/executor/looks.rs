//! When to look at the lock table.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Pauses between two looks at the lock table; the last one repeats. The first looks follow at once.
const BACKOFF_MILLIS: [u64; 9] = [0, 0, 0, 1, 1, 2, 4, 8, 16];

/// The looks while sessions run: often at first, then less and less.
pub(super) struct Looks {
    /// How many have been answered since a session last finished.
    answered: usize,
    /// Whether the next is wanted now.
    pub due: bool,
    /// Over when the next is wanted.
    pub pause: Pin<Box<Sleep>>,
}

impl Looks {
    /// The first comes at once where a session `may_block`, and after a pause where there is nothing to wait for.
    pub fn new(may_block: bool) -> Looks {
        let answered = match may_block {
            true => 0,
            false => BACKOFF_MILLIS.iter().position(|&pause| pause > 0).unwrap_or_default(),
        };
        Looks {
            answered,
            due: may_block,
            pause: Box::pin(sleep(pause_before(answered))),
        }
    }

    /// A look was answered: the next comes after a pause.
    pub fn answered(&mut self) {
        self.answered += 1;
        self.pause.set(sleep(pause_before(self.answered)));
    }

    /// A session finished, which may have released others: the next looks come at once again.
    pub fn start_over(&mut self) {
        self.answered = 0;
        self.due = true;
    }
}

/// The pause once there is no hurry.
pub(super) fn longest_pause() -> Duration {
    pause_before(usize::MAX)
}

fn pause_before(look: usize) -> Duration {
    Duration::from_millis(BACKOFF_MILLIS[look.min(BACKOFF_MILLIS.len() - 1)])
}
