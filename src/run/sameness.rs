//! Whether two runs of one schedule did the same.

use super::Run;
use crate::history::RunDifference;

/// Where two runs of the same schedule differed.
pub fn differs(one: &Run, other: &Run) -> Option<RunDifference> {
    let turns = one.history.turns.iter().zip(&other.history.turns);
    if let Some((turn, _)) = turns.into_iter().find(|(one, other)| one != other) {
        return Some(RunDifference::Step {
            session: one.history.sessions[turn.session].clone(),
            step: turn.step.clone(),
        });
    }
    if one.history != other.history {
        return Some(RunDifference::Ends);
    }
    (one.violations != other.violations).then_some(RunDifference::Violations)
}

/// The first table in which two runs left different rows.
pub fn leaves_otherwise(one: &Run, other: &Run) -> Option<String> {
    let (before, now) = (&one.outcome.tables, &other.outcome.tables);
    let same = before.iter().zip(now).take_while(|(before, now)| before == now).count();
    before.get(same).or(now.get(same)).map(|table| table.name.clone())
}
