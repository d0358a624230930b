//! Source sets with sleep sets, after Abdulla, Aronis, Jonsson and Sagonas, *Optimal Dynamic Partial Order Reduction*
//! (POPL 2014), section 5: the runs so far decide which schedule runs next.
//!
//! A transition is a move: a session sends its next step, or resumes a blocked one that has been released. A blocked
//! session has no transition. A session whose step would only wait ([`Choices::only_wait`]) counts as having no
//! transition either, like a thread that waits for a mutex. The end of the transaction that holds the row and the step
//! that takes the row next then cannot be reordered; the step that took the row before and the one that takes it next
//! can.

use std::collections::VecDeque;

use num_bigint::BigUint;

use super::happens_before::HappensBefore;
use super::race::Race;
use super::reversal::Reversal;
use crate::conflict::{Event, Piece, Waited, conflict};
use crate::history::{MoveKind, Uncontrolled};
use crate::scenario::Symmetry;

/// What the search takes in of a run, by the index of a move.
pub trait Trace {
    /// What each move did.
    fn events(&self) -> &[Event];
    /// The choices at each move.
    fn choices(&self) -> &[Choices];
    /// The move in which the step of a move finished: a later one if it waited.
    fn finished_in(&self, index: usize) -> Option<usize>;
    /// Whether released sessions run on in the same move.
    fn runs_on(&self) -> bool;
    /// What the session of a move may do at most if it is scheduled at another time: its statement may find something
    /// else, or fail.
    fn piece_at_most(&self, index: usize) -> Option<Piece>;
    /// The ends of other transactions that held the row of a move: had it come right before one, it could only have
    /// waited.
    fn waited_for(&self, index: usize) -> &[(usize, Waited)];
    /// Of the transactions that held the row of a move before it, the moves in which they had a part after the one that
    /// took it: the step could have begun to wait before them. `None` where it depends on more.
    fn could_have_waited_for(&self, index: usize) -> Option<Vec<usize>>;

    /// What a move may do at most if it is made at another time, while the steps of the moves `waiting` wait: it may
    /// release any of those.
    fn at_most(&self, index: usize, waiting: impl Iterator<Item = usize>) -> Event {
        let session = |index: usize| self.events()[index].session;
        let own = session(index);
        let moves: Vec<usize> = std::iter::once(index)
            .chain(waiting.filter(|&other| session(other) != own))
            .collect();
        let run = if self.runs_on() { moves.len() } else { 1 };
        Event {
            session: own,
            participants: moves.iter().map(|&index| session(index)).collect(),
            pieces: moves[..run]
                .iter()
                .filter_map(|&index| self.piece_at_most(index))
                .collect(),
        }
    }
}

/// The choices at one move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    /// Enabled sessions, without those that another stands for, or that would only wait.
    pub ready: Vec<usize>,
    /// Sessions left out because they would only wait for a row, and then do what they would do if they were scheduled
    /// when the row is free.
    pub only_wait: Vec<usize>,
    /// The enabled sessions that are blocked, and whose timeout may expire. They come last.
    pub time_out: Vec<usize>,
}

impl Choices {
    /// Of the enabled sessions, those worth it: `only_waits` says which would only wait.
    pub fn new(
        symmetry: &Symmetry,
        ready: &[(usize, MoveKind)],
        only_waits: impl Fn(usize) -> bool,
        has_begun: impl Fn(usize) -> bool,
    ) -> Choices {
        let time_out = ready.iter().filter(|(_, kind)| *kind == MoveKind::Timeout);
        let time_out = time_out.map(|(session, _)| *session).collect();
        let only_waits = |&(session, kind): &(usize, MoveKind)| kind == MoveKind::Step && only_waits(session);
        let (only_wait, ready): (Vec<_>, Vec<_>) = ready.iter().partition(|one| only_waits(one));
        let sessions =
            |ready: Vec<(usize, MoveKind)>| ready.into_iter().map(|(session, _)| session).collect::<Vec<_>>();
        Choices {
            ready: symmetry.first_of_each(&sessions(ready), has_begun),
            only_wait: sessions(only_wait),
            time_out,
        }
    }
}

/// How a run is to proceed.
pub struct Guide {
    /// The sessions that move first.
    prefix: Vec<usize>,
    /// The sessions that should follow.
    plan: Vec<usize>,
    /// What is asleep at the prefix's last move.
    sleep: Vec<Event>,
}

impl Guide {
    /// Who is to make a move of the prefix.
    pub fn prescribed(&self, index: usize) -> Option<usize> {
        self.prefix.get(index).copied()
    }

    /// Who moves behind the prefix, after what has been `done`. `None` where nobody can.
    pub fn choose(&self, done: &[Event], choices: &Choices) -> Option<usize> {
        let mut sleep = self.sleep.clone();
        for event in done.iter().skip(self.prefix.len().saturating_sub(1)) {
            sleep = awake(&sleep, event);
        }
        let is_awake = |session: &usize| !sleep.iter().any(|event| event.session == *session);
        let free: Vec<usize> = choices.ready.iter().copied().filter(is_awake).collect();
        // the plan counts for as long as the run has kept to it
        let (planned, followed) = (self.plan.iter(), done.iter().skip(self.prefix.len()));
        let is_kept = planned.zip(followed).all(|(planned, event)| event.session == *planned);
        let next = done
            .len()
            .checked_sub(self.prefix.len())
            .and_then(|place| self.plan.get(place));
        if let Some(&planned) = next.filter(|session| is_kept && free.contains(session)) {
            return Some(planned);
        }
        let last = done.last().map(|event| event.session);
        // nobody is awake: whatever comes has been explored, and the run goes to its end for its own sake
        let candidates = match (free.is_empty(), choices.ready.is_empty()) {
            (false, _) => &free,
            (true, false) => &choices.ready,
            (true, true) => &choices.only_wait,
        };
        let waits = |session: &usize| choices.time_out.contains(session);
        last.filter(|last| candidates.contains(last) && !waits(last))
            .or_else(|| candidates.iter().copied().find(|session| !waits(session)))
            .or_else(|| candidates.first().copied())
    }
}

/// The search: a path of moves, and for each move the alternatives that remain to be tried.
pub struct SourceSets {
    symmetry: Symmetry,
    /// The path that is being explored.
    path: Vec<Node>,
    /// The sessions that should move after the path.
    ahead: Vec<usize>,
    state: State,
    /// How many schedules the runs so far stand for; `None` once this could not be counted for one of them.
    covered: Option<BigUint>,
    redundant: u64,
    leaves_out_waits: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    NotStarted,
    /// A run is under way.
    UnderWay,
    /// The search is to backtrack from the end of the path.
    Ready,
    Finished,
}

/// A move of the path and the alternatives to it.
struct Node {
    choices: Choices,
    /// Alternatives that remain to be tried: sessions, one after the other.
    backtrack: VecDeque<Vec<usize>>,
    /// What has been explored from here, or from an earlier move with no difference since, and what it did.
    sleep: Vec<Event>,
    event: Event,
}

impl SourceSets {
    pub fn new(symmetry: Symmetry) -> SourceSets {
        SourceSets {
            symmetry,
            path: Vec::new(),
            ahead: Vec::new(),
            state: State::NotStarted,
            covered: Some(BigUint::default()),
            redundant: 0,
            leaves_out_waits: false,
        }
    }

    /// How many schedules the runs so far stand for, if that could be counted.
    pub fn covered(&self) -> Option<BigUint> {
        self.covered.clone()
    }

    /// Runs that turned out to be equivalent to an earlier one.
    pub fn redundant(&self) -> u64 {
        self.redundant
    }

    /// Whether sessions that would only wait were left out.
    pub fn leaves_out_waits(&self) -> bool {
        self.leaves_out_waits
    }

    /// Whether there is a run to make now.
    pub fn has_next(&self) -> bool {
        matches!(self.state, State::NotStarted | State::Ready)
    }

    /// How the next run is to proceed; `None` if everything is explored, or the last run has not been observed.
    pub fn next(&mut self) -> Option<Guide> {
        if !self.has_next() {
            return None;
        }
        self.state = State::UnderWay;
        Some(Guide {
            prefix: self.path.iter().map(|node| node.event.session).collect(),
            plan: std::mem::take(&mut self.ahead),
            sleep: self.path.last().map(|node| node.sleep.clone()).unwrap_or_default(),
        })
    }

    /// Takes in the run of the last guide. Returns what differed from an earlier run of the same steps.
    pub fn observe(&mut self, trace: &impl Trace) -> Option<Uncontrolled> {
        if self.state != State::UnderWay {
            return None;
        }
        let (events, choices) = (trace.events(), trace.choices());
        self.leaves_out_waits |= choices.iter().any(|choices| !choices.only_wait.is_empty());
        let known = self.path.len();
        for (index, node) in self.path.iter().enumerate() {
            let same = events.get(index).is_some_and(|event| {
                event.session == node.event.session && (index == known - 1 || *event == node.event)
            });
            if !same || choices[index] != node.choices {
                self.state = State::Finished;
                return Some(Uncontrolled::MovesDiffer { number: index + 1 });
            }
        }
        if let Some(last) = self.path.last_mut() {
            last.event = events[known - 1].clone();
        }
        let until = self.extend_path(events, choices);
        self.reverse_races(trace, until);
        if until < events.len() {
            self.redundant += 1;
        } else {
            let count = self.count(trace);
            self.covered = match (self.covered.take(), count) {
                (Some(covered), Some(count)) => Some(covered + count),
                _ => None,
            };
        }
        self.state = match self.turn_back() {
            true => State::Ready,
            false => State::Finished,
        };
        None
    }

    /// Adds a run's new moves to the path, up to the first by a session that was asleep; returns that one, or how many
    /// there are.
    fn extend_path(&mut self, events: &[Event], choices: &[Choices]) -> usize {
        let mut sleep = self
            .path
            .last()
            .map(|node| awake(&node.sleep, &node.event))
            .unwrap_or_default();
        for index in self.path.len()..events.len() {
            let event = &events[index];
            if sleep.iter().any(|asleep| asleep.session == event.session) {
                return index;
            }
            let next_sleep = awake(&sleep, event);
            self.path.push(Node {
                choices: choices[index].clone(),
                backtrack: VecDeque::new(),
                sleep,
                event: event.clone(),
            });
            sleep = next_sleep;
        }
        events.len()
    }

    /// Goes back to the last move with a choice left, and takes it. False if there is none.
    fn turn_back(&mut self) -> bool {
        while let Some(mut node) = self.path.pop() {
            // what was explored here is not to be explored again until something that it conflicts with has happened
            node.sleep.push(node.event.clone());
            let asleep = |session: usize| node.sleep.iter().any(|event| event.session == session);
            node.backtrack
                .retain(|way| way.first().is_some_and(|&first| !asleep(first)));
            let way = node.backtrack.pop_front();
            if let Some((&session, ahead)) = way.as_deref().and_then(<[usize]>::split_first) {
                node.event = Event {
                    session,
                    participants: Vec::new(),
                    pieces: Vec::new(),
                };
                self.path.push(node);
                self.ahead = ahead.to_vec();
                return true;
            }
        }
        false
    }

    /// Adds a choice at each move that races with a later one, where none there is yet leads to the other order. Races
    /// that were there in the run before are looked at again: what comes with them may be something else.
    fn reverse_races(&mut self, trace: &impl Trace, until: usize) {
        let order = HappensBefore::new(&trace.events()[..until]);
        for later in 0..until {
            for earlier in order.races(later) {
                let race = Race {
                    trace,
                    order: &order,
                    earlier,
                    later,
                };
                for before in race.turned_at() {
                    self.add_choice(trace, &order, before, later);
                }
            }
        }
    }

    /// Adds a choice at the move `earlier` that leads to `later` coming before it.
    fn add_choice(&mut self, trace: &impl Trace, order: &HappensBefore, earlier: usize, later: usize) {
        let reversal = Reversal::new(trace, order, (earlier, later), &self.symmetry);
        let node = &mut self.path[earlier];
        let planned: Vec<usize> = node.backtrack.iter().filter_map(|way| way.first().copied()).collect();
        let mut explored = node.sleep.iter().chain([&node.event]);
        if reversal.initials().any(|session| planned.contains(&session))
            || explored.any(|event| reversal.may_begin_with(event))
        {
            return;
        }
        match reversal.way(|session| node.choices.ready.contains(&session)) {
            Some(way) => node.backtrack.push_back(way),
            None => {
                // not expected; then everything is tried
                let missing = node.choices.ready.iter().filter(|session| !planned.contains(session));
                node.backtrack.extend(missing.map(|&session| vec![session]));
            }
        }
    }

    /// How many schedules a run stands for, those included in which interchangeable sessions have changed places. `None`
    /// where others could have begun to wait earlier: how often they could have been released and resumed is not counted.
    fn count(&self, trace: &impl Trace) -> Option<BigUint> {
        let events = trace.events();
        let waits_no_earlier = |index: usize| trace.could_have_waited_for(index).is_some_and(|waits| waits.is_empty());
        if !(0..events.len()).all(waits_no_earlier) {
            return None;
        }
        let order = HappensBefore::new(events);
        let groups = self.symmetry.groups();
        let first = |session: usize| events.iter().position(|event| event.session == session);
        let mut chains = Vec::new();
        let mut permutations = BigUint::from(1u32);
        for group in groups {
            let firsts: Vec<usize> = group.iter().filter_map(|&session| first(session)).collect();
            for place in 1..=firsts.len() {
                permutations *= place;
            }
            chains.push(firsts);
        }
        match chains.as_slice() {
            [] => order.count_schedules(events, &[]),
            [chain] => Some(order.count_schedules(events, chain)? * permutations),
            _ => None,
        }
    }
}

/// Of the events that are asleep, those that one more event does not wake.
fn awake(sleep: &[Event], event: &Event) -> Vec<Event> {
    sleep
        .iter()
        .filter(|asleep| !conflict(asleep, event))
        .cloned()
        .collect()
}
