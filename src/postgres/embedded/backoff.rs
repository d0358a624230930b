use std::thread;
use std::time::{Duration, Instant};

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(10);

/// Waits between two looks at something, each time longer than before, until a limit has passed.
pub(super) struct Backoff {
    deadline: Instant,
    next: Duration,
}

impl Backoff {
    pub fn new(limit: Duration) -> Backoff {
        Backoff {
            deadline: Instant::now() + limit,
            next: SHORTEST,
        }
    }

    /// Waits; returns false at once if the limit has passed.
    pub fn wait(&mut self) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        thread::sleep(self.next);
        self.next = (self.next * 2).min(LONGEST);
        true
    }
}
