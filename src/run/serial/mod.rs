//! Serial orders of a scenario's transactions: whether one of them leads to the outcome of a run.
//!
//! In a serial order one session at a time runs its next transaction to its end. What a program's next transaction is
//! follows from what it was told, so the orders are found by running them: `order` runs one, `states` remembers where
//! they have led, `guide` says which order to try next, and [`SerialOracle`] looks for one that leads to the outcome of a
//! run.

mod guide;
mod order;
mod states;

pub use order::{Boundary, SerialOrder, parts};
pub use states::SerialRun;

use std::collections::HashMap;

use tokio::sync::Mutex;

use self::guide::{Guide, Matching, Whole};
use self::states::{Next, States};
use super::{RunError, Workbench};
use crate::history::Uncontrolled;
use crate::scenario::{Scenario, Step, Symmetry};
use crate::sql::StatementKind;
use crate::verdict::outcome::Violation;
use crate::verdict::serializability::{CommittedPart, SerialOutcome, not_serializable};

/// The most runs to find a serial order for one outcome. Orders with the same state are one, so few outcomes need many.
const MOST_RUNS: usize = 1_000;

/// The most serial orders that an outcome is compared with to show what is wrong with it.
const MOST_COMPARED: usize = 6;

/// Why outcomes cannot be compared with those of serial orders.
#[derive(Debug, thiserror::Error)]
pub enum SerialError {
    #[error(
        "`serializable`: session {session}, step {step}: a prepared transaction is ended apart from its session, and \
         has no place in a serial order"
    )]
    PreparedTransaction { session: String, step: String },
}

/// Looks for serial orders, and remembers what it has found. All workers share it.
#[derive(Debug)]
pub struct SerialOracle {
    symmetry: Symmetry,
    /// By session: it is a program.
    programs: Vec<bool>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    states: States,
    /// What was found of outcomes.
    judged: HashMap<String, Judgement>,
}

/// What serial orders say of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// No serial order has the outcome of the run.
    pub violation: Option<Violation>,
    /// Why it is not known whether one has, or why it is not certain.
    pub doubts: Vec<Uncontrolled>,
}

impl SerialOracle {
    /// # Errors
    /// When the transactions cannot be put in serial orders.
    pub fn new(scenario: &Scenario) -> Result<SerialOracle, SerialError> {
        for session in &scenario.sessions {
            let prepares = |step: &&Step| step.statement.kind == StatementKind::PrepareTransaction;
            if let Some(step) = session.steps.iter().find(prepares) {
                return Err(SerialError::PreparedTransaction {
                    session: session.name.clone(),
                    step: step.name.clone(),
                });
            }
        }
        Ok(SerialOracle {
            symmetry: Symmetry::of_steps(scenario),
            programs: scenario
                .sessions
                .iter()
                .map(|session| session.program.is_some())
                .collect(),
            known: Mutex::default(),
        })
    }

    /// Looks for a serial order that leads to the outcome of a run. Orders that are not known are run on `workbench`.
    ///
    /// # Errors
    /// As [`Workbench::run`].
    pub async fn judge(&self, part: &CommittedPart, workbench: &mut Workbench) -> Result<Judgement, RunError> {
        let mut known = self.known.lock().await;
        let key = part.digest();
        if let Some(judged) = known.judged.get(&key) {
            return Ok(judged.clone());
        }
        let judged = self.search(part, &mut known.states, workbench).await?;
        known.judged.insert(key, judged.clone());
        Ok(judged)
    }

    async fn search(
        &self,
        part: &CommittedPart,
        states: &mut States,
        workbench: &mut Workbench,
    ) -> Result<Judgement, RunError> {
        let symmetry = workbench.symmetry(&self.symmetry);
        let matching = Matching::new(part, &symmetry);
        let names = workbench.session_names();
        let mut doubts = Vec::new();
        for _ in 0..MOST_RUNS {
            let path = match states.next(&matching) {
                Next::Found(None) => {
                    return Ok(Judgement {
                        violation: None,
                        doubts,
                    });
                }
                // it was told the same, and did something else
                Next::Found(Some(session)) => {
                    doubts.push(Uncontrolled::ProgramDiffers {
                        session: names[session].clone(),
                        step: "its end".to_owned(),
                    });
                    return Ok(Judgement {
                        violation: None,
                        doubts,
                    });
                }
                Next::Nothing => return self.refuse(part, states, workbench, &symmetry, doubts).await,
                Next::TooLong => break,
                Next::Run(path) => path,
            };
            if !self.extend(states, path, &matching, workbench, &mut doubts).await? {
                return Ok(Judgement {
                    violation: None,
                    doubts,
                });
            }
        }
        doubts.push(Uncontrolled::SerialOrders { runs: MOST_RUNS });
        Ok(Judgement {
            violation: None,
            doubts,
        })
    }

    /// Runs a serial order that begins with `path`, and follows `guide` from there on. Returns whether it did what is known
    /// of `path`.
    async fn extend(
        &self,
        states: &mut States,
        path: Vec<usize>,
        guide: &dyn Guide,
        workbench: &mut Workbench,
        doubts: &mut Vec<Uncontrolled>,
    ) -> Result<bool, RunError> {
        let order = || SerialOrder::new(&self.programs, path.clone(), guide);
        let run = workbench.run_serially(order).await?;
        for doubt in &run.uncontrolled {
            if !doubts.contains(doubt) {
                doubts.push(doubt.clone());
            }
        }
        let followed = states.add(&path, &run);
        if !followed {
            doubts.push(Uncontrolled::SerialOrderDiffers);
        }
        Ok(followed)
    }

    /// No serial order leads to the outcome. Shows it beside some.
    async fn refuse(
        &self,
        part: &CommittedPart,
        states: &mut States,
        workbench: &mut Workbench,
        symmetry: &Symmetry,
        mut doubts: Vec<Uncontrolled>,
    ) -> Result<Judgement, RunError> {
        let names = workbench.session_names();
        // what it does after a failure that others caused, it does in no serial order
        let went_on = (0..names.len()).find(|&session| self.programs[session] && part.sessions[session].went_on);
        if let Some(session) = went_on {
            doubts.push(Uncontrolled::SerialAfterFailure {
                session: names[session].clone(),
            });
            return Ok(Judgement {
                violation: None,
                doubts,
            });
        }
        let mut compared = Vec::new();
        for order in Whole::orders(part, symmetry, MOST_COMPARED) {
            let guide = Whole::new(part, order);
            let mut runs = 0;
            let found = loop {
                match states.next(&guide) {
                    Next::Run(path) if runs < MOST_COMPARED => {
                        runs += 1;
                        if !self.extend(states, path, &guide, workbench, &mut doubts).await? {
                            return Ok(Judgement {
                                violation: None,
                                doubts,
                            });
                        }
                    }
                    _ => break states.last(&guide),
                }
            };
            compared.extend(found.map(|(order, part)| SerialOutcome { order, part }));
        }
        Ok(Judgement {
            violation: Some(not_serializable(&names, part, &compared)),
            doubts,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn prepared_transactions_are_refused() {
        let sessions = "[[session]]\nname = \"a\"\nsteps = [\"BEGIN\", \"PREPARE TRANSACTION 'x'\"]";
        let scenario = Scenario::from_toml("test", "test.toml", sessions, Path::new(".")).expect("a right scenario");
        let refused = SerialOracle::new(&scenario).expect_err("a prepared transaction");
        assert!(matches!(refused, SerialError::PreparedTransaction { .. }), "{refused}");
    }
}
