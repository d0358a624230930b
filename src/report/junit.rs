//! Test results as JUnit XML, which CI services read.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::document::{Compared, Comparison, Document, Purpose, ReplayedSchedule, Search, ShrinkReport, Status};
use super::text::replays::{headline, in_full};
use super::text::specifications::nothing_expected;
use super::text::{Detail, TextOptions, text};
use crate::explore::{Reason, Verdict};

/// One test.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Case {
    name: String,
    elapsed: Duration,
    outcome: CaseOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum CaseOutcome {
    Pass,
    /// What was expected did not happen.
    Failure {
        message: String,
        text: String,
    },
    /// The test could not be run.
    Error {
        message: String,
        text: String,
    },
}

/// The document as one suite. Characters that XML does not permit are left out.
///
/// # Errors
/// Only the serializer's own; the document cannot cause any.
pub fn junit(document: &Document) -> Result<String, SerializeError> {
    let written = || text(document, Detail::Whole, &TextOptions::default());
    match document {
        Document::Search(search) => suite(
            match search.purpose {
                Purpose::Explore => "pgbraid explore",
                Purpose::Prove => "pgbraid prove",
            },
            &[of_search(search, written)],
        ),
        Document::Shrink(report) => suite("pgbraid shrink", &[of_shrink(report, written())]),
        Document::Replays(replays) => {
            let cases: Vec<Case> = replays.schedules.iter().map(of_replay).collect();
            suite("pgbraid replay", &cases)
        }
        Document::Specifications(run) => {
            let cases: Vec<Case> = run.compared.iter().map(of_specification).collect();
            suite("pgbraid spec", &cases)
        }
    }
}

/// A scenario passes if it holds.
fn of_search(search: &Search, written: impl Fn() -> String) -> Case {
    let not_met = |message| CaseOutcome::Failure {
        message,
        text: written(),
    };
    Case {
        name: search.scenario.clone(),
        elapsed: search.elapsed,
        outcome: match search.verdict {
            Verdict::Holds => CaseOutcome::Pass,
            Verdict::Fails => {
                let violated = search.failure.iter().flat_map(|failure| &failure.violations);
                not_met(fails(violated.map(|violation| violation.name())))
            }
            Verdict::Inconclusive => not_met(inconclusive(&search.reasons)),
        },
    }
}

/// A schedule that was made small fails.
fn of_shrink(report: &ShrinkReport, text: String) -> Case {
    let violated = report.failure.violations.iter().map(|violation| violation.name());
    Case {
        name: report.scenario.clone(),
        elapsed: report.elapsed,
        outcome: CaseOutcome::Failure {
            message: match report.verdict {
                Verdict::Inconclusive => inconclusive(&report.reasons),
                Verdict::Holds | Verdict::Fails => fails(violated),
            },
            text,
        },
    }
}

fn of_replay(replayed: &ReplayedSchedule) -> Case {
    let message = headline(replayed).unwrap_or_default();
    let text = match &replayed.result {
        Ok(replay) => in_full(replay, &TextOptions::default()),
        Err(error) => error.message.clone(),
    };
    Case {
        name: replayed.path.display().to_string(),
        elapsed: replayed.elapsed(),
        outcome: match replayed.status {
            Status::Passed => CaseOutcome::Pass,
            Status::Failed | Status::Inconclusive => CaseOutcome::Failure { message, text },
            Status::Error => CaseOutcome::Error { message, text },
        },
    }
}

fn of_specification(compared: &Compared) -> Case {
    let outcome = match &compared.outcome {
        Comparison::Passed => CaseOutcome::Pass,
        Comparison::Differs(mismatch) => CaseOutcome::Failure {
            message: format!(
                "the output differs from {}: {} lines added, {} removed",
                mismatch.closest.display(),
                mismatch.lines_added,
                mismatch.lines_removed
            ),
            text: mismatch.difference.clone(),
        },
        Comparison::NothingExpected(path) => CaseOutcome::Error {
            message: nothing_expected(path),
            text: String::new(),
        },
        Comparison::Error(message) => CaseOutcome::Error {
            message: message.lines().next().unwrap_or_default().to_owned(),
            text: message.clone(),
        },
    };
    Case {
        name: compared.name.clone(),
        elapsed: compared.elapsed,
        outcome,
    }
}

fn inconclusive(reasons: &[Reason]) -> String {
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    format!("inconclusive: {}", reasons.join("; "))
}

fn fails(violated: impl Iterator<Item = String>) -> String {
    format!("fails: {}", violated.collect::<Vec<_>>().join(", "))
}

fn suite(suite: &str, cases: &[Case]) -> Result<String, SerializeError> {
    let mut report = Report::new("pgbraid");
    let classname = suite;
    let mut suite = TestSuite::new(suite);
    let mut total = Duration::ZERO;
    for case in cases {
        let not_met = |kind, message: &str, text: &str| {
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(message).set_description(text);
            status
        };
        let status = match &case.outcome {
            CaseOutcome::Pass => TestCaseStatus::success(),
            CaseOutcome::Failure { message, text } => not_met(NonSuccessKind::Failure, message, text),
            CaseOutcome::Error { message, text } => not_met(NonSuccessKind::Error, message, text),
        };
        let mut test = TestCase::new(case.name.as_str(), status);
        // services group tests by it
        test.set_classname(classname);
        test.set_time(case.elapsed);
        total += case.elapsed;
        suite.add_test_case(test);
    }
    suite.set_time(total);
    report.set_time(total);
    report.add_test_suite(suite);
    report.to_string()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::history::testing::deadlock;
    use crate::report::sample::{failing, searched};
    use crate::verdict::outcome::Violation;

    fn written(search: Search) -> String {
        junit(&Document::Search(Box::new(search))).expect("it is serialized")
    }

    #[test]
    fn a_scenario_passes_that_holds_and_no_other() {
        let holds = written(Search {
            purpose: Purpose::Prove,
            verdict: Verdict::Holds,
            ..searched()
        });
        assert!(
            holds.contains(r#"<testcase name="lost-update" classname="pgbraid prove" time="0.041"/>"#),
            "{holds}"
        );
        let sessions = vec!["worker-1".to_owned(), "worker-2".to_owned()];
        let fails = written(Search {
            verdict: Verdict::Fails,
            failure: Some(failing(deadlock(), vec![Violation::Deadlock { sessions }])),
            ..searched()
        });
        assert!(fails.contains(r#"classname="pgbraid explore""#), "{fails}");
        assert!(
            fails.contains(r#"<failure message="fails: deadlock"> # │ worker-1"#),
            "{fails}"
        );
        let unknown = written(Search {
            verdict: Verdict::Inconclusive,
            reasons: vec![Reason::Interrupted],
            ..searched()
        });
        assert!(
            unknown.contains(r#"<failure message="inconclusive: it was interrupted">"#),
            "{unknown}"
        );
    }

    #[test]
    fn a_suite() {
        let case = |name: &str, millis, outcome| Case {
            name: name.to_owned(),
            elapsed: Duration::from_millis(millis),
            outcome,
        };
        let (message, text) = (
            "holds \u{1b}[31mnow\u{1b}[0m".to_owned(),
            "a < b\n\u{1}\"c\"".to_owned(),
        );
        let cases = [
            case("schedules/counter.toml", 1_250, CaseOutcome::Pass),
            case(
                "schedules/seats.toml",
                40,
                CaseOutcome::Failure {
                    message: message.clone(),
                    text: text.clone(),
                },
            ),
            case("schedules/stock.toml", 0, CaseOutcome::Error { message, text }),
        ];
        assert_snapshot!(suite("replay", &cases).expect("it is serialized"));
    }
}
