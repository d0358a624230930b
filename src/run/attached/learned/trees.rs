//! What programs do next, by all that they have done and been told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::repeated::Repeated;
use crate::history::{Answer, Exit, NoAnswer};
use crate::process::Output;

/// What has been learned of a scenario's programs: a tree for each, in which a path is all that a program has done and been told,
/// and what it does next stands at the path's hash. All workers share it.
#[derive(Debug)]
pub struct Learned<D> {
    known: Mutex<Known<D>>,
}

#[derive(Debug)]
struct Known<D> {
    next: HashMap<u64, Next<D>>,
    /// By program: the paths on which it has come to its end.
    ended: BTreeMap<String, BTreeSet<u64>>,
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
struct Next<D> {
    identity: u64,
    /// `None` for what only the program itself can do, or does not always do.
    doing: Option<Arc<D>>,
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
        answer: Option<Result<Answer, NoAnswer>>,
        output: Output,
    },
}

/// How a connection was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Those that its client has logged in with.
    pub parameters: Vec<(String, String)>,
    /// What the driver has set before the first step.
    pub settings: Vec<String>,
}

impl<D> Default for Learned<D> {
    fn default() -> Learned<D> {
        Learned {
            known: Mutex::new(Known {
                next: HashMap::new(),
                ended: BTreeMap::new(),
                treatment: Treatment::default(),
                stopped: false,
            }),
        }
    }
}

impl<D> Learned<D> {
    /// Takes down what a program has done after `path`; `None` for what cannot be repeated. Where another run has shown something
    /// else, only the program knows.
    pub fn put(&self, path: u64, identity: u64, doing: impl FnOnce() -> Option<D>) {
        let mut known = self.known();
        if known.stopped {
            return;
        }
        match known.next.get_mut(&path) {
            Some(next) if next.identity == identity => {}
            Some(next) => next.doing = None,
            None => {
                let doing = doing().map(Arc::new);
                known.next.insert(path, Next { identity, doing });
            }
        }
    }

    /// What a program does after `path`, if that is known.
    pub fn next(&self, path: u64) -> Option<Arc<D>> {
        self.known().next.get(&path)?.doing.clone()
    }

    /// Takes down that a program has come to its end after `path`.
    pub fn end(&self, program: &str, path: u64) {
        self.known().ended.entry(program.to_owned()).or_default().insert(path);
    }

    /// By program: on how many paths it has come to its end.
    pub fn paths(&self) -> Vec<(String, usize)> {
        let known = self.known();
        let count = |(program, paths): (&String, &BTreeSet<u64>)| (program.clone(), paths.len());
        known.ended.iter().map(count).collect()
    }

    /// Whether anything is known, given what decides now which requests are steps.
    pub fn is_of_use(&self, treatment: Treatment) -> bool {
        let mut known = self.known();
        if known.treatment != treatment {
            known.treatment = treatment;
            known.next.clear();
            known.ended.clear();
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
    fn known(&self) -> MutexGuard<'_, Known<D>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_runs_show_differently_is_left_to_the_program() {
        let learned = Learned::default();
        let leaves = || Some("leaves");
        learned.put(1, 7, leaves);
        learned.put(1, 7, leaves);
        assert_eq!(learned.next(1).as_deref(), Some(&"leaves"));
        learned.put(1, 8, leaves);
        assert_eq!(learned.next(1), None);
        learned.put(1, 7, leaves);
        assert_eq!(learned.next(1), None);
    }

    #[test]
    fn what_was_learned_is_of_no_use_once_other_requests_are_steps() {
        let learned = Learned::default();
        assert!(!learned.is_of_use(Treatment::default()));
        learned.put(1, 7, || Some(()));
        assert!(learned.is_of_use(Treatment::default()));
        let other = Treatment {
            tables_locked: true,
            ..Treatment::default()
        };
        assert!(!learned.is_of_use(other));
        learned.stop();
        learned.put(1, 7, || Some(()));
        assert!(!learned.is_of_use(other));
    }
}
