//! As one JSON object, for programs. The keys are stable: they are added to, never renamed or removed.

use std::time::Duration;

use serde::Serialize;

use super::{Compared, Outcome, nothing_expected};
use crate::report::json::millis;

#[derive(Debug, Serialize)]
struct Report {
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
    /// What is wrong, in words; null where it passed or differs.
    message: Option<String>,
    elapsed_ms: u64,
    /// How its output differs; null where it does not.
    difference: Option<Difference>,
}

#[derive(Debug, Serialize)]
struct Difference {
    /// The expected output that is nearest.
    expected: String,
    lines_added: usize,
    lines_removed: usize,
    /// From the expected output to the actual one, as a unified diff.
    diff: String,
}

/// The whole result of a test run.
pub fn json(compared: &[Compared], elapsed: Duration) -> String {
    let specifications: Vec<Specification> = compared.iter().map(specification).collect();
    let count = |status| specifications.iter().filter(|one| one.status == status).count();
    let passed = count("passed");
    let report = Report {
        verdict: if passed == compared.len() { "passed" } else { "failed" },
        passed,
        failed: count("failed"),
        errors: count("error"),
        elapsed_ms: millis(elapsed),
        specifications,
    };
    // its keys are strings and its values have no way to fail
    serde_json::to_string_pretty(&report).unwrap_or_default()
}

fn specification(compared: &Compared) -> Specification {
    let (status, message, difference) = match &compared.outcome {
        Outcome::Passed => ("passed", None, None),
        Outcome::Differs(mismatch) => {
            let difference = Difference {
                expected: mismatch.closest.display().to_string(),
                lines_added: mismatch.lines_added,
                lines_removed: mismatch.lines_removed,
                diff: mismatch.difference.clone(),
            };
            ("failed", None, Some(difference))
        }
        Outcome::NothingExpected(path) => ("error", Some(nothing_expected(path)), None),
        Outcome::Error(message) => ("error", Some(message.clone()), None),
    };
    Specification {
        name: compared.name.clone(),
        status,
        message,
        elapsed_ms: millis(compared.elapsed),
        difference,
    }
}
