//! Fewer context switches, then fewer waits, then the earliest order.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::arrangement::{Arrangement, Planned};
use super::trials::{Trial, Trials};
use crate::history::MoveKind;
use crate::run::{Decision, Run, RunError};
use crate::schedule::named;

/// The size of an order; the smallest is searched for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Size {
    switches: usize,
    /// Steps that were blocked.
    waits: usize,
    /// An order is earlier if it begins with an earlier session, or with the same one but leaves it sooner.
    blocks: Vec<Block>,
}

/// A session, what it does, and how often before another one moves or it does something else.
type Block = (usize, MoveKind, usize);

fn blocks(order: &[Planned]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for &(session, kind) in order {
        match blocks.last_mut() {
            Some((last, same, length)) if (*last, *same) == (session, kind) => *length += 1,
            _ => blocks.push((session, kind, 1)),
        }
    }
    blocks
}

fn switches(blocks: &[Block]) -> usize {
    blocks.windows(2).filter(|pair| pair[0].0 != pair[1].0).count()
}

/// The beginning of an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Beginning {
    /// The fewest switches that an order beginning with it can have.
    least: usize,
    blocks: Vec<Block>,
    /// Released sessions that would resume at once, but resume after this instead.
    after: Vec<usize>,
    /// How many moves are the same in the run that it was taken from, including its own last one.
    moves: usize,
}

impl Beginning {
    fn order(&self) -> Vec<Planned> {
        let blocks = self.blocks.iter();
        let order = blocks.flat_map(|&(session, kind, length)| std::iter::repeat_n((session, kind), length));
        let after = self.after.iter().map(|&session| (session, MoveKind::Resume));
        order.chain(after).collect()
    }
}

impl Size {
    fn of(arrangement: &Arrangement, run: &Run) -> Size {
        let blocks = blocks(&arrangement.race(run));
        Size {
            switches: switches(&blocks),
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

/// The result of a search.
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

/// Runs the orders of the racing sessions, those with the fewest switches first, and among those the earliest first,
/// until none is left that could be smaller than a failing one. `known` fails.
///
/// An order is run as a prefix, after which sessions switch only where they must, and released sessions resume at once.
/// Each later move at which another session could have moved gives a further prefix.
pub fn search(
    trials: &mut Trials<'_>,
    arrangement: &Arrangement,
    known: Option<Arc<Trial>>,
    most_runs: u64,
) -> Result<Found, RunError> {
    let mut best = known.map(|trial| (Size::of(arrangement, &trial.run), trial));
    let mut pending: BTreeSet<Beginning> = BTreeSet::from([Beginning {
        least: 0,
        blocks: Vec::new(),
        after: Vec::new(),
        moves: 0,
    }]);
    let most_runs = trials.runs().saturating_add(most_runs);
    let mut is_complete = true;
    while let Some(beginning) = pending.pop_first() {
        if best
            .as_ref()
            .is_some_and(|(smallest, _)| smallest.is_below(beginning.least, &beginning.blocks))
        {
            continue;
        }
        if trials.is_exhausted() || trials.runs() >= most_runs {
            is_complete = false;
            break;
        }
        let trial = trials.run(arrangement, &beginning.order())?;
        pending.extend(branches(arrangement, &trial.run, beginning.moves));
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

/// The orders that branch off from that of a run after at least `after` moves.
fn branches(arrangement: &Arrangement, run: &Run, after: usize) -> Vec<Beginning> {
    let mut order: Vec<Planned> = Vec::new();
    let mut branches = Vec::new();
    let moves = &run.history.moves;
    for (index, (made, is_named)) in moves.iter().zip(named(&run.history)).enumerate() {
        if !arrangement.racing.contains(&made.session) {
            continue;
        }
        if index >= after {
            let began = |session: usize| moves[..index].iter().rposition(|one| one.session == session);
            branches.extend(
                alternatives(arrangement, &run.decisions[index], &order, made.session, began).map(
                    |(least, blocks, after)| Beginning {
                        least,
                        blocks,
                        after,
                        moves: index + 1,
                    },
                ),
            );
        }
        if is_named {
            order.push((made.session, made.kind));
        }
    }
    branches
}

/// The beginnings in which, after an order, another session than `made` moves at a decision. `began` says which of two
/// sessions began to wait first.
fn alternatives(
    arrangement: &Arrangement,
    decision: &Decision,
    order: &[Planned],
    made: usize,
    began: impl Fn(usize) -> Option<usize>,
) -> impl Iterator<Item = (usize, Vec<Block>, Vec<usize>)> {
    let ready: Vec<Planned> = decision
        .ready
        .iter()
        .copied()
        .zip(decision.kinds.iter().copied())
        .collect();
    let (mut released, steps): (Vec<Planned>, Vec<Planned>) = ready
        .into_iter()
        .filter(|(session, _)| arrangement.racing.contains(session))
        .partition(|(_, kind)| *kind == MoveKind::Resume);
    released.sort_by_key(|(session, _)| began(*session));
    let others: Vec<Planned> = released
        .iter()
        .chain(&steps)
        .copied()
        .filter(|(session, _)| *session != made)
        .collect();
    let order = order.to_vec();
    others.into_iter().map(move |other| {
        let mut branch = order.clone();
        let mut after: Vec<usize> = released.iter().map(|(session, _)| *session).collect();
        match other {
            (_, MoveKind::Step | MoveKind::Timeout) => branch.push(other),
            // it resumes at once if those that began to wait before it do not
            (session, MoveKind::Resume) => after.retain(|&before| began(before) < began(session)),
        }
        let last = branch.last().map(|(session, _)| *session);
        let steps = steps.iter().filter(|(_, kind)| *kind == MoveKind::Step);
        let to_come = steps.map(|(session, _)| *session).chain(after.iter().copied());
        let blocks = blocks(&branch);
        // every other enabled session that does not resume at once will have to be switched to
        let least = switches(&blocks) + to_come.filter(|session| Some(*session) != last).count();
        (least, blocks, after)
    })
}
