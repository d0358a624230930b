//! Test results as JUnit XML, which CI services read.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

/// One test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub name: String,
    pub elapsed: Duration,
    pub outcome: CaseOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseOutcome {
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

/// One suite of these tests, as a JUnit file. Characters that XML has no place for are left out.
///
/// # Errors
/// None that the tests can cause: the serializer's own.
pub fn junit(suite: &str, cases: &[Case]) -> Result<String, SerializeError> {
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
        assert_snapshot!(junit("replay", &cases).expect("it is serialized"));
    }
}
