//! Documents written by hand, for tests.

use std::time::Duration;

use num_bigint::BigUint;

use crate::explore::Verdict;
use crate::history::History;
use crate::report::document::{Failure, Purpose, Search};
use crate::verdict::outcome::Violation;

/// A failure that did this.
pub(crate) fn failing(history: History, violations: Vec<Violation>) -> Failure {
    Failure {
        outputs: Vec::new(),
        history,
        violations,
        tables: Vec::new(),
        order: Vec::new(),
        explanation: None,
    }
}

/// A search that found nothing.
pub(crate) fn searched() -> Search {
    Search {
        purpose: Purpose::Explore,
        scenario: "lost-update".to_owned(),
        verdict: Verdict::Inconclusive,
        reasons: Vec::new(),
        exhaustive: false,
        stopped_at_failure: false,
        strategy: "exhaustive",
        seed: None,
        interleavings: Some(BigUint::from(20u32)),
        schedules_run: 0,
        by_source: None,
        paths: Vec::new(),
        failures: 0,
        elapsed: Duration::from_millis(41),
        outcomes: Vec::new(),
        failure: None,
        shrink: None,
        warnings: Vec::new(),
        notes: Vec::new(),
        account: Vec::new(),
    }
}
