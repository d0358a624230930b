//! Fewer context switches, then the earliest order.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::arrangement::{Arrangement, switches};
use super::trials::{Trial, Trials};
use crate::run::{Run, RunError};

/// What a search came to.
pub struct Found {
    /// The failing run with the fewest switches, and of several the earliest.
    pub best: Option<Arc<Trial>>,
    /// Every order with fewer switches, and every earlier one with as many, was run or cannot occur.
    pub is_complete: bool,
}

/// The smallest order of the sessions that race in `run`, with the others where they are.
pub fn reduce(trials: &mut Trials<'_>, run: Run) -> Result<(Run, bool), RunError> {
    let arrangement = Arrangement::of(&run);
    if arrangement.racing.is_empty() {
        return Ok((run, true));
    }
    let known = trials.run(&arrangement, &arrangement.race(&run))?;
    let found = search(trials, &arrangement, Some(known).filter(|known| known.fails), u64::MAX)?;
    Ok(match found.best {
        Some(best) => (best.run.clone(), found.is_complete),
        None => (run, false),
    })
}

/// Runs the orders of the racing sessions, those with the fewest switches first, and of those with as many the earliest
/// first, until none is left that could be smaller than one that fails. `known` fails.
///
/// An order is run as a prefix, after which sessions switch only where they must. Each later turn at which another
/// session could have gone on gives a further prefix.
pub fn search(
    trials: &mut Trials<'_>,
    arrangement: &Arrangement,
    known: Option<Arc<Trial>>,
    most_runs: u64,
) -> Result<Found, RunError> {
    let size = |trial: &Trial| {
        let order = arrangement.race(&trial.run);
        (switches(&order), order)
    };
    let mut best = known.map(|trial| (size(&trial), trial));
    // by the fewest switches that a run with this prefix can have
    let mut pending: BTreeSet<(usize, Vec<usize>)> = BTreeSet::from([(0, Vec::new())]);
    let most_runs = trials.runs().saturating_add(most_runs);
    while let Some((least, prefix)) = pending.pop_first() {
        if let Some(((fewest, order), _)) = &best {
            if least > *fewest {
                break;
            }
            let begins_earlier = prefix.as_slice() <= &order[..prefix.len().min(order.len())];
            if least == *fewest && !begins_earlier {
                continue;
            }
        }
        if trials.is_exhausted() || trials.runs() >= most_runs {
            return Ok(Found {
                best: best.map(|(_, trial)| trial),
                is_complete: false,
            });
        }
        let trial = trials.run(arrangement, &prefix)?;
        let (fewest, order) = size(&trial);
        let choices = trial
            .run
            .decisions
            .iter()
            .filter(|decision| arrangement.racing.contains(&decision.chosen));
        for (turn, decision) in choices.enumerate().skip(prefix.len()) {
            let ready: Vec<usize> = decision
                .ready
                .iter()
                .copied()
                .filter(|session| arrangement.racing.contains(session))
                .collect();
            for &other in ready.iter().filter(|&&session| session != decision.chosen) {
                let mut branch = order[..turn].to_vec();
                branch.push(other);
                // every other session that can go on will have to be switched to
                pending.insert((switches(&branch) + ready.len() - 1, branch));
            }
        }
        let size = (fewest, order);
        if trial.fails && best.as_ref().is_none_or(|(smallest, _)| size < *smallest) {
            best = Some((size, trial));
        }
    }
    Ok(Found {
        best: best.map(|(_, trial)| trial),
        is_complete: true,
    })
}
