//! What a smaller schedule has to violate.

use std::collections::BTreeSet;

use crate::history::{Exit, NoAnswer};
use crate::run::Run;
use crate::scenario::Scenario;
use crate::verdict::outcome::Violation;

/// The violations of the failing run, without distinguishing sessions that are copies of each other. A smaller run
/// fails in the same way if it has the first of them and none that is not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    first: Cause,
    all: BTreeSet<Cause>,
}

/// A violation, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Invariant(String),
    InvariantError(String),
    /// An error ended a session of this `[[session]]` entry.
    Error {
        entry: Option<usize>,
        sqlstate: String,
    },
    /// The program of this `[[session]]` entry ended in this way.
    Exit {
        entry: Option<usize>,
        exit: Exit,
    },
    Status {
        entry: Option<usize>,
        status: u16,
    },
    /// A request of this `[[session]]` entry got no answer.
    NoAnswer {
        entry: Option<usize>,
        cause: NoAnswer,
    },
    Deadlock,
    NotSerializable,
}

impl Target {
    /// What this run violates; `None` if it violates nothing.
    pub fn of(run: &Run, scenario: &Scenario) -> Option<Target> {
        let causes: Vec<Cause> = causes(&run.violations, scenario).collect();
        Some(Target {
            first: causes.first()?.clone(),
            all: causes.into_iter().collect(),
        })
    }

    /// Whether a run fails in the same way.
    pub fn is_met(&self, run: &Run, scenario: &Scenario) -> bool {
        let found: BTreeSet<Cause> = causes(&run.violations, scenario).collect();
        run.uncontrolled.is_empty() && found.contains(&self.first) && found.is_subset(&self.all)
    }

    /// Whether a run has the first violation, whatever others it has.
    pub fn is_touched(&self, run: &Run, scenario: &Scenario) -> bool {
        causes(&run.violations, scenario).any(|cause| cause == self.first)
    }

    /// Whether the invariant with this name is among the violations.
    pub fn names_invariant(&self, name: &str) -> bool {
        self.all.iter().any(|cause| match cause {
            Cause::Invariant(own) | Cause::InvariantError(own) => own == name,
            Cause::Error { .. }
            | Cause::Exit { .. }
            | Cause::Status { .. }
            | Cause::NoAnswer { .. }
            | Cause::Deadlock
            | Cause::NotSerializable => false,
        })
    }
}

/// The index of a session's `[[session]]` entry.
fn entry_of(scenario: &Scenario, session: &str) -> Option<usize> {
    let found = scenario.sessions.iter().find(|other| other.name == session);
    found.map(|session| session.entry)
}

fn causes<'a>(violations: &'a [Violation], scenario: &'a Scenario) -> impl Iterator<Item = Cause> + 'a {
    violations.iter().map(|violation| match violation {
        Violation::Invariant { name, .. } => Cause::Invariant(name.clone()),
        Violation::InvariantError { name, .. } => Cause::InvariantError(name.clone()),
        Violation::Error { session, sqlstate, .. } => Cause::Error {
            entry: entry_of(scenario, session),
            sqlstate: sqlstate.clone(),
        },
        Violation::Exit { session, exit } => Cause::Exit {
            entry: entry_of(scenario, session),
            exit: *exit,
        },
        Violation::Status { session, status } => Cause::Status {
            entry: entry_of(scenario, session),
            status: *status,
        },
        Violation::NoAnswer { session, cause } => Cause::NoAnswer {
            entry: entry_of(scenario, session),
            cause: cause.clone(),
        },
        Violation::Deadlock { .. } => Cause::Deadlock,
        Violation::NotSerializable { .. } => Cause::NotSerializable,
    })
}
