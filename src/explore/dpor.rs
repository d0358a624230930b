//! Dynamic partial-order reduction: of schedules that differ only in the order of turns that do not conflict, one is
//! run.

use std::sync::Arc;

use num_bigint::BigUint;

use super::source_sets::{Choices, Guide, SourceSets, Trace};
use super::{Job, Key, Strategy};
use crate::conflict::{Event, EventLog, Filled, Footprints, OnlyWaits, Piece, Waited};
use crate::run::history::Turn;
use crate::run::{Candidate, Run, Scheduler};
use crate::scenario::{Scenario, Symmetry};

/// What the reduction knows of a scenario.
struct Model {
    scenario: Arc<Scenario>,
    footprints: Footprints,
    symmetry: Symmetry,
}

impl Model {
    fn log(&self) -> EventLog {
        EventLog::new(self.scenario.clone(), self.footprints.clone())
    }
}

/// Explores one schedule of each class.
pub struct Dpor {
    model: Arc<Model>,
    search: SourceSets,
    next_run: u32,
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
            search: SourceSets::new(symmetry.clone()),
            model: Arc::new(Model {
                scenario,
                footprints,
                symmetry,
            }),
            next_run: 0,
        }
    }
}

impl Strategy for Dpor {
    fn name(&self) -> &'static str {
        "dpor"
    }

    fn is_exhaustive(&self) -> bool {
        true
    }

    fn covered(&self) -> Option<BigUint> {
        self.search.covered()
    }

    fn redundant(&self) -> u64 {
        self.search.redundant()
    }

    fn leaves_out_waits(&self) -> bool {
        self.search.leaves_out_waits()
    }

    fn next(&mut self) -> Option<Job> {
        let key = self.next_key()?;
        let guide = self.search.next()?;
        self.next_run += 1;
        let scheduler = Box::new(Guided {
            log: self.model.log(),
            model: self.model.clone(),
            guide,
        });
        Some(Job { key, scheduler })
    }

    fn next_key(&self) -> Option<Key> {
        self.search.has_next().then(|| vec![self.next_run])
    }

    fn observe(&mut self, _key: &Key, run: &Run) -> Option<String> {
        self.search.observe(&RunTrace::new(&self.model, run))
    }
}

/// A run, and what the log had to say at each turn.
struct RunTrace<'a> {
    turns: &'a [Turn],
    log: EventLog,
    choices: Vec<Choices>,
    /// For each turn, by the end of another's transaction.
    waited_for: Vec<Vec<(usize, Waited)>>,
    could_have_waited_for: Vec<Option<Vec<usize>>>,
}

impl<'a> RunTrace<'a> {
    fn new(model: &Model, run: &'a Run) -> RunTrace<'a> {
        let turns = &run.history.turns;
        let mut log = model.log();
        let mut choices = Vec::with_capacity(turns.len());
        let mut waited_for = Vec::with_capacity(turns.len());
        let mut could_have_waited_for = Vec::with_capacity(turns.len());
        for (index, (turn, decision)) in turns.iter().zip(&run.decisions).enumerate() {
            log.extend(turns, index);
            waited_for.push(log.waited_for(turn));
            could_have_waited_for.push(log.could_have_waited_for(turn));
            let only_waits = |session: usize| {
                let next = turns[index..].iter().find(|turn| turn.session == session);
                next.is_some_and(|next| {
                    let filled = Filled {
                        session,
                        step: next.step_index,
                        sql: &next.filled,
                        values: &next.values,
                    };
                    log.only_waits(filled, next.role, next.begin.is_some())
                        .given(decision.answer_of(session))
                })
            };
            let has_begun = |session: usize| turns[..index].iter().any(|turn| turn.session == session);
            choices.push(Choices::new(&model.symmetry, &decision.ready, only_waits, has_begun));
        }
        log.extend(turns, turns.len());
        RunTrace {
            turns,
            log,
            choices,
            waited_for,
            could_have_waited_for,
        }
    }
}

impl Trace for RunTrace<'_> {
    fn events(&self) -> &[Event] {
        self.log.events()
    }

    fn choices(&self) -> &[Choices] {
        &self.choices
    }

    fn finished_in(&self, turn: usize) -> usize {
        self.turns[turn].finished_in
    }

    fn piece_at_most(&self, turn: usize) -> Option<Piece> {
        self.log.piece_at_most(self.turns, turn)
    }

    fn waited_for(&self, turn: usize) -> &[(usize, Waited)] {
        &self.waited_for[turn]
    }

    fn could_have_waited_for(&self, turn: usize) -> Option<Vec<usize>> {
        self.could_have_waited_for[turn].clone()
    }
}

/// Follows a guide.
struct Guided {
    model: Arc<Model>,
    log: EventLog,
    guide: Guide,
}

fn only_waits(log: &EventLog, candidate: &Candidate<'_>) -> OnlyWaits {
    let step = candidate.step;
    let filled = Filled {
        session: candidate.session,
        step: step.index,
        sql: &step.filled,
        values: &step.values,
    };
    log.only_waits(filled, step.role, step.begin.is_some())
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
        let is_ready = |session: &usize| ready.iter().any(|candidate| candidate.session == *session);
        if let Some(prescribed) = self.guide.prescribed(turns.len()).filter(is_ready) {
            return prescribed;
        }
        self.log.extend(turns, turns.len());
        let log = &self.log;
        let has_begun = |session: usize| turns.iter().any(|turn| turn.session == session);
        let only_waits = |session: usize| {
            let candidate = ready.iter().find(|candidate| candidate.session == session);
            candidate.is_some_and(|candidate| only_waits(log, candidate).given(candidate.answer))
        };
        let sessions: Vec<usize> = ready.iter().map(|candidate| candidate.session).collect();
        let choices = Choices::new(&self.model.symmetry, &sessions, only_waits, has_begun);
        self.guide.choose(log.events(), &choices).unwrap_or(sessions[0])
    }
}
