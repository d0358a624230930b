//! One JSON object, for programs.
//!
//! The keys are stable: keys are added, but never renamed or removed.

mod failure;
mod replays;
mod search;
mod shrink;
mod specifications;

use std::time::Duration;

use serde::Serialize;

use super::document::Document;
use crate::explore;

/// The whole object.
pub fn json(document: &Document) -> String {
    match document {
        Document::Search(search) => written(&search::Report::new(search)),
        Document::Shrink(report) => written(&shrink::Report::new(report)),
        Document::Replays(replays) => written(&replays::Report::new(replays)),
        Document::Specifications(run) => written(&specifications::Report::new(run)),
    }
}

fn written(report: &impl Serialize) -> String {
    // its keys are strings and its values cannot fail to serialize
    serde_json::to_string_pretty(report).unwrap_or_default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Holds,
    Fails,
    Inconclusive,
}

impl From<explore::Verdict> for Verdict {
    fn from(verdict: explore::Verdict) -> Verdict {
        match verdict {
            explore::Verdict::Holds => Verdict::Holds,
            explore::Verdict::Fails => Verdict::Fails,
            explore::Verdict::Inconclusive => Verdict::Inconclusive,
        }
    }
}

fn sentences(reasons: &[impl ToString]) -> Vec<String> {
    reasons.iter().map(ToString::to_string).collect()
}

/// A time in whole milliseconds.
fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
