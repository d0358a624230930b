//! A run that fails.

use crate::history::History;
use crate::process::Output;
use crate::run::Run;
use crate::verdict::dependencies::Explanation;
use crate::verdict::outcome::{TableContent, Violation};

/// A failing run in full.
#[derive(Debug, Clone)]
pub struct Failure {
    pub history: History,
    pub violations: Vec<Violation>,
    /// The tables at its end.
    pub tables: Vec<TableContent>,
    /// What programs printed, by the names of their sessions; those that printed nothing are left out.
    pub outputs: Vec<(String, Output)>,
    /// Its schedule: session names, one for each step.
    pub order: Vec<String>,
    /// How its committed transactions depend on each other, if that could be determined.
    pub explanation: Option<Explanation>,
}

impl Failure {
    pub fn new(run: &Run, explanation: Option<&Explanation>) -> Failure {
        let sessions = &run.history.sessions;
        Failure {
            history: run.history.clone(),
            violations: run.violations.clone(),
            tables: run.outcome.tables.clone(),
            outputs: run
                .outputs
                .iter()
                .filter(|(_, output)| *output != Output::default())
                .cloned()
                .collect(),
            order: named(&run.order(), |session| sessions.get(session).cloned()),
            explanation: explanation.cloned(),
        }
    }
}

/// The names of sessions.
pub(super) fn named(sessions: &[usize], name: impl Fn(usize) -> Option<String>) -> Vec<String> {
    sessions.iter().filter_map(|&session| name(session)).collect()
}
