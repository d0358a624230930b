//! What a specification says: setup, sessions with their named steps, and the permutations to run.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::scenario::source::{Source, SqlText};

/// A checked specification.
#[derive(Debug, Clone)]
pub struct Specification {
    /// The file's stem, or the name that the caller gave the text.
    pub name: String,
    pub source: Arc<Source>,
    /// Run one after the other on the control connection, before every permutation.
    pub setups: Vec<SqlText>,
    pub teardown: Option<SqlText>,
    /// At least one.
    pub sessions: Vec<Session>,
    /// `None` if the file names none: all interleavings are meant.
    pub permutations: Option<Vec<Permutation>>,
}

#[derive(Debug, Clone)]
pub struct Session {
    pub name: String,
    pub setup: Option<SqlText>,
    /// At least one.
    pub steps: Vec<Step>,
    pub teardown: Option<SqlText>,
}

#[derive(Debug, Clone)]
pub struct Step {
    /// Unique within the specification.
    pub name: String,
    pub sql: SqlText,
}

/// A step of a specification, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId {
    pub session: usize,
    pub step: usize,
}

/// Steps in the order in which they are sent. It may leave steps out and use steps more than once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permutation {
    pub steps: Vec<PermutationStep>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermutationStep {
    pub id: StepId,
    /// What has to happen before the step may be reported as completed.
    pub markers: Vec<Marker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// `*`: the step is reported as waiting as soon as it is sent.
    Waiting,
    /// The name of another session's step: that step must not be under way.
    Completed(StepId),
    /// The name of another session's step and `notices N`: its session must have sent N notices since this step was
    /// sent.
    Notices { of: StepId, count: u64 },
}

impl Specification {
    pub fn step(&self, id: StepId) -> &Step {
        &self.sessions[id.session].steps[id.step]
    }

    /// Steps that the named permutations leave out, ordered by name; empty if all interleavings are meant.
    pub fn unused_steps(&self) -> Vec<&str> {
        let Some(permutations) = &self.permutations else {
            return Vec::new();
        };
        let steps = permutations.iter().flat_map(|each| &each.steps);
        let used: HashSet<StepId> = steps.map(|step| step.id).collect();
        let mut unused: Vec<&str> = self
            .step_ids()
            .filter(|id| !used.contains(id))
            .map(|id| self.step(id).name.as_str())
            .collect();
        unused.sort_unstable();
        unused
    }

    pub(crate) fn step_ids(&self) -> impl Iterator<Item = StepId> {
        self.sessions.iter().enumerate().flat_map(|(session, steps)| {
            let ids = 0..steps.steps.len();
            ids.map(move |step| StepId { session, step })
        })
    }

    /// The permutation as a specification writes it, every name in quotes.
    pub fn written<'a>(&'a self, permutation: &'a Permutation) -> impl fmt::Display + 'a {
        Written(self, permutation)
    }
}

struct Written<'a>(&'a Specification, &'a Permutation);

impl Written<'_> {
    fn name(&self, id: StepId) -> String {
        format!("\"{}\"", self.0.step(id).name.replace('"', "\"\""))
    }
}

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "permutation")?;
        for step in &self.1.steps {
            write!(f, " {}", self.name(step.id))?;
            for (index, marker) in step.markers.iter().enumerate() {
                write!(f, "{}", if index == 0 { "(" } else { ", " })?;
                match marker {
                    Marker::Waiting => write!(f, "*")?,
                    Marker::Completed(other) => write!(f, "{}", self.name(*other))?,
                    Marker::Notices { of, count } => write!(f, "{} notices {count}", self.name(*of))?,
                }
            }
            if !step.markers.is_empty() {
                write!(f, ")")?;
            }
        }
        Ok(())
    }
}
