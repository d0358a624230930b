//! A test run of specifications.

use serde::Serialize;

use super::millis;
use crate::report::document::{Compared, Comparison, Specifications};
use crate::report::text::specifications::nothing_expected;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether every output is as expected.
    verdict: &'static str,
    passed: usize,
    failed: usize,
    /// Without expected output, or not run to the end.
    errors: usize,
    elapsed_ms: u64,
    specifications: Vec<Specification>,
}

#[derive(Debug, Serialize)]
struct Specification {
    name: String,
    /// `passed`, `failed` or `error`.
    status: &'static str,
    /// What is wrong, in words; null if it passed or differs.
    message: Option<String>,
    elapsed_ms: u64,
    /// How its output differs; null if it does not.
    difference: Option<Difference>,
}

#[derive(Debug, Serialize)]
struct Difference {
    /// The most similar expected output.
    expected: String,
    lines_added: usize,
    lines_removed: usize,
    /// From the expected output to the actual one, as a unified diff.
    diff: String,
}

impl Report {
    pub(super) fn new(run: &Specifications) -> Report {
        let specifications: Vec<Specification> = run.compared.iter().map(specification).collect();
        let count = |status| specifications.iter().filter(|one| one.status == status).count();
        let passed = count("passed");
        Report {
            verdict: if passed == specifications.len() {
                "passed"
            } else {
                "failed"
            },
            passed,
            failed: count("failed"),
            errors: count("error"),
            elapsed_ms: millis(run.elapsed),
            specifications,
        }
    }
}

fn specification(compared: &Compared) -> Specification {
    let (status, message, difference) = match &compared.outcome {
        Comparison::Passed => ("passed", None, None),
        Comparison::Differs(mismatch) => {
            let difference = Difference {
                expected: mismatch.closest.display().to_string(),
                lines_added: mismatch.lines_added,
                lines_removed: mismatch.lines_removed,
                diff: mismatch.difference.clone(),
            };
            ("failed", None, Some(difference))
        }
        Comparison::NothingExpected(path) => ("error", Some(nothing_expected(path)), None),
        Comparison::Error(message) => ("error", Some(message.clone()), None),
    };
    Specification {
        name: compared.name.clone(),
        status,
        message,
        elapsed_ms: millis(compared.elapsed),
        difference,
    }
}
