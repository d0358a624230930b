//! The part of a run that is compared with serial orders: the transactions that committed.

use std::collections::BTreeMap;

use super::outcome::{TableContent, Violation, digest, write_result, write_table, write_value};
use crate::history::{Answer, Exit, NoAnswer, StepResult, Turn, TxEnd};

/// The part of an outcome that is compared with serial orders: what the transactions that committed did, and the content
/// of the tables. Transactions that failed or were rolled back do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedPart {
    /// By session.
    pub sessions: Vec<SessionPart>,
    /// What is in the tables.
    pub tables: Vec<TableContent>,
}

/// What a session's transactions did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionPart {
    /// Those that committed, in their order.
    pub committed: Vec<Transaction>,
    /// Another one failed, or was rolled back.
    pub aborted: bool,
    /// One that committed came after one that failed.
    pub went_on: bool,
    /// How its program ended; `None` where it is none, or has not ended.
    pub end: Option<ProgramEnd>,
}

/// A transaction that committed.
#[derive(Debug, Clone)]
pub struct Transaction {
    steps: Vec<Step>,
    /// The same for what is the same.
    text: String,
    /// The turn in which it committed.
    pub committed_in: usize,
}

impl PartialEq for Transaction {
    fn eq(&self, other: &Transaction) -> bool {
        self.text == other.text
    }
}

impl Eq for Transaction {}

/// What was sent, and what it brought back.
#[derive(Debug, Clone)]
struct Step {
    /// The same for the same statement.
    identity: String,
    name: String,
    filled: String,
    result: StepResult,
}

/// How a program ended, without what it makes anew in each run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramEnd {
    /// `None` for a request.
    pub exit: Option<Exit>,
    /// What a service has answered.
    pub answer: Option<Result<Answer, NoAnswer>>,
    /// What it has printed.
    pub stdout: Option<String>,
}

impl SessionPart {
    /// What the turns of a session, in their order, amount to.
    pub fn of<'a>(turns: impl Iterator<Item = &'a Turn>) -> SessionPart {
        let mut part = SessionPart::default();
        let mut failed = false;
        let mut steps = Vec::new();
        for turn in turns {
            steps.push(Step::of(turn));
            let Some(end) = turn.tx.end else { continue };
            let steps = std::mem::take(&mut steps);
            if end == TxEnd::Committed {
                part.went_on |= failed;
                part.committed.push(Transaction::of(steps, turn.finished_in));
            } else {
                failed |= end == TxEnd::Failed;
                part.aborted = true;
            }
        }
        part
    }

    /// Whether the other one has done this, and perhaps more.
    pub fn begins(&self, other: &SessionPart) -> bool {
        other.committed.starts_with(&self.committed)
    }

    /// Whether the programs ended in different ways, although they were told the same.
    pub fn ends_otherwise(&self, serial: &SessionPart) -> bool {
        !self.aborted && serial.end.is_some() && self.end != serial.end
    }
}

impl Transaction {
    fn of(steps: Vec<Step>, committed_in: usize) -> Transaction {
        let mut text = String::new();
        for step in &steps {
            text += &step.identity;
            write_result(&mut text, &step.result);
        }
        Transaction {
            steps,
            text,
            committed_in,
        }
    }
}

impl Step {
    fn of(turn: &Turn) -> Step {
        let mut identity = String::new();
        write_value(&mut identity, "step", &turn.step);
        write_value(&mut identity, "role", turn.origin.name());
        write_value(&mut identity, "sql", &turn.statement.sql);
        Step {
            identity,
            name: turn.step.clone(),
            filled: turn.filled.clone(),
            result: turn.result.clone(),
        }
    }
}

/// All that the sessions have sent and been told by a moment, as a text that is the same for the same.
pub fn heard(sessions: usize, turns: &[Turn]) -> String {
    let mut by_session: BTreeMap<usize, String> = (0..sessions).map(|session| (session, String::new())).collect();
    for turn in turns {
        let text = by_session.entry(turn.session).or_default();
        write_value(text, "step", &turn.step);
        write_value(text, "role", turn.origin.name());
        write_value(text, "begin", turn.begin.as_deref().unwrap_or_default());
        write_value(text, "sql", &turn.filled);
        write_result(text, &turn.result);
    }
    let mut all = String::new();
    for text in by_session.values() {
        write_value(&mut all, "session", text);
    }
    all
}

impl CommittedPart {
    /// The same for the same part.
    pub fn digest(&self) -> String {
        let mut text = String::new();
        for session in &self.sessions {
            write_value(&mut text, "session", &session.committed.len().to_string());
            for transaction in &session.committed {
                write_value(&mut text, "transaction", &transaction.text);
            }
            let rest = format!("{} {} {:?}", session.aborted, session.went_on, session.end);
            write_value(&mut text, "end", &rest);
        }
        self.tables.iter().for_each(|table| write_table(&mut text, table));
        digest(&text)
    }

    /// Where the result of a serial order differs; `names` are those of the sessions.
    pub fn differences(&self, names: &[String], serial: &CommittedPart) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (name, (seen, expected)) in names.iter().zip(self.sessions.iter().zip(&serial.sessions)) {
            let steps = |part: &SessionPart| -> Vec<Step> {
                let all = part.committed.iter().flat_map(|transaction| &transaction.steps);
                all.cloned().collect()
            };
            let (seen, expected) = (steps(seen), steps(expected));
            // the same step need not be the same statement, where it has values that others have changed
            let both = seen.iter().zip(&expected);
            let both: Vec<_> = both.take_while(|(seen, expected)| seen.name == expected.name).collect();
            for (seen, expected) in both.iter().filter(|(seen, expected)| seen.result != expected.result) {
                differences.push(Difference::Step {
                    session: name.clone(),
                    step: seen.name.clone(),
                    seen: seen.result.clone(),
                    serial: expected.result.clone(),
                });
            }
            let next = |steps: &[Step]| steps.get(both.len()).map(|step| step.filled.clone());
            let (seen, serial) = (next(&seen), next(&expected));
            if seen.is_some() || serial.is_some() {
                differences.push(Difference::OtherSteps {
                    session: name.clone(),
                    seen,
                    serial,
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
    /// From here on the session ran other steps, or a different number of its transactions committed.
    OtherSteps {
        /// The session by its name.
        session: String,
        /// What it sent in the run; `None` where nothing more of it committed.
        seen: Option<String>,
        /// What it sends in the serial order; `None` where nothing more of it commits.
        serial: Option<String>,
    },
    /// A table has different content at the end.
    Table {
        /// In the run.
        seen: TableContent,
        /// In the serial order.
        serial: TableContent,
    },
}

/// What a serial order came to.
#[derive(Debug, Clone)]
pub struct SerialOutcome {
    /// The session of each transaction.
    pub order: Vec<usize>,
    /// What its transactions did.
    pub part: CommittedPart,
}

/// The violation of a run whose committed part is that of no serial order, compared with some of these.
pub fn not_serializable(names: &[String], part: &CommittedPart, compared: &[SerialOutcome]) -> Violation {
    let nearest = compared
        .iter()
        .map(|serial| (serial, part.differences(names, &serial.part)))
        .min_by_key(|(_, differences)| differences.len());
    let (nearest, differences) = nearest.map_or_else(Default::default, |(serial, differences)| {
        let order = serial.order.iter().map(|&session| names[session].clone());
        (order.collect(), differences)
    });
    Violation::NotSerializable {
        orders: compared.len(),
        nearest,
        differences,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Origin;
    use crate::history::testing::{done, error, turn};
    use crate::sql::StatementKind;

    /// A turn of a session's step of this number.
    fn step(index: usize, sql: &str, tag: &str) -> Turn {
        let mut step = turn(0, (index, sql), sql, done(tag));
        step.tx.end = TxEnd::of(step.origin, step.statement.kind, step.result.tag());
        step
    }

    fn autocommit(index: usize) -> Turn {
        let mut commit = step(index, "COMMIT", "COMMIT");
        commit.origin = Origin::Autocommit(index);
        commit
    }

    fn failed(index: usize, sql: &str) -> Turn {
        let mut failed = step(index, sql, "");
        failed.result = error("40001", "");
        failed.tx.end = TxEnd::of(failed.origin, StatementKind::Plain, failed.result.tag());
        failed
    }

    fn part(turns: &[Turn]) -> SessionPart {
        SessionPart::of(turns.iter())
    }

    #[test]
    fn what_failed_or_was_rolled_back_counts_for_nothing() {
        let first = [step(1, "SELECT 1", "a"), step(2, "COMMIT", "COMMIT")];
        let second = [step(3, "SELECT 2", "b"), autocommit(3)];
        let both = part(&[first.clone(), second.clone()].concat());
        assert_eq!((both.committed.len(), both.aborted), (2, false));
        let rolled_back = [step(5, "SELECT 3", "c"), step(6, "ROLLBACK", "ROLLBACK")];
        let with_more = part(&[&first[..], &rolled_back, &second].concat());
        assert_eq!(with_more.committed, both.committed);
        assert!(with_more.aborted && !with_more.went_on);
        let fails = part(&[&first[..], &[failed(3, "SELECT 2")]].concat());
        assert!(fails.begins(&both) && !both.begins(&fails) && fails.aborted && !fails.went_on);
        let goes_on = part(&[&[failed(3, "SELECT 2")], &first[..]].concat());
        assert!(goes_on.went_on);
    }

    #[test]
    fn a_commit_that_says_rollback_has_not_committed() {
        let turns = [step(1, "SELECT 1", "a"), step(2, "COMMIT", "ROLLBACK")];
        assert_eq!(part(&turns).committed, []);
    }

    #[test]
    fn programs_that_were_told_the_same_must_end_alike() {
        let printed = |text: &str| ProgramEnd {
            exit: Some(Exit::Code(0)),
            answer: None,
            stdout: Some(text.to_owned()),
        };
        let turns = [step(3, "SELECT 2", "b"), autocommit(3)];
        let ended = |text: &str| SessionPart {
            end: Some(printed(text)),
            ..part(&turns)
        };
        assert!(ended("1").ends_otherwise(&ended("2")));
        assert!(!ended("1").ends_otherwise(&ended("1")));
        // in the serial order it was stopped
        assert!(!ended("1").ends_otherwise(&part(&turns)));
        let aborted = SessionPart {
            aborted: true,
            ..ended("1")
        };
        assert!(!aborted.ends_otherwise(&ended("2")));
    }

    #[test]
    fn differences_name_what_differs_from_the_first_other_statement_on() {
        let of = |turns: &[Turn]| CommittedPart {
            sessions: vec![part(turns)],
            tables: Vec::new(),
        };
        let names = ["a".to_owned()];
        let run = of(&[
            step(0, "SELECT 1", "x"),
            step(1, "INSERT", "y"),
            step(2, "COMMIT", "COMMIT"),
        ]);
        let serial = of(&[step(0, "SELECT 1", "z"), step(2, "COMMIT", "COMMIT")]);
        let found = run.differences(&names, &serial);
        let [
            Difference::Step { step, .. },
            Difference::OtherSteps { seen, serial, .. },
        ] = found.as_slice()
        else {
            panic!("{found:?}");
        };
        assert_eq!(step, "SELECT 1");
        assert_eq!((seen.as_deref(), serial.as_deref()), (Some("INSERT"), Some("COMMIT")));
    }
}
