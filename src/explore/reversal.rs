//! The other order of two turns that race.
//!
//! The theory (Abdulla and others, POPL 2014, section 5) takes it that whether two turns conflict does not depend on what
//! came before them. Here it does: a statement that finds no row, because of another's commit, conflicts with less than one
//! that finds it. Two things make up for that. What the later turn does when it comes first is not known, so it is
//! taken for all that it may do. And it is taken to come behind all other turns of the run that do not happen after the
//! earlier one, those included that came behind it in the run, since they may conflict with all that it may do. A session
//! counts as able to come first only in the sight of all these.
//!
//! Wakeup trees (section 6) are left out: they pass over more by what the later turn is expected to do.

use super::happens_before::HappensBefore;
use crate::conflict::{Event, EventLog, conflict};
use crate::run::history::Turn;
use crate::scenario::Symmetry;

/// Of two turns that race: all turns that do not happen after the earlier one, and then the later one.
pub struct Reversal<'a> {
    /// The last may do at most this.
    events: Vec<Event>,
    symmetry: &'a Symmetry,
    /// For each session, whether it has begun before.
    begun: Vec<bool>,
}

impl<'a> Reversal<'a> {
    pub fn new(
        turns: &[Turn],
        log: &EventLog,
        order: &HappensBefore,
        (earlier, later): (usize, usize),
        symmetry: &'a Symmetry,
    ) -> Reversal<'a> {
        let mut begun = vec![false; log.sessions()];
        for event in &log.events()[..earlier] {
            begun[event.session] = true;
        }
        let others = (earlier + 1..order.turns()).filter(|&turn| turn != later);
        let kept: Vec<usize> = others.filter(|&turn| !order.is_before(earlier, turn)).collect();
        let comes = |turn: usize| turn < earlier || kept.contains(&turn);
        let waiting = (0..order.turns()).filter(|&turn| comes(turn) && !comes(turns[turn].finished_in));
        let last = log.at_most(turns, later, waiting);
        let events = kept.iter().map(|&turn| log.events()[turn].clone()).chain([last]);
        Reversal {
            events: events.collect(),
            symmetry,
            begun,
        }
    }

    /// The turns that none of the others must come before, by their places.
    fn firsts(&self) -> impl DoubleEndedIterator<Item = usize> {
        let is_first = |&place: &usize| {
            let event = &self.events[place];
            !self.events[..place].iter().any(|earlier| conflict(earlier, event))
        };
        (0..self.events.len()).filter(is_first)
    }

    fn stand_in(&self, session: usize) -> usize {
        self.symmetry.stand_in(session, |other| self.begun[other])
    }

    /// The sessions that can come first.
    pub fn initials(&self) -> impl Iterator<Item = usize> {
        self.firsts().map(|place| self.stand_in(self.events[place].session))
    }

    /// Whether the session of `explored`, which is what it does if it comes first, can come first.
    pub fn may_begin_with(&self, explored: &Event) -> bool {
        self.initials().any(|session| session == explored.session)
            || self.events.split_last().is_some_and(|(last, kept)| {
                // what the last turn does is known then
                self.stand_in(last.session) == explored.session
                    && !kept.iter().any(|event| event.participants.contains(&last.session))
                    && !kept.iter().any(|event| conflict(event, explored))
            })
    }

    /// The sessions in an order that leads to the other order of the two turns, the first one of those for which `ready`
    /// holds; `None` if there is none.
    pub fn way(&self, ready: impl Fn(usize) -> bool) -> Option<Vec<usize>> {
        let mut firsts = self.firsts().rev();
        let first = firsts.find(|&place| ready(self.stand_in(self.events[place].session)))?;
        let others = (0..self.events.len()).filter(|&place| place != first);
        let mut begun = self.begun.clone();
        // interchangeable sessions change names so that each begins before those behind it
        let mut names: Vec<usize> = (0..begun.len()).collect();
        let way = std::iter::once(first).chain(others).map(|place| {
            let session = self.events[place].session;
            let name = self.symmetry.stand_in(names[session], |other| begun[other]);
            if let Some(other) = names.iter().position(|&given| given == name) {
                names.swap(session, other);
            }
            begun[name] = true;
            name
        });
        Some(way.collect())
    }
}
