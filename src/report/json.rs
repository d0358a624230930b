//! The result as one JSON object, for programs.
//!
//! The keys are stable: they are added to, never renamed or removed.

use std::time::Duration;

use num_bigint::BigUint;
use serde::{Serialize, Serializer};

use crate::history::{History, Origin, StepResult, Turn};
use crate::report::difference::difference_line;
use crate::scenario::Scenario;
use crate::schedule::Schedule;
use crate::shrink::Shrunk;
use crate::verdict::dependencies::{Dependency, DependencyKind, Explanation};
use crate::verdict::outcome::Violation;

/// The whole result of one exploration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// The strategy's name, as the command line spells it.
    pub strategy: String,
    /// The seed of a strategy that samples.
    pub seed: Option<u64>,
    pub verdict: Verdict,
    /// Why the verdict is inconclusive; empty for the other verdicts.
    pub reasons: Vec<String>,
    /// Whether every interleaving was covered.
    pub exhaustive: bool,
    /// How many interleavings there are; a decimal string, as it may exceed what a JSON number holds.
    #[serde(serialize_with = "decimal")]
    pub interleavings: BigUint,
    pub schedules_run: u64,
    /// Milliseconds.
    pub elapsed_ms: u64,
    pub outcomes: Vec<Outcome>,
    /// The smallest failing schedule, where the one that was found was made small.
    pub failure: Option<Failure>,
    pub shrink: Option<Shrink>,
    pub warnings: Vec<String>,
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Holds,
    Fails,
    Inconclusive,
}

/// One outcome and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The same for the same outcome, whatever the strategy, the run or the machine.
    pub id: String,
    /// How many schedules led to it.
    pub schedules: u64,
    pub fails: bool,
    /// Names of what was violated.
    pub violations: Vec<String>,
    /// The schedule of one example: session names, one a step.
    pub order: Vec<String>,
}

/// A schedule that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Names of what was violated.
    pub violations: Vec<String>,
    /// The same violations with what was seen.
    pub details: Vec<NamedViolation>,
    /// Session names, one a step.
    pub order: Vec<String>,
    /// One entry a turn.
    pub history: Vec<HistoryStep>,
    /// The anomaly's name, where it is known.
    pub anomaly: Option<String>,
    /// The cycle that makes it one; empty where there is none.
    pub dependencies: Vec<DependencyEntry>,
}

/// The result of making one failing schedule small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShrinkReport {
    /// The scenario's name.
    pub scenario: String,
    pub failure: Failure,
    pub shrink: Shrink,
}

/// How a failing schedule was made small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shrink {
    /// The smallest schedule, as pinned schedules have it.
    pub schedule: Vec<String>,
    /// Names of the sessions that race.
    pub racing: Vec<String>,
    /// How often it failed when it was replayed, out of how often it was.
    pub confirmed: u32,
    pub confirmations: u32,
    /// Turns of the schedule that was found.
    pub found_turns: usize,
    pub runs: u64,
    /// Candidates that had been run before.
    pub known: u64,
    /// No order has fewer context switches.
    pub minimal: bool,
    pub smallest_scenario: Option<SmallestScenario>,
    /// The file that it was pinned in.
    pub pinned: Option<String>,
}

/// The least of the scenario that still fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SmallestScenario {
    /// As a scenario file.
    pub toml: String,
    pub schedule: Vec<String>,
    pub dropped_sessions: Vec<String>,
    pub dropped_steps: Vec<DroppedStep>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DroppedStep {
    /// As the scenario file names it, without the number of a copy.
    pub session: String,
    pub step: String,
}

/// One dependency between two committed transactions; the second comes after the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DependencyEntry {
    pub from: String,
    pub to: String,
    /// `ww`, `wr` or `rw`.
    pub kind: &'static str,
    /// An `rw` of rows looked for, not of a row read.
    pub predicate: bool,
    pub table: String,
    /// By its primary key.
    pub row: Option<String>,
    /// Indexes in the history.
    pub from_turn: usize,
    pub to_turn: usize,
}

/// A violation under the name that the outcomes list it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedViolation {
    pub name: String,
    #[serde(flatten)]
    pub detail: ViolationDetail,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ViolationDetail {
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
    /// Sessions waited for each other.
    Deadlock { sessions: Vec<String> },
    /// No serial order of the committed transactions leads to this outcome.
    NotSerializable {
        serial_orders: usize,
        /// Session names, one a transaction, of the serial order whose outcome is nearest.
        nearest: Vec<String>,
        /// Where it differs, in words.
        differences: Vec<String>,
    },
}

/// One turn of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryStep {
    pub session: String,
    pub step: String,
    pub role: Role,
    /// 0 for the first run of a transaction, 1 for the first retry.
    pub attempt: u32,
    /// BEGIN sent right ahead of the step.
    pub begin: Option<String>,
    /// Statement with its variables filled in, for reading.
    pub sql: String,
    #[serde(flatten)]
    pub reply: Reply,
    /// Sessions that it waited for, in the order in which they were waited for; empty where it never blocked.
    pub blocked_by: Vec<String>,
    /// Index in the history of the turn whose reply let this step finish: its own where it never blocked.
    pub finished_in: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A step of the scenario.
    Step,
    /// The commit of an autocommitted statement.
    Autocommit,
    /// The ROLLBACK that follows an error.
    Rollback,
    /// The end of the connection, where the session still has advisory locks that outlive transactions.
    Disconnect,
}

/// What came back, under the key `result` or `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    Result(ReplyResult),
    Error { sqlstate: String, message: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ReplyResult {
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
    /// The failing run with this history; `order` is its schedule as session names, one a step.
    pub fn new(history: &History, violations: &[Violation], order: &[String]) -> Self {
        Failure {
            violations: violations.iter().map(Violation::name).collect(),
            details: violations.iter().map(NamedViolation::new).collect(),
            order: order.to_vec(),
            history: history
                .turns
                .iter()
                .map(|turn| HistoryStep::new(history, turn))
                .collect(),
            anomaly: None,
            dependencies: Vec::new(),
        }
    }

    /// Adds the anomaly's name and its cycle.
    pub fn explained(mut self, explanation: Option<&Explanation>, history: &History) -> Self {
        let Some(Explanation {
            transactions,
            cycle: Some(cycle),
        }) = explanation
        else {
            return self;
        };
        let name = |transaction: usize| {
            let session = transactions.get(transaction).map(|transaction| transaction.session);
            session
                .and_then(|session| history.sessions.get(session))
                .cloned()
                .unwrap_or_default()
        };
        self.anomaly = Some(cycle.anomaly.name().to_owned());
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
        self.dependencies = cycle.dependencies.iter().map(entry).collect();
        self
    }
}

impl Shrink {
    /// `found_turns` is the length of the schedule that was made small, `pinned` the file that it was written to.
    pub fn new(shrunk: &Shrunk, scenario: &Scenario, found_turns: usize, pinned: Option<String>) -> Self {
        let entries = |schedule: &Schedule| schedule.entries.iter().map(ToString::to_string).collect();
        let smallest_scenario = shrunk.scenario.as_ref().map(|smallest| SmallestScenario {
            toml: smallest.scenario.to_toml(),
            schedule: entries(&smallest.smallest.schedule),
            dropped_sessions: smallest.dropped_sessions.clone(),
            dropped_steps: smallest
                .dropped_steps
                .iter()
                .map(|(session, step)| DroppedStep {
                    session: session.clone(),
                    step: step.clone(),
                })
                .collect(),
        });
        let name = |&session: &usize| scenario.sessions.get(session).map(|session| session.name.clone());
        Shrink {
            schedule: entries(&shrunk.smallest.schedule),
            racing: shrunk.racing.iter().filter_map(name).collect(),
            confirmed: shrunk.smallest.confirmed.fails,
            confirmations: shrunk.smallest.confirmed.of,
            found_turns,
            runs: shrunk.runs,
            known: shrunk.known,
            minimal: shrunk.is_minimal,
            smallest_scenario,
            pinned,
        }
    }
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

fn decimal<S: Serializer>(n: &BigUint, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(n)
}

/// A time in whole milliseconds.
pub fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::{Value, json};

    use super::*;
    use crate::report::sample::{Sample, deadlock, row};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_whole_object() {
        let history = Sample::new(&["a", "b"])
            .turn(0, "SELECT views FROM articles WHERE id = 1", row(&[("views", None)]))
            .begun()
            .history();
        let order = names(&["a"]);
        let broken = Violation::Invariant {
            name: "no update is lost".to_owned(),
            sql: "SELECT false".to_owned(),
            columns: names(&["?column?"]),
            rows: vec![vec![Some("f".to_owned())]],
        };
        let report = Report {
            scenario: "lost-update".to_owned(),
            strategy: "exhaustive".to_owned(),
            seed: None,
            verdict: Verdict::Fails,
            reasons: Vec::new(),
            exhaustive: false,
            interleavings: BigUint::from(10u8).pow(20),
            schedules_run: 3,
            elapsed_ms: 41,
            outcomes: vec![Outcome {
                id: "3f9a1c".to_owned(),
                schedules: 1,
                fails: true,
                violations: names(&["no update is lost"]),
                order: order.clone(),
            }],
            failure: Some(Failure::new(&history, &[broken], &order)),
            shrink: None,
            warnings: Vec::new(),
            notes: Vec::new(),
        };
        let text = serde_json::to_string_pretty(&report).expect("plain values serialize");
        assert_snapshot!(text, @r#"
        {
          "scenario": "lost-update",
          "strategy": "exhaustive",
          "seed": null,
          "verdict": "fails",
          "reasons": [],
          "exhaustive": false,
          "interleavings": "100000000000000000000",
          "schedules_run": 3,
          "elapsed_ms": 41,
          "outcomes": [
            {
              "id": "3f9a1c",
              "schedules": 1,
              "fails": true,
              "violations": [
                "no update is lost"
              ],
              "order": [
                "a"
              ]
            }
          ],
          "failure": {
            "violations": [
              "no update is lost"
            ],
            "details": [
              {
                "name": "no update is lost",
                "kind": "invariant",
                "sql": "SELECT false",
                "columns": [
                  "?column?"
                ],
                "rows": [
                  [
                    "f"
                  ]
                ]
              }
            ],
            "order": [
              "a"
            ],
            "history": [
              {
                "session": "a",
                "step": "select",
                "role": "step",
                "attempt": 0,
                "begin": "BEGIN",
                "sql": "SELECT views FROM articles WHERE id = 1",
                "result": {
                  "columns": [
                    "views"
                  ],
                  "rows": [
                    [
                      null
                    ]
                  ]
                },
                "blocked_by": [],
                "finished_in": 0
              }
            ],
            "anomaly": null,
            "dependencies": []
          },
          "shrink": null,
          "warnings": [],
          "notes": []
        }
        "#);
    }

    #[test]
    fn errors_tags_and_waits_of_a_history() {
        let sessions = names(&["worker-1", "worker-2"]);
        let failure = Failure::new(&deadlock(), &[Violation::Deadlock { sessions }], &[]);
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
        assert_eq!(Failure::new(&history, &[], &[]).history[0].blocked_by, ["b", "a"]);
    }
}
