//! Whether a replay meets the expectation.

use crate::history::{RunDifference, Uncontrolled};
use crate::run::Run;
use crate::schedule::{Departure, Expectation, PinnedSchedule};

/// What a replay says about the expectation of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It did what is expected.
    Met,
    /// It holds, but is pinned to fail.
    Holds,
    /// It fails, but is pinned to hold.
    Fails,
    /// It fails as expected, but does not violate what it is pinned to violate. Holds the names of what it does
    /// violate.
    FailsOtherwise { violates: Vec<String> },
    /// It left the order of a strict schedule.
    LeftOrder,
    /// It did not do the same each time: what differed in a later run, counted from 1.
    Differs { run: u32, difference: RunDifference },
    /// It holds, but this was not under control.
    NotControlled(Vec<Uncontrolled>),
}

impl Judgement {
    pub(super) fn of(
        pinned: &PinnedSchedule,
        run: &Run,
        departures: &[Departure],
        difference: Option<(u32, RunDifference)>,
    ) -> Judgement {
        if let Some((run, difference)) = difference {
            return Judgement::Differs { run, difference };
        }
        if pinned.strict && !departures.is_empty() {
            return Judgement::LeftOrder;
        }
        let violates = run.violated();
        let same = |names: &[String]| {
            names.iter().all(|name| violates.contains(name)) && violates.iter().all(|name| names.contains(name))
        };
        match (pinned.expect, violates.is_empty()) {
            (_, true) if !run.uncontrolled.is_empty() => Judgement::NotControlled(run.uncontrolled.clone()),
            (Expectation::Fails, true) => Judgement::Holds,
            (Expectation::Holds, false) => Judgement::Fails,
            (Expectation::Fails, false) if !pinned.violates.is_empty() && !same(&pinned.violates) => {
                Judgement::FailsOtherwise { violates }
            }
            _ => Judgement::Met,
        }
    }

    /// Whether the expectation can be changed to what the replay did.
    pub fn is_updatable(&self) -> bool {
        matches!(
            self,
            Judgement::Holds | Judgement::Fails | Judgement::FailsOtherwise { .. }
        )
    }
}
