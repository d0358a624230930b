//! Which sessions race, and which run by themselves.

use std::collections::VecDeque;

use crate::history::{MoveKind, SoFar};
use crate::run::{Candidate, Run, Scheduler, first_without_timeout};
use crate::schedule::{at_once, named};

/// A session and what it does. An order does not contain resumptions that happen at once.
pub type Planned = (usize, MoveKind);

/// Sessions that run one after another, undisturbed, before those that race; all others run after them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Arrangement {
    /// In the order in which they run.
    pub before: Vec<usize>,
    /// Ascending.
    pub racing: Vec<usize>,
}

impl Arrangement {
    /// The arrangement of a run. A session races if another one has a turn between its first turn and its last end.
    pub fn of(run: &Run) -> Arrangement {
        let turns = &run.history.turns;
        let sessions = 0..run.history.sessions.len();
        let span = |session: usize| {
            let own = || {
                turns
                    .iter()
                    .enumerate()
                    .filter(move |(_, turn)| turn.session == session)
            };
            let end = own().map(|(index, turn)| turn.finished_in.max(index)).max();
            Some((own().next()?.0, end?))
        };
        let spans: Vec<Option<(usize, usize)>> = sessions.clone().map(span).collect();
        let overlaps = |one: usize, other: usize| match (spans[one], spans[other]) {
            (Some((from, to)), Some((other_from, other_to))) => one != other && from <= other_to && other_from <= to,
            _ => false,
        };
        let racing: Vec<usize> = sessions
            .clone()
            .filter(|&session| sessions.clone().any(|other| overlaps(session, other)))
            .collect();
        let first = turns.iter().position(|turn| racing.contains(&turn.session));
        let mut before: Vec<usize> = Vec::new();
        for turn in &turns[..first.unwrap_or(0)] {
            if !before.contains(&turn.session) {
                before.push(turn.session);
            }
        }
        Arrangement { before, racing }
    }

    /// The moves of the racing sessions in a run, without those that happen in any case.
    pub fn race(&self, run: &Run) -> Vec<Planned> {
        let moves = run.history.moves.iter().zip(named(&run.history));
        let named = moves
            .filter(|(_, named)| *named)
            .map(|(one, _)| (one.session, one.kind));
        named.filter(|(session, _)| self.racing.contains(session)).collect()
    }
}

/// Runs the racing sessions in a given order. When that is used up, the session that moved last moves, or else the
/// first enabled one of them.
pub struct Arranged<'a> {
    arrangement: &'a Arrangement,
    order: VecDeque<Planned>,
    last: Option<usize>,
}

impl<'a> Arranged<'a> {
    pub fn new(arrangement: &'a Arrangement, order: &[Planned]) -> Arranged<'a> {
        Arranged {
            arrangement,
            order: order.iter().copied().collect(),
            last: None,
        }
    }

    fn next(&mut self, so_far: SoFar<'_>, ready: &[Candidate<'_>]) -> Option<usize> {
        let Arrangement { before, racing } = self.arrangement;
        let is_named = |session: usize| self.order.contains(&(session, MoveKind::Resume));
        if let Some(session) = at_once(so_far, ready, is_named) {
            return Some(session);
        }
        let does_more_than_time_out = |candidate: &&Candidate<'_>| candidate.kind != MoveKind::Timeout;
        let is_ready = |session: usize| {
            let mut candidates = ready.iter().filter(does_more_than_time_out);
            candidates.any(|candidate| candidate.session == session)
        };
        if let Some(session) = before.iter().copied().find(|&session| is_ready(session)) {
            self.last = Some(session);
            return Some(session);
        }
        let can = |planned: &Planned| {
            ready
                .iter()
                .any(|candidate| (candidate.session, candidate.kind) == *planned)
        };
        let place = self.order.iter().position(can);
        let stay = || self.last.filter(|&last| racing.contains(&last) && is_ready(last));
        let chosen = place
            .and_then(|place| self.order.remove(place))
            .map(|(session, _)| session)
            .or_else(stay)
            .or_else(|| racing.iter().copied().find(|&session| is_ready(session)));
        self.last = chosen;
        chosen
    }
}

impl Scheduler for Arranged<'_> {
    fn choose(&mut self, so_far: SoFar<'_>, ready: &[Candidate<'_>]) -> usize {
        let chosen = self.next(so_far, ready);
        chosen.unwrap_or_else(|| {
            let session = first_without_timeout(ready).session;
            self.last = Some(session);
            session
        })
    }
}
