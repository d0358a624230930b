//! A schedule that fails.

use serde::Serialize;

use crate::history::{Exit, History, NoAnswer, Origin, StepResult, Turn};
use crate::report::document;
use crate::report::text::difference::difference_line;
use crate::verdict::dependencies::{Cycle, Dependency, DependencyKind, Explanation};
use crate::verdict::outcome::Violation;

/// A schedule that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Failure {
    /// Names of what was violated.
    violations: Vec<String>,
    /// The same violations with what was seen.
    details: Vec<NamedViolation>,
    /// Session names, one for each step.
    order: Vec<String>,
    /// One entry for each turn.
    history: Vec<HistoryStep>,
    /// The anomaly's name, if it is known.
    anomaly: Option<String>,
    /// The cycle that makes it one; empty if there is none.
    dependencies: Vec<DependencyEntry>,
    /// What programs printed; left out where no session is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<ProgramOutput>,
}

/// What a session's program printed, up to 64 KiB of each stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ProgramOutput {
    session: String,
    stdout: String,
    stderr: String,
}

/// One dependency between two committed transactions; the second comes after the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct DependencyEntry {
    from: String,
    to: String,
    /// `ww`, `wr` or `rw`.
    kind: &'static str,
    /// For an `rw`: of rows that were searched for, not of a row that was read.
    predicate: bool,
    table: String,
    /// By its primary key.
    row: Option<String>,
    /// Indexes in the history.
    from_turn: usize,
    to_turn: usize,
}

/// A violation, with the name that the outcomes use for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct NamedViolation {
    name: String,
    #[serde(flatten)]
    detail: ViolationDetail,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum ViolationDetail {
    /// An invariant was not true.
    Invariant {
        sql: String,
        columns: Vec<String>,
        rows: Vec<Vec<Option<String>>>,
    },
    /// An invariant could not be evaluated.
    InvariantError { sqlstate: String, message: String },
    /// An error ended a session that does not allow it.
    Error {
        session: String,
        step: String,
        sqlstate: String,
        message: String,
    },
    /// A program ended in a way that its session does not allow.
    Exit {
        session: String,
        /// Its exit code; `None` where a signal ended it.
        code: Option<i32>,
        signal: Option<i32>,
    },
    /// A service answered with a status that the session does not allow.
    Status { session: String, status: u16 },
    /// A service did not answer a request.
    NoAnswer {
        session: String,
        /// Why, in words.
        cause: String,
        /// How the service ended, if it did.
        code: Option<i32>,
        signal: Option<i32>,
    },
    /// Sessions waited for each other.
    Deadlock { sessions: Vec<String> },
    /// No serial order of the committed transactions leads to this outcome.
    NotSerializable {
        serial_orders: usize,
        /// Session names, one for each transaction, of the serial order with the most similar outcome.
        nearest: Vec<String>,
        /// Where its outcome differs, in words.
        differences: Vec<String>,
    },
}

/// One turn of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct HistoryStep {
    session: String,
    step: String,
    role: Role,
    /// 0 for the first run of a transaction, 1 for the first retry.
    attempt: u32,
    /// BEGIN sent right ahead of the step.
    begin: Option<String>,
    /// Statement with its variables filled in, for reading.
    sql: String,
    #[serde(flatten)]
    reply: Reply,
    /// Sessions that it waited for, in the order in which they were waited for; empty if it never blocked.
    blocked_by: Vec<String>,
    /// Index in the history of the turn whose reply let this step finish: its own if it never blocked.
    finished_in: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    /// A step of the scenario.
    Step,
    /// The commit of an autocommitted statement.
    Autocommit,
    /// The ROLLBACK that follows an error.
    Rollback,
    /// The end of the connection, where the session still has advisory locks that outlive transactions.
    Disconnect,
}

/// The reply, under the key `result` or `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Reply {
    Result(ReplyResult),
    Error { sqlstate: String, message: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum ReplyResult {
    /// Values as text, NULL as null.
    Rows {
        columns: Vec<String>,
        rows: Vec<Vec<Option<String>>>,
    },
    Done {
        tag: String,
    },
}

impl Failure {
    pub(super) fn new(failure: &document::Failure) -> Self {
        let document::Failure {
            history,
            violations,
            order,
            explanation,
            outputs,
            ..
        } = failure;
        let cycle = explanation.as_ref().and_then(|explanation| explanation.cycle.as_ref());
        let dependencies = match (explanation, cycle) {
            (Some(explanation), Some(cycle)) => dependencies(explanation, cycle, history),
            _ => Vec::new(),
        };
        Failure {
            violations: violations.iter().map(Violation::name).collect(),
            details: violations.iter().map(NamedViolation::new).collect(),
            order: order.clone(),
            history: history
                .turns
                .iter()
                .map(|turn| HistoryStep::new(history, turn))
                .collect(),
            anomaly: cycle.map(|cycle| cycle.anomaly.name().to_owned()),
            dependencies,
            outputs: outputs
                .iter()
                .map(|(session, output)| ProgramOutput {
                    session: session.clone(),
                    stdout: output.stdout.clone(),
                    stderr: output.stderr.clone(),
                })
                .collect(),
        }
    }
}

fn dependencies(explanation: &Explanation, cycle: &Cycle, history: &History) -> Vec<DependencyEntry> {
    let name = |transaction: usize| {
        let transaction = explanation.transactions.get(transaction);
        transaction
            .and_then(|transaction| history.sessions.get(transaction.session))
            .cloned()
            .unwrap_or_default()
    };
    let entry = |one: &Dependency| DependencyEntry {
        from: name(one.from),
        to: name(one.to),
        kind: one.kind.abbreviation(),
        predicate: one.kind == DependencyKind::ReadBefore { predicate: true },
        table: one.table.clone(),
        row: one.row.clone(),
        from_turn: one.from_turn,
        to_turn: one.to_turn,
    };
    cycle.dependencies.iter().map(entry).collect()
}

impl NamedViolation {
    fn new(violation: &Violation) -> Self {
        let detail = match violation.clone() {
            Violation::Invariant {
                name: _,
                sql,
                columns,
                rows,
            } => ViolationDetail::Invariant { sql, columns, rows },
            Violation::InvariantError {
                name: _,
                sqlstate,
                message,
            } => ViolationDetail::InvariantError { sqlstate, message },
            Violation::Error {
                session,
                step,
                sqlstate,
                message,
            } => ViolationDetail::Error {
                session,
                step,
                sqlstate,
                message,
            },
            Violation::Exit { session, exit } => {
                let (code, signal) = code_and_signal(Some(exit));
                ViolationDetail::Exit { session, code, signal }
            }
            Violation::Status { session, status } => ViolationDetail::Status { session, status },
            Violation::NoAnswer { session, cause } => {
                let exit = match cause {
                    NoAnswer::Ended(exit) => Some(exit),
                    _ => None,
                };
                let (code, signal) = code_and_signal(exit);
                ViolationDetail::NoAnswer {
                    session,
                    cause: cause.to_string(),
                    code,
                    signal,
                }
            }
            Violation::Deadlock { sessions } => ViolationDetail::Deadlock { sessions },
            Violation::NotSerializable {
                orders,
                nearest,
                differences,
            } => ViolationDetail::NotSerializable {
                serial_orders: orders,
                nearest,
                differences: differences.iter().map(difference_line).collect(),
            },
        };
        NamedViolation {
            name: violation.name(),
            detail,
        }
    }
}

impl HistoryStep {
    fn new(history: &History, turn: &Turn) -> Self {
        let name = |session: usize| history.sessions.get(session).cloned().unwrap_or_default();
        let mut blocked_by: Vec<String> = Vec::new();
        for blocker in turn
            .waits
            .iter()
            .flat_map(|wait| &wait.blocked_by)
            .map(|&session| name(session))
        {
            if !blocked_by.contains(&blocker) {
                blocked_by.push(blocker);
            }
        }
        HistoryStep {
            session: name(turn.session),
            step: turn.step.clone(),
            role: match turn.origin {
                Origin::Step(_) => Role::Step,
                Origin::Autocommit(_) => Role::Autocommit,
                Origin::Rollback(_) => Role::Rollback,
                Origin::Disconnect(_) => Role::Disconnect,
            },
            attempt: turn.attempt,
            begin: turn.begin.clone(),
            sql: turn.filled.clone(),
            reply: Reply::new(&turn.result),
            blocked_by,
            finished_in: turn.finished_in,
        }
    }
}

impl Reply {
    fn new(result: &StepResult) -> Self {
        match result.clone() {
            StepResult::Rows { columns, rows, .. } => Reply::Result(ReplyResult::Rows { columns, rows }),
            StepResult::Done { tag } => Reply::Result(ReplyResult::Done { tag }),
            StepResult::Error(error) => Reply::Error {
                sqlstate: error.sqlstate,
                message: error.message,
            },
        }
    }
}

/// How something ended.
fn code_and_signal(exit: Option<Exit>) -> (Option<i32>, Option<i32>) {
    match exit {
        Some(Exit::Code(code)) => (Some(code), None),
        Some(Exit::Signal(signal)) => (None, Some(signal)),
        None => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::history::testing::{Sample, deadlock, row};
    use crate::report::sample::failing;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn errors_tags_and_waits_of_a_history() {
        let sessions = names(&["worker-1", "worker-2"]);
        let failure = Failure::new(&failing(deadlock(), vec![Violation::Deadlock { sessions }]));
        let value: Value = serde_json::to_value(&failure).expect("plain values serialize");
        assert_eq!(
            value["details"],
            json!([{ "name": "deadlock", "kind": "deadlock", "sessions": ["worker-1", "worker-2"] }])
        );
        let history = &value["history"];
        assert_eq!(history[2]["result"], json!({ "tag": "UPDATE 1" }));
        assert_eq!(history[2]["blocked_by"], json!(["worker-2"]));
        assert_eq!(history[2]["finished_in"], json!(3));
        assert_eq!(
            history[3]["error"],
            json!({ "sqlstate": "40P01", "message": "deadlock detected" })
        );
        assert_eq!(history[3].get("result"), None);
        assert_eq!(history[4]["role"], json!("rollback"));
        assert_eq!(history[5]["blocked_by"], json!([]));
        assert_eq!(value["anomaly"], Value::Null);
    }

    #[test]
    fn a_session_that_was_waited_for_twice_is_named_once() {
        let history = Sample::new(&["a", "b", "c"])
            .turn(2, "SELECT 1", row(&[("n", Some("1"))]))
            .waiting(&[(&[1], 0, 0), (&[0, 1], 0, 0)])
            .history();
        assert_eq!(
            Failure::new(&failing(history, Vec::new())).history[0].blocked_by,
            ["b", "a"]
        );
    }
}
