//! Fewer sessions that race.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::arrangement::{Arrangement, Planned};
use super::ddmin::ddmin;
use super::order;
use super::trials::{Trial, Trials};
use crate::run::{Run, RunError};
use crate::scenario::Scenario;

/// The most runs that are spent on one pair of sessions.
const RUNS_FOR_A_PAIR: u64 = 40;

/// Finds a failing run in which as few sessions as possible race: first the others run after the race, then before it.
/// Of sessions that are copies, the first ones race.
pub fn reduce(trials: &mut Trials<'_>, failing: &Run) -> Result<Run, RunError> {
    let serial = trials.run(&Arrangement::default(), &[])?;
    if serial.fails {
        return Ok(serial.run.clone());
    }
    let race = Arrangement::of(failing);
    let order = race.race(failing);
    let mut best = with_others_aside(trials, &race.racing, &order)?;
    let subset = ddmin(race.racing.clone(), |sessions| {
        let found = with_others_aside(trials, sessions, &order)?;
        let fails = found.is_some();
        best = found.or(best.take());
        Ok::<_, RunError>(fails)
    })?;
    if subset.len() > 2
        && let Some(trial) = any_pair(trials, &subset)?
    {
        best = Some(trial);
    }
    // if no other arrangement fails, it stays as it was
    let mut run = best.map_or_else(|| failing.clone(), |trial| trial.run.clone());
    if let Some(trial) = with_first_copies(trials, &run)? {
        run = trial.run.clone();
    }
    Ok(run)
}

/// A failing run in which these sessions run in this order, and the others after or before them.
fn with_others_aside(
    trials: &mut Trials<'_>,
    sessions: &[usize],
    order: &[Planned],
) -> Result<Option<Arc<Trial>>, RunError> {
    if sessions.len() < 2 {
        return Ok(None);
    }
    let order: Vec<Planned> = order
        .iter()
        .copied()
        .filter(|(session, _)| sessions.contains(session))
        .collect();
    for arrangement in arrangements(trials.scenario(), sessions) {
        let trial = trials.run(&arrangement, &order)?;
        if trial.fails {
            return Ok(Some(trial));
        }
    }
    Ok(None)
}

fn arrangements(scenario: &Scenario, racing: &[usize]) -> [Arrangement; 2] {
    let mut racing = racing.to_vec();
    racing.sort_unstable();
    let others = (0..scenario.sessions.len())
        .filter(|session| !racing.contains(session))
        .collect();
    [
        Arrangement {
            before: Vec::new(),
            racing: racing.clone(),
        },
        Arrangement { before: others, racing },
    ]
}

/// A failing run in which two of these sessions race, in any order; copies stand for each other.
fn any_pair(trials: &mut Trials<'_>, sessions: &[usize]) -> Result<Option<Arc<Trial>>, RunError> {
    let scenario = trials.scenario().clone();
    let kind = |session: usize| {
        let alike = |other: &usize| scenario.sessions[session].is_like(&scenario.sessions[*other]);
        (0..session).find(alike).unwrap_or(session)
    };
    let mut seen = BTreeSet::new();
    for (index, &one) in sessions.iter().enumerate() {
        for &other in &sessions[index + 1..] {
            if !seen.insert((kind(one), kind(other))) {
                continue;
            }
            for arrangement in arrangements(&scenario, &[one, other]) {
                let found = order::search(trials, &arrangement, None, RUNS_FOR_A_PAIR)?;
                if let Some(trial) = found.best {
                    return Ok(Some(trial));
                }
            }
        }
    }
    Ok(None)
}

/// The same race between the first copies of each session; `None` if they race already, or do not fail.
fn with_first_copies(trials: &mut Trials<'_>, run: &Run) -> Result<Option<Arc<Trial>>, RunError> {
    let race = Arrangement::of(run);
    let scenario = trials.scenario().clone();
    let mut renamed: Vec<usize> = (0..scenario.sessions.len()).collect();
    for &session in &race.racing {
        let own = &scenario.sessions[session];
        let of_entry = |index: &usize| {
            let other = &scenario.sessions[*index];
            other.entry == own.entry && other.connection == own.connection
        };
        let place = race
            .racing
            .iter()
            .filter(|racing| of_entry(racing))
            .position(|racing| *racing == session);
        let first = place.and_then(|place| (0..scenario.sessions.len()).filter(of_entry).nth(place));
        renamed[session] = first.unwrap_or(session);
    }
    let racing: Vec<usize> = race.racing.iter().map(|&session| renamed[session]).collect();
    if racing == race.racing {
        return Ok(None);
    }
    let order = race.race(run).into_iter();
    let order: Vec<Planned> = order.map(|(session, kind)| (renamed[session], kind)).collect();
    with_others_aside(trials, &racing, &order)
}
