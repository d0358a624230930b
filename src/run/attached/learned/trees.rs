//! What programs do next, by all that they have done and been told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::repeated::Repeated;
use crate::history::{Answer, Exit};
use crate::process::Output;

/// What has been learned of a scenario's programs. All workers share it.
#[derive(Debug, Default)]
pub struct Learned {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    next: HashMap<u64, Next>,
    /// What decided which requests were steps as this was learned.
    treatment: Treatment,
    /// The programs meet elsewhere than in the database, or nothing is to be learned.
    stopped: bool,
}

/// What decides which requests are steps, beside the requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Treatment {
    pub begins_apart: bool,
    pub tables_locked: bool,
    pub changes_schema: bool,
}

#[derive(Debug)]
struct Next {
    identity: u64,
    doing: Arc<Doing>,
}

/// What a program does.
#[derive(Debug)]
pub enum Doing {
    /// It uses a connection for the first time.
    Connects(Opening),
    Asks {
        /// The session's own number of the connection.
        link: usize,
        repeated: Repeated,
    },
    /// It closes a connection.
    Leaves { link: usize },
    Ends {
        exit: Option<Exit>,
        answer: Option<Answer>,
        output: Output,
    },
    /// Something that only the program itself can do, or not always the same.
    Unrepeatable,
}

/// How a connection was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Those that its client has logged in with.
    pub parameters: Vec<(String, String)>,
    /// What the driver has set before the first step.
    pub settings: Vec<String>,
}

impl Learned {
    /// Takes down what a program has done after `path`. Where another run has shown something else, only the program knows.
    pub fn put(&self, path: u64, identity: u64, doing: impl FnOnce() -> Doing) {
        let mut known = self.known();
        if known.stopped {
            return;
        }
        match known.next.get_mut(&path) {
            Some(next) if next.identity == identity => {}
            Some(next) => next.doing = Arc::new(Doing::Unrepeatable),
            None => {
                let doing = Arc::new(doing());
                known.next.insert(path, Next { identity, doing });
            }
        }
    }

    /// What a program does after `path`, if that is known.
    pub fn next(&self, path: u64) -> Option<Arc<Doing>> {
        self.known().next.get(&path).map(|next| next.doing.clone())
    }

    /// Whether anything is known, given what decides now which requests are steps.
    pub fn is_of_use(&self, treatment: Treatment) -> bool {
        let mut known = self.known();
        if known.treatment != treatment {
            known.treatment = treatment;
            known.next.clear();
        }
        !known.next.is_empty()
    }

    /// Every run is one of the programs themselves from now on.
    pub fn stop(&self) {
        let mut known = self.known();
        known.stopped = true;
        known.next.clear();
    }

    /// Another thread can have left nothing half done.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_runs_show_differently_is_left_to_the_program() {
        let learned = Learned::default();
        let leaves = || Doing::Leaves { link: 0 };
        learned.put(1, 7, leaves);
        learned.put(1, 7, leaves);
        assert!(matches!(*learned.next(1).unwrap(), Doing::Leaves { link: 0 }));
        learned.put(1, 8, leaves);
        assert!(matches!(*learned.next(1).unwrap(), Doing::Unrepeatable));
        learned.put(1, 7, leaves);
        assert!(matches!(*learned.next(1).unwrap(), Doing::Unrepeatable));
        assert!(learned.next(2).is_none());
    }

    #[test]
    fn what_was_learned_is_of_no_use_once_other_requests_are_steps() {
        let learned = Learned::default();
        assert!(!learned.is_of_use(Treatment::default()));
        learned.put(1, 7, || Doing::Unrepeatable);
        assert!(learned.is_of_use(Treatment::default()));
        let other = Treatment {
            tables_locked: true,
            ..Treatment::default()
        };
        assert!(!learned.is_of_use(other));
        learned.stop();
        learned.put(1, 7, || Doing::Unrepeatable);
        assert!(!learned.is_of_use(other));
    }
}
