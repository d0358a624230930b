//! The part of a run that is compared with serial orders: the transactions that committed.

use super::outcome::{TableContent, Violation, digest, write_result, write_rows, write_value};
use crate::history::{Origin, StepOutcome, StepResult, TxEnd};
use crate::scenario::{Scenario, Symmetry};

/// The part of an outcome that is compared with serial orders: the results of the transactions that committed, and the
/// final content of the tables. Transactions that failed or were rolled back do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedPart {
    /// The same for the same part, whichever of several interchangeable sessions did what.
    pub digest: String,
    /// By session: its transactions up to the last that committed, including those rolled back before it.
    pub transactions: Vec<usize>,
    results: Vec<Vec<StepOutcome>>,
    tables: Vec<TableContent>,
}

impl CommittedPart {
    /// `results` holds, for each session, the steps that count; a retried transaction counts as it ended.
    pub fn new(symmetry: &Symmetry, results: &[Vec<StepOutcome>], tables: &[TableContent]) -> CommittedPart {
        let (results, transactions): (Vec<_>, Vec<_>) = results.iter().map(|results| committed(results)).unzip();
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

    /// Where `serial` differs.
    fn differences(&self, scenario: &Scenario, serial: &CommittedPart) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (index, session) in scenario.sessions.iter().enumerate() {
            let (seen, expected) = (&self.results[index], &serial.results[index]);
            let same_step = |(seen, expected): &(&StepOutcome, &StepOutcome)| seen.origin == expected.origin;
            let both = seen.iter().zip(expected).take_while(same_step);
            let compared = both.clone().count();
            for (seen, expected) in both.filter(|(seen, expected)| seen.result != expected.result) {
                differences.push(Difference::Step {
                    session: session.name.clone(),
                    step: session.steps[seen.origin.step()].name.clone(),
                    seen: seen.result.clone(),
                    serial: expected.result.clone(),
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

/// One place where an outcome differs from that of a serial order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A step of a committed transaction returned something else.
    Step {
        /// The session by its name.
        session: String,
        /// The step by its name.
        step: String,
        /// What it brought back in the run.
        seen: StepResult,
        /// What it brings back in the serial order.
        serial: StepResult,
    },
    /// Other steps of the session were skipped, or a different number of its transactions committed.
    OtherSteps {
        /// The session by its name.
        session: String,
    },
    /// A table has different content at the end.
    Table {
        /// In the run.
        seen: TableContent,
        /// In the serial order.
        serial: TableContent,
    },
}

/// The run of one serial order.
#[derive(Debug, Clone)]
pub struct SerialRun {
    /// The session of each transaction.
    pub order: Vec<usize>,
    /// What its transactions did.
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
fn committed(results: &[StepOutcome]) -> (Vec<StepOutcome>, usize) {
    let (mut committed, mut last) = (Vec::new(), 0);
    let (mut transaction, mut count) = (Vec::new(), 0);
    for one in results {
        transaction.push(one.clone());
        let Some(end) = one.end else { continue };
        // the ROLLBACK after an error ends nothing that the error had not ended
        if transaction.len() > 1 || !matches!(one.origin, Origin::Rollback(_)) {
            count += 1;
        }
        if end == TxEnd::Committed {
            committed.append(&mut transaction);
            last = count;
        }
        transaction.clear();
    }
    (committed, last)
}

fn session_text(results: &[StepOutcome]) -> String {
    let mut text = String::new();
    for StepOutcome { origin, result, .. } in results {
        write_value(&mut text, "step", &origin.step().to_string());
        write_value(&mut text, "role", origin.name());
        write_result(&mut text, result);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::history::testing::{done, error};
    use crate::sql::StatementKind;

    fn scenario() -> Scenario {
        let text = r#"
            [[session]]
            name = "worker"
            copies = 2
            steps = ["BEGIN", "SELECT 1", "COMMIT", "SELECT 2", "BEGIN", "SELECT 3", "ROLLBACK"]
        "#;
        Scenario::from_toml("test", "test.toml", text, Path::new(".")).expect("a right scenario")
    }

    fn outcome(origin: Origin, kind: StatementKind, result: StepResult) -> StepOutcome {
        StepOutcome {
            origin,
            end: TxEnd::of(origin, kind, result.tag()),
            result,
        }
    }

    /// A step of the scenario.
    fn step(index: usize, tag: &str) -> StepOutcome {
        let kind = scenario().sessions[0].steps[index].statement.kind;
        outcome(Origin::Step(index), kind, done(tag))
    }

    fn autocommit(index: usize) -> StepOutcome {
        let commit = StatementKind::Commit { chain: false };
        outcome(Origin::Autocommit(index), commit, done("COMMIT"))
    }

    fn failed(index: usize) -> StepOutcome {
        outcome(Origin::Step(index), StatementKind::Plain, error("40001", ""))
    }

    fn part(results: [Vec<StepOutcome>; 2]) -> CommittedPart {
        let scenario = scenario();
        CommittedPart::new(&Symmetry::of_steps(&scenario), &results, &[])
    }

    #[test]
    fn what_failed_or_was_rolled_back_counts_for_nothing() {
        let both = vec![step(1, "a"), step(2, "COMMIT"), step(3, "b"), autocommit(3)];
        let rolled_back = [both.clone(), vec![step(5, "c"), step(6, "ROLLBACK")]].concat();
        let failed = vec![step(1, "a"), step(2, "COMMIT"), failed(3)];
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
        let kind = StatementKind::Rollback { chain: false };
        let rollback = outcome(Origin::Rollback(1), kind, done("ROLLBACK"));
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
