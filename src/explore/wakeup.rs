//! Wakeup trees, after Abdulla, Aronis, Jonsson and Sagonas, *Optimal Dynamic Partial Order Reduction* (POPL 2014),
//! section 6: what is still to be explored from a turn on, as far as it is known.
//!
//! A race names not only a session that must come first but all the turns that lead to the other order. Where a run
//! keeps to them, none of what is asleep stands in its way later.
//!
//! Only the way ahead is laid down here. A run that cannot keep to it, because a turn did something else than it did in
//! the run in which the race was seen, goes on freely: what is reached from a first turn is explored whole, whichever way
//! it begins.

use crate::conflict::{Event, conflict};
use crate::scenario::Symmetry;

/// A session that is to be let go on, and who after it. Without branches, whoever comes.
#[derive(Debug, Clone)]
pub struct Branch {
    pub session: usize,
    /// What it is expected to do, where a run has shown it.
    event: Option<Event>,
    pub then: Vec<Branch>,
}

impl Branch {
    pub fn to(session: usize) -> Branch {
        Branch {
            session,
            event: None,
            then: Vec::new(),
        }
    }

    /// The sessions on the first way through it.
    pub fn first_way(&self) -> Vec<usize> {
        let mut way = vec![self.session];
        let mut branch = self;
        while let Some(first) = branch.then.first() {
            way.push(first.session);
            branch = first;
        }
        way
    }
}

/// Turns that are to follow one another, where interchangeable sessions may change places.
#[derive(Debug, Clone)]
pub struct Sequence<'a> {
    events: Vec<Event>,
    /// Whether the events are all that may come of the turns.
    foreseen: bool,
    symmetry: &'a Symmetry,
    /// For each session, whether it has begun before.
    begun: Vec<bool>,
}

impl<'a> Sequence<'a> {
    pub fn new(events: Vec<Event>, foreseen: bool, symmetry: &'a Symmetry, begun: Vec<bool>) -> Sequence<'a> {
        Sequence {
            events,
            foreseen,
            symmetry,
            begun,
        }
    }

    fn stand_in(&self, session: usize) -> usize {
        self.symmetry.stand_in(session, |other| self.begun[other])
    }

    /// The turns that none of the others must come before, by their places.
    fn initials(&self) -> impl Iterator<Item = usize> {
        let events = &self.events;
        (0..events.len()).filter(|&place| !events[..place].iter().any(|earlier| conflict(earlier, &events[place])))
    }

    /// The first turn that can come first and that `session` can take.
    fn initial_of(&self, session: usize) -> Option<usize> {
        self.initials()
            .find(|&place| self.stand_in(self.events[place].session) == session)
    }

    /// Whether `session`, which would do `event` now, can come first, and what follows be the same.
    pub fn may_begin_with(&self, session: usize, event: Option<&Event>) -> bool {
        let moves = |one: &Event| one.participants.contains(&session) || self.stand_in(one.session) == session;
        let stays_apart = |event: &Event| !self.events.iter().any(|one| moves(one) || conflict(one, event));
        self.initial_of(session).is_some() || (self.foreseen && event.is_some_and(stays_apart))
    }

    /// Without the first turn that `session` can take.
    fn after(mut self, session: usize) -> Sequence<'a> {
        if let Some(place) = self.initial_of(session) {
            let own = self.events.remove(place).session;
            for event in &mut self.events {
                change_places(event, own, session);
            }
            self.begun[session] = true;
        }
        self
    }

    /// One way from the first turn to the last, which begins with a session for which `ready` holds.
    fn into_branch(self, ready: &dyn Fn(usize) -> bool) -> Option<Branch> {
        let mut firsts = self
            .initials()
            .map(|place| (place, self.stand_in(self.events[place].session)));
        let (place, first) = firsts.find(|&(_, session)| ready(session))?;
        drop(firsts);
        let mut event = self.events[place].clone();
        let own = event.session;
        change_places(&mut event, own, first);
        let rest = self.after(first);
        Some(Branch {
            session: first,
            event: rest.foreseen.then_some(event),
            then: rest.into_branch(&|_| true).into_iter().collect(),
        })
    }
}

fn change_places(event: &mut Event, one: usize, other: usize) {
    let renamed = |session: usize| match session {
        session if session == one => other,
        session if session == other => one,
        session => session,
    };
    event.session = renamed(event.session);
    for session in &mut event.participants {
        *session = renamed(*session);
    }
}

/// Sees to it that a way through `branches` leads to what `sequence` leads to. False where its first turn cannot be one
/// of those that are `ready`.
pub fn insert(branches: &mut Vec<Branch>, sequence: Sequence<'_>, ready: &dyn Fn(usize) -> bool) -> bool {
    for branch in branches.iter_mut() {
        if sequence.may_begin_with(branch.session, branch.event.as_ref()) {
            let rest = sequence.after(branch.session);
            // whoever comes after this branch's end, the rest is among it
            return branch.then.is_empty() || rest.events.is_empty() || insert(&mut branch.then, rest, &|_| true);
        }
    }
    let branch = sequence.into_branch(ready);
    let found = branch.is_some();
    branches.extend(branch);
    found
}
