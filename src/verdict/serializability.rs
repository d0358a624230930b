//! What of a run counts when its outcome is compared with those of serial orders: the transactions that committed.

use super::outcome::{TableContent, Violation, digest, write_result, write_rows, write_value};
use crate::run::history::{StepResult, TurnRole};
use crate::scenario::sql::StatementKind;
use crate::scenario::{Scenario, Session, Symmetry};

/// What one step brought back: the step's index in its session, what it was for the session, the result.
pub type StepOutcome = (usize, TurnRole, StepResult);

/// Whether a step ended its transaction, and if so, whether the transaction committed.
pub fn transaction_end(session: &Session, step: usize, role: TurnRole, result: &StepResult) -> Option<bool> {
    if matches!(result, StepResult::Error(_)) {
        return Some(false);
    }
    // a COMMIT of a transaction that had failed says ROLLBACK
    let committed = matches!(result, StepResult::Done { tag } if tag == "COMMIT");
    match role {
        TurnRole::Autocommit => Some(committed),
        TurnRole::Rollback => Some(false),
        TurnRole::Disconnect => None,
        TurnRole::Step => match session.steps.get(step)?.statement.kind {
            StatementKind::Commit { .. } => Some(committed),
            StatementKind::Rollback { .. } => Some(false),
            StatementKind::OutsideBlock => Some(true),
            _ => None,
        },
    }
}

/// The part of an outcome that serial orders are compared by: results of the transactions that committed, and the final
/// content of the tables. Transactions that failed or were rolled back count for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedPart {
    /// The same for the same part, whichever of several interchangeable sessions did what.
    pub digest: String,
    /// Transactions of each session up to its last that committed, those rolled back on the way included.
    pub transactions: Vec<usize>,
    results: Vec<Vec<StepOutcome>>,
    tables: Vec<TableContent>,
}

impl CommittedPart {
    /// `results` has each session's steps that count; a retried transaction counts as it ended.
    pub fn new(
        scenario: &Scenario,
        symmetry: &Symmetry,
        results: &[Vec<StepOutcome>],
        tables: &[TableContent],
    ) -> CommittedPart {
        let (results, transactions): (Vec<_>, Vec<_>) = scenario
            .sessions
            .iter()
            .zip(results)
            .map(|(session, results)| committed(session, results))
            .unzip();
        let mut texts: Vec<String> = results.iter().map(|results| session_text(results)).collect();
        for group in symmetry.groups() {
            let mut sorted: Vec<String> = group.iter().map(|&session| texts[session].clone()).collect();
            sorted.sort();
            for (&session, text) in group.iter().zip(sorted) {
                texts[session] = text;
            }
        }
        let mut text = String::new();
        for session in &texts {
            write_value(&mut text, "session", session);
        }
        for table in tables {
            write_value(&mut text, "table", &table.name);
            write_rows(&mut text, &table.columns, &table.rows);
        }
        CommittedPart {
            digest: digest(&text),
            transactions,
            results,
            tables: tables.to_vec(),
        }
    }

    /// Where `serial` has something else.
    fn differences(&self, scenario: &Scenario, serial: &CommittedPart) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (index, session) in scenario.sessions.iter().enumerate() {
            let (seen, expected) = (&self.results[index], &serial.results[index]);
            let same_step =
                |(seen, expected): &(&StepOutcome, &StepOutcome)| (seen.0, seen.1) == (expected.0, expected.1);
            let both = seen.iter().zip(expected).take_while(same_step);
            let compared = both.clone().count();
            for (seen, expected) in both.filter(|(seen, expected)| seen.2 != expected.2) {
                differences.push(Difference::Step {
                    session: session.name.clone(),
                    step: session.steps[seen.0].name.clone(),
                    seen: seen.2.clone(),
                    serial: expected.2.clone(),
                });
            }
            if compared < seen.len().max(expected.len()) {
                differences.push(Difference::OtherSteps {
                    session: session.name.clone(),
                });
            }
        }
        for (seen, expected) in self.tables.iter().zip(&serial.tables) {
            if seen != expected {
                differences.push(Difference::Table {
                    seen: seen.clone(),
                    serial: expected.clone(),
                });
            }
        }
        differences
    }
}

/// One place where an outcome is not that of a serial order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A step of a committed transaction brought back something else.
    Step {
        session: String,
        step: String,
        seen: StepResult,
        serial: StepResult,
    },
    /// Other steps of the session were passed over, or another number of its transactions committed.
    OtherSteps { session: String },
    /// A table has another content at the end.
    Table { seen: TableContent, serial: TableContent },
}

/// The run of one serial order.
#[derive(Debug, Clone)]
pub struct SerialRun {
    /// The session of each transaction.
    pub order: Vec<usize>,
    pub part: CommittedPart,
}

/// The violation of a run whose committed part is that of none of the serial orders.
pub fn not_serializable(scenario: &Scenario, part: &CommittedPart, orders: &[SerialRun]) -> Violation {
    let nearest = orders
        .iter()
        .map(|run| (run, part.differences(scenario, &run.part)))
        .min_by_key(|(_, differences)| differences.len());
    let (nearest, differences) = nearest.map_or_else(Default::default, |(run, differences)| {
        let names = run.order.iter().map(|&session| scenario.sessions[session].name.clone());
        (names.collect(), differences)
    });
    Violation::NotSerializable {
        orders: orders.len(),
        nearest,
        differences,
    }
}

/// The results of a session's committed transactions, and how many transactions it ran up to the last of them.
fn committed(session: &Session, results: &[StepOutcome]) -> (Vec<StepOutcome>, usize) {
    let (mut committed, mut last) = (Vec::new(), 0);
    let (mut transaction, mut count) = (Vec::new(), 0);
    for (step, role, result) in results {
        transaction.push((*step, *role, result.clone()));
        let Some(success) = transaction_end(session, *step, *role, result) else {
            continue;
        };
        // the ROLLBACK after an error ends nothing that was not ended by the error
        if transaction.len() > 1 || *role != TurnRole::Rollback {
            count += 1;
        }
        if success {
            committed.append(&mut transaction);
            last = count;
        }
        transaction.clear();
    }
    (committed, last)
}

fn session_text(results: &[StepOutcome]) -> String {
    let mut text = String::new();
    for (step, role, result) in results {
        write_value(&mut text, "step", &step.to_string());
        write_value(&mut text, "role", role.name());
        write_result(&mut text, result);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::run::history::StepError;

    fn scenario() -> Scenario {
        let text = r#"
            [[session]]
            name = "worker"
            copies = 2
            steps = ["BEGIN", "SELECT 1", "COMMIT", "SELECT 2", "BEGIN", "SELECT 3", "ROLLBACK"]
        "#;
        Scenario::from_toml("test", "test.toml", text, Path::new(".")).expect("a right scenario")
    }

    fn step(index: usize, tag: &str) -> StepOutcome {
        (index, TurnRole::Step, StepResult::Done { tag: tag.to_owned() })
    }

    fn autocommit(index: usize) -> StepOutcome {
        let result = StepResult::Done {
            tag: "COMMIT".to_owned(),
        };
        (index, TurnRole::Autocommit, result)
    }

    fn error(index: usize) -> StepOutcome {
        let error = StepError {
            sqlstate: "40001".to_owned(),
            message: String::new(),
        };
        (index, TurnRole::Step, StepResult::Error(error))
    }

    fn part(results: [Vec<StepOutcome>; 2]) -> CommittedPart {
        let scenario = scenario();
        CommittedPart::new(&scenario, &Symmetry::of_steps(&scenario), &results, &[])
    }

    #[test]
    fn what_failed_or_was_rolled_back_counts_for_nothing() {
        let both = vec![step(1, "a"), step(2, "COMMIT"), step(3, "b"), autocommit(3)];
        let rolled_back = [both.clone(), vec![step(5, "c"), step(6, "ROLLBACK")]].concat();
        let failed = vec![step(1, "a"), step(2, "COMMIT"), error(3)];
        let part = part([rolled_back, failed]);
        assert_eq!(part.results, [both.clone(), both[..2].to_vec()]);
        assert_eq!(part.transactions, [2, 1]);
    }

    #[test]
    fn a_commit_that_says_rollback_has_not_committed() {
        assert_eq!(
            part([vec![step(1, "a"), step(2, "ROLLBACK")], vec![]]).transactions,
            [0, 0]
        );
    }

    #[test]
    fn a_rollback_on_the_way_is_counted_and_that_of_a_retry_is_not() {
        let rollback = (
            1,
            TurnRole::Rollback,
            StepResult::Done {
                tag: "ROLLBACK".to_owned(),
            },
        );
        let retried = vec![rollback, step(1, "a"), step(2, "COMMIT")];
        let rolled_back_first = vec![step(5, "c"), step(6, "ROLLBACK"), step(3, "b"), autocommit(3)];
        assert_eq!(part([retried, rolled_back_first]).transactions, [1, 2]);
    }

    #[test]
    fn interchangeable_sessions_may_swap_what_they_did() {
        let (one, other) = (vec![step(3, "b"), autocommit(3)], vec![step(3, "c"), autocommit(3)]);
        let swapped = part([other.clone(), one.clone()]);
        assert_eq!(part([one.clone(), other]).digest, swapped.digest);
        assert_ne!(part([one.clone(), one]).digest, swapped.digest);
    }
}
