//! The other order of two moves that race.
//!
//! The theory (Abdulla and others, POPL 2014, section 5) assumes that whether two turns conflict does not depend on
//! what came before them. Here it does: a statement that finds no row, because of another session's commit, conflicts
//! with less than one that finds it. Two things make up for that. What the later turn does if it comes first is not
//! known, so it is over-approximated by its maximal footprint. And it is placed after all other turns of the run that
//! do not happen after the earlier one, including those that came after it in the run, since they may conflict with
//! that footprint. A session counts as able to come first only with respect to all of these.
//!
//! Wakeup trees (section 6) are left out: they skip more, based on what the later turn is expected to do.

use super::happens_before::HappensBefore;
use super::source_sets::Trace;
use crate::conflict::{Event, conflict};
use crate::scenario::Symmetry;

/// For two racing turns: all turns that do not happen after the earlier one, and then the later one.
pub struct Reversal<'a> {
    /// The last has its maximal footprint.
    events: Vec<Event>,
    /// The indices of those that none of the others must precede.
    firsts: Vec<usize>,
    symmetry: &'a Symmetry,
    /// By session: whether it has begun before.
    begun: Vec<bool>,
}

impl<'a> Reversal<'a> {
    pub fn new(
        trace: &impl Trace,
        order: &HappensBefore,
        (earlier, later): (usize, usize),
        symmetry: &'a Symmetry,
    ) -> Reversal<'a> {
        let begun = |session: usize| trace.events()[..earlier].iter().any(|event| event.session == session);
        let others = (earlier + 1..order.moves()).filter(|&turn| turn != later);
        let kept: Vec<usize> = others.filter(|&turn| !order.is_before(earlier, turn)).collect();
        let comes = |turn: usize| turn < earlier || kept.contains(&turn);
        let is_over = |index: usize| trace.finished_in(index).is_some_and(comes);
        let waiting = (0..order.moves()).filter(|&index| comes(index) && !is_over(index));
        let last = trace.at_most(later, waiting);
        let events = kept.iter().map(|&turn| trace.events()[turn].clone()).chain([last]);
        Reversal::of(
            events.collect(),
            symmetry,
            (0..symmetry.sessions()).map(begun).collect(),
        )
    }

    fn of(events: Vec<Event>, symmetry: &'a Symmetry, begun: Vec<bool>) -> Reversal<'a> {
        let is_first = |&place: &usize| !events[..place].iter().any(|earlier| conflict(earlier, &events[place]));
        Reversal {
            firsts: (0..events.len()).filter(is_first).collect(),
            events,
            symmetry,
            begun,
        }
    }

    fn stand_in(&self, session: usize) -> usize {
        self.symmetry.stand_in(session, |other| self.begun[other])
    }

    /// The sessions that can come first.
    pub fn initials(&self) -> impl Iterator<Item = usize> {
        self.firsts
            .iter()
            .map(|&place| self.stand_in(self.events[place].session))
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

    /// The sessions in an order that leads to the reversed order of the two turns, beginning with one for which `ready`
    /// holds; `None` if there is none.
    pub fn way(&self, ready: impl Fn(usize) -> bool) -> Option<Vec<usize>> {
        let mut firsts = self.firsts.iter().copied().rev();
        let first = firsts.find(|&place| ready(self.stand_in(self.events[place].session)))?;
        let others = (0..self.events.len()).filter(|&place| place != first);
        let mut begun = self.begun.clone();
        // interchangeable sessions swap names so that each begins before those after it
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

#[cfg(test)]
mod tests {
    use super::*;

    fn symmetry() -> Symmetry {
        Symmetry::of_groups(vec![0; 3])
    }

    fn reversal<'a>(moves: &[&[usize]], symmetry: &'a Symmetry, begun: [bool; 3]) -> Reversal<'a> {
        let event = |participants: &&[usize]| Event {
            session: participants[0],
            participants: participants.to_vec(),
            pieces: Vec::new(),
        };
        Reversal::of(moves.iter().map(event).collect(), symmetry, begun.to_vec())
    }

    #[test]
    fn who_conflicts_with_an_earlier_turn_cannot_come_first() {
        let symmetry = symmetry();
        let moves: [&[usize]; 3] = [&[2], &[1], &[0, 2]];
        let reversal = reversal(&moves, &symmetry, [true; 3]);
        assert_eq!(reversal.initials().collect::<Vec<_>>(), [2, 1]);
        assert_eq!(reversal.way(|session| session != 1), Some(vec![2, 1, 0]));
        assert_eq!(reversal.way(|session| session == 0), None);
    }

    #[test]
    fn what_an_explored_session_does_counts_instead_of_all_that_it_may_do() {
        let symmetry = symmetry();
        let moves: [&[usize]; 2] = [&[1], &[0, 1]];
        let reversal = reversal(&moves, &symmetry, [true; 3]);
        let explored = |participants: &[usize]| Event {
            session: 0,
            participants: participants.to_vec(),
            pieces: Vec::new(),
        };
        assert!(reversal.may_begin_with(&explored(&[0])));
        assert!(!reversal.may_begin_with(&explored(&[0, 1])));
    }

    #[test]
    fn interchangeable_sessions_begin_in_their_order() {
        let symmetry = symmetry();
        let moves: [&[usize]; 4] = [&[2], &[1], &[2], &[0]];
        let reversal = reversal(&moves, &symmetry, [false; 3]);
        assert_eq!(reversal.way(|session| session == 0), Some(vec![0, 1, 2, 1]));
    }
}
