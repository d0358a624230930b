//! Fewer context switches, then fewer waits, then the earliest order.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::arrangement::Arrangement;
use super::trials::{Trial, Trials};
use crate::run::{Run, RunError};

/// How large an order is; the smallest is looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Size {
    switches: usize,
    /// Steps that were blocked.
    waits: usize,
    /// Of two orders the one is earlier that begins with the earlier session, and of those the one that leaves it sooner.
    blocks: Vec<Block>,
}

/// A session and how many turns it takes before another one does.
type Block = (usize, usize);

fn blocks(order: &[usize]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for &session in order {
        match blocks.last_mut() {
            Some((last, length)) if *last == session => *length += 1,
            _ => blocks.push((session, 1)),
        }
    }
    blocks
}

impl Size {
    fn of(arrangement: &Arrangement, run: &Run) -> Size {
        let blocks = blocks(&arrangement.race(run));
        Size {
            switches: blocks.len().saturating_sub(1),
            waits: run.history.turns.iter().filter(|turn| !turn.waits.is_empty()).count(),
            blocks,
        }
    }

    /// Whether no order that begins with `prefix`, which has at least `switches`, is smaller.
    fn is_below(&self, switches: usize, prefix: &[Block]) -> bool {
        let same_length = &self.blocks[..prefix.len().min(self.blocks.len())];
        switches > self.switches || (switches == self.switches && self.waits == 0 && prefix > same_length)
    }
}

/// What a search came to.
pub struct Found {
    /// The smallest failing run.
    pub best: Option<Arc<Trial>>,
    /// Every smaller order was run, or cannot occur.
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
    let mut best = known.map(|trial| (Size::of(arrangement, &trial.run), trial));
    // by the fewest switches that a run with this prefix can have
    let mut pending: BTreeSet<(usize, Vec<Block>)> = BTreeSet::from([(0, Vec::new())]);
    let most_runs = trials.runs().saturating_add(most_runs);
    let mut is_complete = true;
    while let Some((least, prefix)) = pending.pop_first() {
        if best
            .as_ref()
            .is_some_and(|(smallest, _)| smallest.is_below(least, &prefix))
        {
            continue;
        }
        if trials.is_exhausted() || trials.runs() >= most_runs {
            is_complete = false;
            break;
        }
        let prefix: Vec<usize> = prefix
            .iter()
            .flat_map(|&(session, length)| std::iter::repeat_n(session, length))
            .collect();
        let trial = trials.run(arrangement, &prefix)?;
        let order = arrangement.race(&trial.run);
        let races = |session: &usize| arrangement.racing.contains(session);
        let choices = trial.run.decisions.iter().filter(|decision| races(&decision.chosen));
        for (turn, decision) in choices.enumerate().skip(prefix.len()) {
            let ready: Vec<usize> = decision.ready.iter().copied().filter(races).collect();
            for &other in ready.iter().filter(|&&session| session != decision.chosen) {
                let mut branch = order[..turn].to_vec();
                branch.push(other);
                let branch = blocks(&branch);
                // every other session that can go on will have to be switched to
                pending.insert((branch.len() - 1 + ready.len() - 1, branch));
            }
        }
        let size = Size::of(arrangement, &trial.run);
        if trial.fails && best.as_ref().is_none_or(|(smallest, _)| size < *smallest) {
            best = Some((size, trial));
        }
    }
    Ok(Found {
        best: best.map(|(_, trial)| trial),
        is_complete,
    })
}
