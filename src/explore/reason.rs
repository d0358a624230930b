//! Why a verdict is inconclusive.

use std::time::Duration;

use thiserror::Error;

use crate::history::{RunDifference, Uncontrolled};

/// Why a verdict is inconclusive; with a failure, why not everything is known about it. The text is a clause for
/// people; programs use the [code](Reason::code).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the text of each variant says what it is")]
pub enum Reason {
    #[error(transparent)]
    Uncontrolled(#[from] Uncontrolled),
    #[error("the bound of {} was reached", schedules(*.0))]
    MaxSchedules(u64),
    #[error("the time bound of {} s was reached", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("it was interrupted")]
    Interrupted,
    #[error("schedules were sampled, not all run")]
    Sampled,
    /// A schedule behaved differently when it was run again.
    #[error(
        "a schedule {}behaved differently when it was run again: something outside the schedule decides (time, chance, or work \
         outside the run): {difference}",
        if *failed { "failed, and " } else { "" }
    )]
    NotRepeated {
        /// It had failed the first time.
        failed: bool,
        difference: RunDifference,
    },
    #[error(
        "a schedule left table {table} in another state when it was run again: chance or time decides; `ignore` leaves out a \
         column that does not matter"
    )]
    LeftOtherwise { table: String },
    /// The smallest failing schedule did not fail each time that it was replayed.
    #[error(
        "the smallest failing schedule failed in the same way in {fails} of {of} replays: something outside the schedule \
         decides (time, chance, or work outside the run)"
    )]
    NotConfirmed { fails: u32, of: u32 },
    /// The failure stands, but its anomaly is not known. Holds the reason in words.
    #[error("the anomaly could not be named: {0}")]
    NotExplained(String),
}

impl Reason {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Reason::Uncontrolled(what) => what.code(),
            Reason::MaxSchedules(_) => "schedule-bound",
            Reason::Timeout(_) => "time-bound",
            Reason::Interrupted => "interrupted",
            Reason::Sampled => "sampled",
            Reason::NotRepeated { .. } => "not-repeated",
            Reason::LeftOtherwise { .. } => "left-otherwise",
            Reason::NotConfirmed { .. } => "not-confirmed",
            Reason::NotExplained(_) => "not-explained",
        }
    }
}

fn schedules(limit: u64) -> String {
    match limit {
        1 => "one schedule".to_owned(),
        limit => format!("{limit} schedules"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn bounds_are_said_as_people_do() {
        assert_eq!(
            Reason::MaxSchedules(1).to_string(),
            "the bound of one schedule was reached"
        );
        assert_eq!(
            Reason::MaxSchedules(15).to_string(),
            "the bound of 15 schedules was reached"
        );
        let timeout = Reason::Timeout(Duration::from_millis(1_500));
        assert_eq!(timeout.to_string(), "the time bound of 1.5 s was reached");
    }

    #[test]
    fn a_failure_that_does_not_come_again_is_told_from_what_did_not_fail() {
        let said = |failed| {
            let difference = RunDifference::Ends;
            Reason::NotRepeated { failed, difference }.to_string()
        };
        assert!(said(true).starts_with("a schedule failed, and behaved differently when it was run again: something"));
        assert!(said(false).starts_with("a schedule behaved differently when it was run again: something"));
        assert!(said(false).ends_with("(time, chance, or work outside the run): the sessions ended differently"));
    }

    /// The codes that the `code` functions return: the texts behind the arrows there.
    fn codes(source: &str) -> impl Iterator<Item = &str> {
        let body = source.split("pub fn code(&self)").nth(1).expect("it has codes");
        let body = body.split("\n    }\n").next().expect("the function ends");
        let arrows = body.split("=> \"").skip(1);
        arrows.map(|rest| rest.split('"').next().expect("the text ends"))
    }

    #[test]
    fn every_code_is_documented_and_no_other() {
        let in_code: BTreeSet<&str> = codes(include_str!("reason.rs"))
            .chain(codes(include_str!("../history/uncontrolled.rs")))
            .collect();
        let lines = include_str!("../../docs/json-reports.md").lines();
        let rows = lines.filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        assert_eq!(in_code, rows.collect());
        assert!(in_code.contains(Reason::Sampled.code()));
        assert!(in_code.contains(Uncontrolled::DeadlockVictim.code()));
    }
}
