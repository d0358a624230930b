//! Dynamic partial-order reduction: of all schedules that differ only in the order of moves that do not conflict, it
//! runs one.

use std::sync::Arc;

use super::{Job, Key, Strategy};
use crate::conflict::{Event, EventLog, Filled, OnlyWaits, Piece, Program, Waited};
use crate::explore::Coverage;
use crate::explore::source_sets::{Choices, Guide, SourceSets, Trace};
use crate::history::Uncontrolled;
use crate::history::{Move, MoveKind, SoFar};
use crate::run::{Candidate, Knowledge, Observed, Run, Scheduler};
use crate::scenario::{Scenario, Symmetry};

/// What the reduction knows of a scenario.
struct Model {
    program: Arc<Program>,
    symmetry: Symmetry,
}

impl Model {
    fn log(&self) -> EventLog {
        EventLog::new(self.program.clone())
    }
}

/// Explores one schedule of each class.
pub struct Dpor {
    model: Arc<Model>,
    search: SourceSets,
    next_run: u32,
    growing: Option<Growing>,
}

/// A program that is not declared, but seen.
struct Growing {
    observed: Arc<Observed>,
    /// What the search goes by.
    version: u32,
}

impl Dpor {
    /// `symmetric` lets interchangeable sessions stand for each other.
    pub fn new(scenario: &Scenario, program: Arc<Program>, symmetric: bool) -> Dpor {
        let symmetry = if symmetric {
            Symmetry::of(scenario)
        } else {
            Symmetry::none(scenario)
        };
        Dpor {
            search: SourceSets::new(symmetry.clone()),
            model: Arc::new(Model { program, symmetry }),
            next_run: 0,
            growing: None,
        }
    }

    /// The same where sessions are programs. Whenever more is seen of them, the search begins again with that: what was
    /// thought to be independent may not be.
    pub fn of_seen(scenario: &Scenario, observed: Arc<Observed>, symmetric: bool) -> Dpor {
        let knowledge = observed.knowledge();
        let mut dpor = Dpor::new(scenario, knowledge.program.clone(), symmetric);
        dpor.growing = Some(Growing {
            version: knowledge.version,
            observed,
        });
        dpor.go_by(knowledge);
        dpor
    }

    /// What is known, where that is more than the search goes by.
    fn news(&self) -> Option<Knowledge> {
        let growing = self.growing.as_ref()?;
        let knowledge = growing.observed.knowledge();
        (knowledge.version != growing.version).then_some(knowledge)
    }

    /// Begins with what is known.
    fn go_by(&mut self, knowledge: Knowledge) {
        let Some(growing) = &mut self.growing else { return };
        growing.version = knowledge.version;
        let symmetry = match knowledge.shows_names {
            true => self.model.symmetry.broken(),
            false => self.model.symmetry.clone(),
        };
        self.search = SourceSets::new(symmetry.clone());
        self.model = Arc::new(Model {
            program: knowledge.program,
            symmetry,
        });
    }
}

impl Strategy for Dpor {
    fn coverage(&self) -> Coverage {
        Coverage {
            schedules: self.search.covered(),
            leaves_out_waits: self.search.leaves_out_waits(),
            redundant: self.search.redundant(),
            ..Coverage::exhaustive("dpor")
        }
    }

    fn begins_again(&self) -> bool {
        true
    }

    fn is_up_to_date(&self) -> bool {
        self.news().is_none()
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

    fn observe(&mut self, _key: &Key, run: &Run) -> Option<Uncontrolled> {
        if let Some(news) = self.news() {
            self.go_by(news);
            return None;
        }
        self.search.observe(&RunTrace::new(&self.model, run))
    }
}

/// A run, and what the event log said at each move.
struct RunTrace<'a> {
    so_far: SoFar<'a>,
    runs_on: bool,
    log: EventLog,
    choices: Vec<Choices>,
    /// For each move, by the end of another's transaction.
    waited_for: Vec<Vec<(usize, Waited)>>,
    could_have_waited_for: Vec<Option<Vec<usize>>>,
}

impl<'a> RunTrace<'a> {
    fn new(model: &Model, run: &'a Run) -> RunTrace<'a> {
        let so_far = run.history.so_far();
        let SoFar { turns, moves } = so_far;
        let mut log = model.log();
        let mut choices = Vec::with_capacity(moves.len());
        let mut waited_for = Vec::with_capacity(moves.len());
        let mut could_have_waited_for = Vec::with_capacity(moves.len());
        for (index, (one, decision)) in moves.iter().zip(&run.decisions).enumerate() {
            log.extend(so_far, index);
            let sent = Some(&turns[one.turn]).filter(|_| one.kind == MoveKind::Step);
            waited_for.push(sent.map_or_else(Vec::new, |turn| log.waited_for(turn)));
            could_have_waited_for.push(sent.map_or_else(|| Some(Vec::new()), |turn| log.could_have_waited_for(turn)));
            let only_waits = |session: usize| {
                let is_next = |one: &&Move| one.session == session;
                let next = moves[index..].iter().find(is_next);
                let next = next
                    .filter(|next| next.kind == MoveKind::Step)
                    .map(|next| &turns[next.turn]);
                next.is_some_and(|next| {
                    let filled = Filled {
                        session,
                        step: next.program_step(),
                        sql: &next.filled,
                        values: &next.values,
                    };
                    log.only_waits(filled, next.origin, next.tx.opens)
                        .given(decision.answer_of(session))
                })
            };
            let has_begun = |session: usize| moves[..index].iter().any(|one| one.session == session);
            let ready: Vec<_> = decision
                .ready
                .iter()
                .copied()
                .zip(decision.kinds.iter().copied())
                .collect();
            choices.push(Choices::new(&model.symmetry, &ready, only_waits, has_begun));
        }
        log.extend(so_far, moves.len());
        RunTrace {
            so_far,
            runs_on: !run.resumptions,
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

    fn finished_in(&self, index: usize) -> Option<usize> {
        let moves = self.so_far.moves;
        moves.iter().position(|one| one.finished.contains(&moves[index].turn))
    }

    fn runs_on(&self) -> bool {
        self.runs_on
    }

    fn piece_at_most(&self, index: usize) -> Option<Piece> {
        self.log.piece_at_most(self.so_far, index)
    }

    fn waited_for(&self, index: usize) -> &[(usize, Waited)] {
        &self.waited_for[index]
    }

    fn could_have_waited_for(&self, index: usize) -> Option<Vec<usize>> {
        self.could_have_waited_for[index].clone()
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
        step: step.statement.seen.unwrap_or(step.origin.step()),
        sql: &step.filled,
        values: &step.values,
    };
    log.only_waits(filled, step.origin, step.opens)
}

impl Scheduler for Guided {
    fn question(&mut self, so_far: SoFar<'_>, candidate: Candidate<'_>) -> Option<String> {
        if !self.model.program.has_conditional_rows() || candidate.kind != MoveKind::Step {
            return None;
        }
        self.log.extend(so_far, so_far.moves.len());
        match only_waits(&self.log, &candidate) {
            OnlyWaits::If(query) => Some(query),
            OnlyWaits::No | OnlyWaits::Yes => None,
        }
    }

    fn choose(&mut self, so_far: SoFar<'_>, ready: &[Candidate<'_>]) -> usize {
        let moves = so_far.moves;
        let is_ready = |session: &usize| ready.iter().any(|candidate| candidate.session == *session);
        if let Some(prescribed) = self.guide.prescribed(moves.len()).filter(is_ready) {
            return prescribed;
        }
        self.log.extend(so_far, moves.len());
        let log = &self.log;
        let has_begun = |session: usize| moves.iter().any(|one| one.session == session);
        let only_waits = |session: usize| {
            let mut steps = ready.iter().filter(|candidate| candidate.kind == MoveKind::Step);
            let candidate = steps.find(|candidate| candidate.session == session);
            candidate.is_some_and(|candidate| only_waits(log, candidate).given(candidate.answer))
        };
        let sessions: Vec<_> = ready
            .iter()
            .map(|candidate| (candidate.session, candidate.kind))
            .collect();
        let choices = Choices::new(&self.model.symmetry, &sessions, only_waits, has_begun);
        self.guide.choose(log.events(), &choices).unwrap_or(ready[0].session)
    }
}
