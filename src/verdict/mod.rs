//! Judges a history: is it right?

pub mod dependencies;
pub mod outcome;
pub mod serializability;

use crate::history::{Answer, Deadlock, Exit, NoAnswer, SessionEnd, StepResult, Turn, Volatile};
use crate::postgres::wire::Reply;
use crate::scenario::{DeadlockPolicy, Scenario, SessionProgram};
use outcome::Violation;

const DEADLOCK_DETECTED: &str = "40P01";

/// What an invariant's query returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvariantAnswer {
    /// Rows, as text.
    Rows {
        /// The names of the columns.
        columns: Vec<String>,
        /// By column; `None` for NULL.
        rows: Vec<Vec<Option<String>>>,
    },
    /// The server refused the query.
    Error {
        /// Five characters, such as `42P01`.
        sqlstate: String,
        /// What the server said.
        message: String,
    },
}

impl InvariantAnswer {
    /// The answer to an invariant. `volatile` replaces what differs from run to run.
    pub fn from_reply(reply: Reply, volatile: &Volatile) -> InvariantAnswer {
        match reply.into_result() {
            Err(error) => InvariantAnswer::Error {
                sqlstate: error.sqlstate,
                message: error.message,
            },
            Ok(result) => {
                let columns = result.columns.unwrap_or_default();
                let show = |row: &Vec<Option<String>>| {
                    columns
                        .iter()
                        .zip(row)
                        .map(|(column, value)| volatile.show(column, value))
                        .collect()
                };
                let rows = result.rows.iter().map(show).collect();
                InvariantAnswer::Rows {
                    columns: columns.into_iter().map(|column| column.name).collect(),
                    rows,
                }
            }
        }
    }

    /// An invariant holds when it returns one row that begins with true.
    fn holds(&self) -> bool {
        match self {
            InvariantAnswer::Rows { rows, .. } => {
                matches!(rows.as_slice(), [row] if row.first().is_some_and(|value| value.as_deref() == Some("t")))
            }
            InvariantAnswer::Error { .. } => false,
        }
    }
}

/// Why the schedule fails; empty if it holds.
///
/// A deadlock fails it unless the scenario allows deadlocks or the victim provides for 40P01 (by `retry` or
/// `allow_errors`); another error, if it ends a session that does not allow it.
pub fn judge(
    scenario: &Scenario,
    turns: &[Turn],
    ends: &[SessionEnd],
    deadlocks: &[Deadlock],
    answers: Vec<InvariantAnswer>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (session, end) in scenario.sessions.iter().zip(ends) {
        match &end.answer {
            // `Stopped` follows from another session's silence
            None | Some(Ok(_) | Err(NoAnswer::Stopped)) => {}
            // whatever else is wrong may follow from this
            Some(Err(cause)) => violations.push(Violation::NoAnswer {
                session: session.name.clone(),
                cause: cause.clone(),
            }),
        }
    }
    for (invariant, answer) in scenario.invariants.iter().zip(answers) {
        if answer.holds() {
            continue;
        }
        let name = invariant.name.clone();
        violations.push(match answer {
            InvariantAnswer::Rows { columns, rows } => Violation::Invariant {
                name,
                sql: invariant.sql.text.clone(),
                columns,
                rows,
            },
            InvariantAnswer::Error { sqlstate, message } => Violation::InvariantError {
                name,
                sqlstate,
                message,
            },
        });
    }
    for deadlock in deadlocks {
        let victim = &scenario.sessions[deadlock.victim];
        let provided = victim.allow_errors.iter().any(|state| state == DEADLOCK_DETECTED)
            || victim
                .retry
                .as_ref()
                .is_some_and(|retry| retry.on.iter().any(|state| state == DEADLOCK_DETECTED));
        if scenario.deadlock == DeadlockPolicy::Fails && !provided {
            let sessions = deadlock
                .sessions
                .iter()
                .map(|&index| scenario.sessions[index].name.clone())
                .collect();
            violations.push(Violation::Deadlock { sessions });
        }
    }
    for (index, (session, end)) in scenario.sessions.iter().zip(ends).enumerate() {
        let Some(error) = &end.error else { continue };
        let retried = session
            .retry
            .as_ref()
            .is_some_and(|retry| retry.on.contains(&error.sqlstate));
        let judged_as_deadlock = error.sqlstate == DEADLOCK_DETECTED && !retried;
        if session.allow_errors.contains(&error.sqlstate) || judged_as_deadlock {
            continue;
        }
        let failed = turns
            .iter()
            .rev()
            .find(|turn| turn.session == index && matches!(turn.result, StepResult::Error(_)));
        violations.push(Violation::Error {
            session: session.name.clone(),
            step: failed.map(|turn| turn.step.clone()).unwrap_or_default(),
            sqlstate: error.sqlstate.clone(),
            message: error.message.clone(),
        });
    }
    for (session, end) in scenario.sessions.iter().zip(ends) {
        let session_name = || session.program_name().to_owned();
        // of several connections, the first tells how the program ended
        let tells_exit = session.connection.is_none_or(|number| number == 1);
        match (session.program.as_deref(), end.exit, &end.answer) {
            (Some(SessionProgram::Command(program)), Some(exit), _) if tells_exit => {
                let is_allowed = matches!(exit, Exit::Code(code) if code == 0 || program.allow_exit.contains(&code));
                if !is_allowed {
                    let session = session_name();
                    violations.push(Violation::Exit { session, exit });
                }
            }
            (Some(SessionProgram::Closure(_)), Some(exit), _) if exit != Exit::Code(0) => {
                let session = session_name();
                violations.push(Violation::Exit { session, exit });
            }
            (Some(SessionProgram::Request(request)), _, Some(Ok(Answer { status, .. })))
                if *status >= 500 && !request.allow_status.contains(status) =>
            {
                let (session, status) = (session_name(), *status);
                violations.push(Violation::Status { session, status });
            }
            _ => {}
        }
    }
    violations
}
