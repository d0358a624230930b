//! Which sessions race, and which run by themselves.

use std::collections::VecDeque;

use crate::run::history::Turn;
use crate::run::{Candidate, Run, Scheduler};

/// Sessions that run one after another, each undisturbed, ahead of those that race; all others run after them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Arrangement {
    /// In the order in which they run.
    pub before: Vec<usize>,
    /// Ascending.
    pub racing: Vec<usize>,
}

impl Arrangement {
    /// That of a run. A session races when another one goes on between its first turn and its last end.
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

    /// The turns of a run that are of racing sessions, by session.
    pub fn race(&self, run: &Run) -> Vec<usize> {
        let turns = run.order();
        turns
            .into_iter()
            .filter(|session| self.racing.contains(session))
            .collect()
    }
}

/// Runs the racing sessions in a given order. Where that is used up, the session that went on last goes on, else the
/// first of them that can.
pub struct Arranged<'a> {
    arrangement: &'a Arrangement,
    order: VecDeque<usize>,
    last: Option<usize>,
}

impl<'a> Arranged<'a> {
    pub fn new(arrangement: &'a Arrangement, order: &[usize]) -> Arranged<'a> {
        Arranged {
            arrangement,
            order: order.iter().copied().collect(),
            last: None,
        }
    }

    fn next(&mut self, is_ready: impl Fn(usize) -> bool) -> Option<usize> {
        let Arrangement { before, racing } = self.arrangement;
        if let Some(session) = before.iter().copied().find(|&session| is_ready(session)) {
            return Some(session);
        }
        let place = self.order.iter().position(|&session| is_ready(session));
        if let Some(session) = place.and_then(|place| self.order.remove(place)) {
            return Some(session);
        }
        let stay = self.last.filter(|&last| racing.contains(&last) && is_ready(last));
        stay.or_else(|| racing.iter().copied().find(|&session| is_ready(session)))
    }
}

impl Scheduler for Arranged<'_> {
    fn choose(&mut self, _turns: &[Turn], ready: &[Candidate<'_>]) -> usize {
        let is_ready = |session: usize| ready.iter().any(|candidate| candidate.session == session);
        // `ready` is never empty
        let chosen = self.next(is_ready).unwrap_or(ready[0].session);
        self.last = Some(chosen);
        chosen
    }
}
