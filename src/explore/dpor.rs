//! Dynamic partial-order reduction: of schedules that differ only in the order of turns that do not conflict, one is
//! run.
//!
//! Source sets with sleep sets, after Abdulla, Aronis, Jonsson and Sagonas, *Optimal Dynamic Partial Order Reduction*
//! (POPL 2014), section 5. A transition is a turn: the step of the session that is let go on and the steps that it
//! releases, so a blocked session is one that has no transition.
//!
//! A session whose step would only wait for a row, to do then what it would do if it were let go on when the row is free
//! ([`EventLog::only_waits`]), is taken as having no transition either, as one that waits for a mutex. The end of the
//! transaction that holds the row and the step that takes it next can then not change places; what can is the step that
//! took the row before and the one that takes it next.

use std::collections::VecDeque;
use std::sync::Arc;

use num_bigint::BigUint;

use super::happens_before::HappensBefore;
use super::reversal::Reversal;
use super::{Job, Key, Strategy};
use crate::conflict::{Event, EventLog, Footprints, OnlyWaits, Waited, conflict};
use crate::run::history::Turn;
use crate::run::{Candidate, Run, Scheduler};
use crate::scenario::{Scenario, Symmetry};

/// What the reduction knows of a scenario.
struct Model {
    scenario: Arc<Scenario>,
    footprints: Footprints,
    symmetry: Symmetry,
}

/// The choices at one turn.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Choices {
    ready: Vec<usize>,
    only_wait: Vec<usize>,
}

impl Model {
    fn log(&self) -> EventLog {
        EventLog::new(self.scenario.clone(), self.footprints.clone())
    }

    /// Of the sessions that can go on, those worth it: `only_waits` says which would only wait.
    fn choices(
        &self,
        ready: &[usize],
        only_waits: impl Fn(usize) -> bool,
        has_begun: impl Fn(usize) -> bool,
    ) -> Choices {
        let (only_wait, ready): (Vec<usize>, Vec<usize>) = ready.iter().partition(|&&session| only_waits(session));
        Choices {
            ready: self.symmetry.first_of_each(&ready, has_begun),
            only_wait,
        }
    }
}

/// Explores one schedule of each class.
pub struct Dpor {
    model: Arc<Model>,
    /// The path that is being explored.
    path: Vec<Node>,
    /// Who is to go on after the path.
    ahead: Vec<usize>,
    state: State,
    next_run: u32,
    /// Schedules that the runs so far stand for; `None` once one could not be counted.
    covered: Option<BigUint>,
    redundant: u64,
    leaves_out_waits: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    NotStarted,
    /// A run is under way.
    UnderWay,
    /// The path's end waits to be turned back from.
    Ready,
    Finished,
}

/// A turn of the path and the other choices there.
struct Node {
    /// Sessions that could go on, those left out that another stands for, or that would only wait.
    ready: Vec<usize>,
    /// Sessions left out because they would only wait.
    only_wait: Vec<usize>,
    /// Other ways to go on that are to be tried: sessions, one after the other.
    backtrack: VecDeque<Vec<usize>>,
    /// What has been explored from here, or from before here in a way that made no difference, and what it did.
    sleep: Vec<Event>,
    event: Event,
}

impl Dpor {
    /// `symmetric` lets interchangeable sessions stand for each other.
    pub fn new(scenario: Arc<Scenario>, footprints: Footprints, symmetric: bool) -> Dpor {
        let symmetry = if symmetric {
            Symmetry::of(&scenario)
        } else {
            Symmetry::none(&scenario)
        };
        Dpor {
            model: Arc::new(Model {
                scenario,
                footprints,
                symmetry,
            }),
            path: Vec::new(),
            ahead: Vec::new(),
            state: State::NotStarted,
            next_run: 0,
            covered: Some(BigUint::default()),
            redundant: 0,
            leaves_out_waits: false,
        }
    }

    /// Goes back to the last turn with a choice left, and takes it. False if there is none.
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

    /// Adds a choice at each turn that races with a later one, where none there is yet leads to the other order. Races
    /// that were there in the run before are looked at again: what comes with them may be something else.
    fn reverse_races(&mut self, turns: &[Turn], log: &EventLog, until: usize) {
        let events = &log.events()[..until];
        let order = HappensBefore::new(events);
        let mut before = self.model.log();
        for later in 0..until {
            before.extend(turns, later);
            for earlier in order.races(later) {
                // a session cannot be ahead of its own earlier turn, nor of the turn that released it (but the turn that
                // released it can well be ahead of the one in which it began to wait)
                if events[earlier].participants.contains(&events[later].session) {
                    continue;
                }
                // it could not come before the end of the transaction that held its row, but before that took the row
                let waited = before.waited_for(&turns[later], earlier);
                if let Some(Waited { taken, .. }) = waited.filter(|one| comes_free(&order, events, one.taken, later)) {
                    self.add_choice(turns, log, &order, taken, later);
                }
                let only_waits = self.path[earlier].only_wait.contains(&events[later].session);
                if !only_waits && waited.is_none_or(|waited| !waited.surely) {
                    self.add_choice(turns, log, &order, earlier, later);
                }
            }
        }
    }

    /// Adds a choice at the turn `earlier` that leads to `later` coming before it.
    fn add_choice(&mut self, turns: &[Turn], log: &EventLog, order: &HappensBefore, earlier: usize, later: usize) {
        let reversal = Reversal::new(turns, log, order, (earlier, later), &self.model.symmetry);
        let node = &mut self.path[earlier];
        let planned: Vec<usize> = node.backtrack.iter().filter_map(|way| way.first().copied()).collect();
        let mut explored = node.sleep.iter().chain([&node.event]);
        if reversal.initials().any(|session| planned.contains(&session))
            || explored.any(|event| reversal.may_begin_with(event))
        {
            return;
        }
        match reversal.way(|session| node.ready.contains(&session)) {
            Some(way) => node.backtrack.push_back(way),
            None => {
                // not expected; then everything is tried
                let missing = node.ready.iter().filter(|session| !planned.contains(session));
                node.backtrack.extend(missing.map(|&session| vec![session]));
            }
        }
    }

    /// How many schedules a run stands for, those included in which interchangeable sessions have changed places.
    fn count(&self, events: &[Event], order: &HappensBefore) -> Option<BigUint> {
        let groups = self.model.symmetry.groups();
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

/// Whether nothing that the later turn's session did in between happens after the earlier turn, so that it can be ahead
/// of it.
fn comes_free(order: &HappensBefore, events: &[Event], earlier: usize, later: usize) -> bool {
    !(earlier + 1..later).any(|turn| events[turn].session == events[later].session && order.is_before(earlier, turn))
}

impl Strategy for Dpor {
    fn name(&self) -> &'static str {
        "dpor"
    }

    fn is_exhaustive(&self) -> bool {
        true
    }

    fn covered(&self) -> Option<BigUint> {
        self.covered.clone()
    }

    fn redundant(&self) -> u64 {
        self.redundant
    }

    fn leaves_out_waits(&self) -> bool {
        self.leaves_out_waits
    }

    fn next(&mut self) -> Option<Job> {
        let key = self.next_key()?;
        let prefix: Vec<usize> = self.path.iter().map(|node| node.event.session).collect();
        let sleep = self.path.last().map(|node| node.sleep.clone()).unwrap_or_default();
        let plan = std::mem::take(&mut self.ahead);
        self.state = State::UnderWay;
        self.next_run += 1;
        let scheduler = Box::new(Guided {
            log: self.model.log(),
            model: self.model.clone(),
            prefix,
            plan,
            sleep,
        });
        Some(Job { key, scheduler })
    }

    fn next_key(&self) -> Option<Key> {
        matches!(self.state, State::NotStarted | State::Ready).then(|| vec![self.next_run])
    }

    fn observe(&mut self, _key: &Key, run: &Run) -> Option<String> {
        if self.state != State::UnderWay {
            return None;
        }
        let model = self.model.clone();
        let turns = &run.history.turns;
        let mut log = model.log();
        let mut choices = Vec::with_capacity(turns.len());
        let mut waits = Some(Vec::with_capacity(turns.len()));
        for (index, decision) in run.decisions.iter().enumerate() {
            log.extend(turns, index);
            waits = waits.and_then(|mut waits| {
                waits.push(log.could_have_waited_for(&turns[index])?);
                Some(waits)
            });
            let only_waits = |session: usize| {
                let next = turns[index..].iter().find(|turn| turn.session == session);
                next.is_some_and(|next| {
                    log.only_waits(session, next.role, next.begin.is_some(), &next.filled)
                        .given(decision.answer_of(session))
                })
            };
            let has_begun = |session: usize| turns[..index].iter().any(|turn| turn.session == session);
            choices.push(model.choices(&decision.ready, only_waits, has_begun));
        }
        self.leaves_out_waits |= choices.iter().any(|choices| !choices.only_wait.is_empty());
        log.extend(turns, turns.len());
        let events = log.events().to_vec();
        let known = self.path.len();
        for (turn, node) in self.path.iter().enumerate() {
            let same = events.get(turn).is_some_and(|event| {
                event.session == node.event.session && (turn == known - 1 || *event == node.event)
            });
            if !same || choices[turn].ready != node.ready || choices[turn].only_wait != node.only_wait {
                self.state = State::Finished;
                return Some(format!("two runs of the same schedule differ at turn {}", turn + 1));
            }
        }
        if let Some(last) = self.path.last_mut() {
            last.event = events[known - 1].clone();
        }
        let mut asleep_from = events.len();
        let mut sleep = self
            .path
            .last()
            .map(|node| awake(&node.sleep, &node.event))
            .unwrap_or_default();
        for turn in known..events.len() {
            let event = &events[turn];
            if sleep.iter().any(|asleep| asleep.session == event.session) {
                asleep_from = turn;
                break;
            }
            let next_sleep = awake(&sleep, event);
            self.path.push(Node {
                ready: choices[turn].ready.clone(),
                only_wait: choices[turn].only_wait.clone(),
                backtrack: VecDeque::new(),
                sleep,
                event: event.clone(),
            });
            sleep = next_sleep;
        }
        self.reverse_races(turns, &log, asleep_from);
        if asleep_from < events.len() {
            self.redundant += 1;
        } else {
            let order = waits.map(|waits| HappensBefore::new(&events).with_waits(&events, &waits));
            let count = order.and_then(|order| self.count(&events, &order));
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
}

/// Of the events that are asleep, those that one more event does not wake.
fn awake(sleep: &[Event], event: &Event) -> Vec<Event> {
    sleep
        .iter()
        .filter(|asleep| !conflict(asleep, event))
        .cloned()
        .collect()
}

/// Follows a prefix, then chooses freely among the sessions that are not asleep.
struct Guided {
    model: Arc<Model>,
    log: EventLog,
    prefix: Vec<usize>,
    /// What is to follow it.
    plan: Vec<usize>,
    /// What is asleep at the prefix's last turn.
    sleep: Vec<Event>,
}

fn only_waits(log: &EventLog, candidate: &Candidate<'_>) -> OnlyWaits {
    let step = candidate.step;
    log.only_waits(candidate.session, step.role, step.begin.is_some(), &step.filled)
}

impl Scheduler for Guided {
    fn question(&mut self, turns: &[Turn], candidate: Candidate<'_>) -> Option<String> {
        if !self.model.footprints.has_conditional_rows() {
            return None;
        }
        self.log.extend(turns, turns.len());
        match only_waits(&self.log, &candidate) {
            OnlyWaits::If(query) => Some(query),
            OnlyWaits::No | OnlyWaits::Yes => None,
        }
    }

    fn choose(&mut self, turns: &[Turn], ready: &[Candidate<'_>]) -> usize {
        if let Some(&planned) = self.prefix.get(turns.len())
            && ready.iter().any(|candidate| candidate.session == planned)
        {
            return planned;
        }
        self.log.extend(turns, turns.len());
        let log = &self.log;
        let mut sleep = self.sleep.clone();
        for event in log.events().iter().skip(self.prefix.len().saturating_sub(1)) {
            sleep = awake(&sleep, event);
        }
        let has_begun = |session: usize| turns.iter().any(|turn| turn.session == session);
        let only_waits = |session: usize| {
            let candidate = ready.iter().find(|candidate| candidate.session == session);
            candidate.is_some_and(|candidate| only_waits(log, candidate).given(candidate.answer))
        };
        let sessions: Vec<usize> = ready.iter().map(|candidate| candidate.session).collect();
        let choices = self.model.choices(&sessions, only_waits, has_begun);
        let is_awake = |session: &usize| !sleep.iter().any(|event| event.session == *session);
        let free: Vec<usize> = choices.ready.iter().copied().filter(is_awake).collect();
        // the plan counts for as long as the run has kept to it
        let (planned, done) = (self.plan.iter(), turns.iter().skip(self.prefix.len()));
        let is_kept = planned.zip(done).all(|(planned, turn)| turn.session == *planned);
        let next = turns
            .len()
            .checked_sub(self.prefix.len())
            .and_then(|turn| self.plan.get(turn));
        if let Some(&planned) = next.filter(|session| is_kept && free.contains(session)) {
            return planned;
        }
        let last = turns.last().map(|turn| turn.session);
        // nobody is awake: whatever comes has been explored, and the run goes to its end for its own sake
        let candidates = match (free.is_empty(), choices.ready.is_empty()) {
            (false, _) => &free,
            (true, false) => &choices.ready,
            (true, true) => &sessions,
        };
        last.filter(|last| candidates.contains(last)).unwrap_or(candidates[0])
    }
}
