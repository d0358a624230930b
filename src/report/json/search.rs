//! The result of a search.

use std::collections::BTreeMap;

use num_bigint::BigUint;
use serde::{Serialize, Serializer};

use super::failure::Failure;
use super::shrink::Shrink;
use super::{Verdict, millis, sentences};
use crate::explore::Reason;
use crate::report::document::{self, Search};

/// The whole result of one exploration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    /// The scenario's name.
    scenario: String,
    /// The strategy's name, as the command line spells it.
    strategy: String,
    /// The seed of a strategy that samples.
    seed: Option<u64>,
    verdict: Verdict,
    /// Why the verdict is inconclusive; with a failure, why not everything is known about it.
    reasons: Vec<String>,
    /// Their codes, in the same order.
    reason_codes: Vec<&'static str>,
    /// Whether every interleaving was covered.
    exhaustive: bool,
    /// How many interleavings there are; a decimal string, as it may exceed what a JSON number holds. `None` where
    /// sessions are programs, which do not say what they will do.
    #[serde(serialize_with = "decimal")]
    interleavings: Option<BigUint>,
    schedules_run: u64,
    /// Runs of the programs themselves, those that confirm others included; only where sessions are programs, as the next two.
    #[serde(skip_serializing_if = "Option::is_none")]
    live_runs: Option<u64>,
    /// Schedules that were run from what was learned of the programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    learned_runs: Option<u64>,
    /// How many of these did the same when they were run with the programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_live: Option<u64>,
    /// By program: how many paths it has taken, each by what it was told.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    paths: BTreeMap<String, usize>,
    /// Milliseconds.
    elapsed_ms: u64,
    outcomes: Vec<Outcome>,
    /// The smallest failing schedule, if the one that was found was made small.
    failure: Option<Failure>,
    shrink: Option<Shrink>,
    warnings: Vec<String>,
    notes: Vec<String>,
}

/// One outcome and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Outcome {
    /// The same for the same outcome, whatever the strategy, the run or the machine.
    id: String,
    /// How many schedules led to it.
    schedules: u64,
    fails: bool,
    /// Names of what was violated.
    violations: Vec<String>,
    /// An example schedule: session names, one for each step.
    order: Vec<String>,
}

impl Report {
    pub(super) fn new(search: &Search) -> Report {
        Report {
            scenario: search.scenario.clone(),
            strategy: search.strategy.to_owned(),
            seed: search.seed,
            verdict: search.verdict.into(),
            reasons: sentences(&search.reasons),
            reason_codes: search.reasons.iter().map(Reason::code).collect(),
            exhaustive: search.exhaustive,
            interleavings: search.interleavings.clone(),
            schedules_run: search.schedules_run,
            live_runs: search.by_source.map(|counts| counts.live),
            learned_runs: search.by_source.map(|counts| counts.learned),
            confirmed_live: search.by_source.map(|counts| counts.confirmed_live),
            paths: search.paths.iter().cloned().collect(),
            elapsed_ms: millis(search.elapsed),
            outcomes: search.outcomes.iter().map(Outcome::new).collect(),
            failure: search.failure.as_ref().map(Failure::new),
            shrink: search.shrink.as_ref().map(Shrink::new),
            warnings: search.warnings.clone(),
            notes: search.notes.iter().chain(&search.account).cloned().collect(),
        }
    }
}

impl Outcome {
    fn new(outcome: &document::Outcome) -> Outcome {
        Outcome {
            id: outcome.id.clone(),
            schedules: outcome.schedules,
            fails: outcome.fails(),
            violations: outcome.violations.clone(),
            order: outcome.order.clone(),
        }
    }
}

fn decimal<S: Serializer>(n: &Option<BigUint>, serializer: S) -> Result<S::Ok, S::Error> {
    match n {
        Some(n) => serializer.collect_str(n),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use num_bigint::BigUint;

    use crate::explore::{Reason, Verdict};
    use crate::history::testing::{Sample, row};
    use crate::report::document::{self, Document, Outcome, Search};
    use crate::report::json::json;
    use crate::report::sample::{failing, searched};
    use crate::verdict::outcome::Violation;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_whole_object() {
        let history = Sample::new(&["a", "b"])
            .turn(0, "SELECT views FROM articles WHERE id = 1", row(&[("views", None)]))
            .begun()
            .history();
        let broken = Violation::Invariant {
            name: "no update is lost".to_owned(),
            sql: "SELECT false".to_owned(),
            columns: names(&["?column?"]),
            rows: vec![vec![Some("f".to_owned())]],
        };
        let search = Search {
            verdict: Verdict::Fails,
            interleavings: Some(BigUint::from(10u8).pow(20)),
            reasons: vec![Reason::Interrupted],
            schedules_run: 3,
            outcomes: vec![Outcome {
                id: "3f9a1c".to_owned(),
                schedules: 1,
                violations: names(&["no update is lost"]),
                order: names(&["a"]),
            }],
            failure: Some(document::Failure {
                outputs: Vec::new(),
                order: names(&["a"]),
                ..failing(history, vec![broken])
            }),
            ..searched()
        };
        let text = json(&Document::Search(Box::new(search)));
        assert_snapshot!(text, @r#"
        {
          "scenario": "lost-update",
          "strategy": "exhaustive",
          "seed": null,
          "verdict": "fails",
          "reasons": [
            "it was interrupted"
          ],
          "reason_codes": [
            "interrupted"
          ],
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
}
