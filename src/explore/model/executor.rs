//! Runs programs as the executor does, with the world in place of their processes and the server.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::Outcome;
use super::world::{Also, Answer, Did, ListOrder, Move as Made, Script, Step, Value, World};
use crate::conflict::{Footprint, Meaning, Object, StatementKnown, WriteKind};
use crate::history::{Move, MoveKind, Origin, SoFar, Statement, StepError, StepResult, Turn, TxEnd, Wait, testing};
use crate::run::{Candidate, Decision, Learned, Observed, Pending, Run, RunSource, Scheduler};
use crate::sql::{Isolation, StatementKind};
use crate::verdict::outcome::Outcome as Judged;

/// The object of the list; those of the rows are before it.
const LIST: Object = Object::Relation(100);

struct Executor<'a> {
    memory: Memory<'a>,
    /// A program is needed that does not run.
    is_lost: bool,
    world: World<'a>,
    observed: &'a Observed,
    turns: Vec<Turn>,
    moves: Vec<Move>,
    decisions: Vec<Decision>,
    /// By session: its next step, or the one that it waits with.
    pending: Vec<Option<Pending>>,
    /// By session: the turn of its last step, and how many it has had.
    last: Vec<(usize, usize)>,
}

/// What was learned of programs: the number of the next step, or that there is none.
pub type Trees = Learned<Option<usize>>;

/// What a run knows of its programs, or learns.
pub struct Memory<'a> {
    trees: &'a Trees,
    /// By session: a hash of what its program is, and of all that it has done and been told.
    paths: Vec<u64>,
    /// The programs do not run.
    recalls: bool,
}

impl<'a> Memory<'a> {
    /// `programs` has, by session, the number of its program.
    pub fn new(trees: &'a Trees, programs: Vec<usize>, recalls: bool) -> Memory<'a> {
        let paths = programs.into_iter().map(hash).collect();
        Memory { trees, paths, recalls }
    }

    /// Takes down the next step of a session's program. Returns whether it is known, where the program does not run.
    fn next(&mut self, session: usize, told: Option<&Answer>, step: Option<usize>) -> bool {
        let told = format!("{told:?}");
        let path = hash((self.paths[session], told));
        let known = self.trees.next(path);
        match self.recalls {
            true => assert!(known.as_deref().is_none_or(|known| *known == step), "a wrong tree"),
            false => self.trees.put(path, hash(step), || Some(step)),
        }
        self.paths[session] = hash((path, step));
        !self.recalls || known.is_some()
    }
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Runs one schedule. What programs send is taken down as it is held. `None` where the programs do not run and meet something that was not learned of them.
pub fn run(
    world: World<'_>,
    observed: &Observed,
    scheduler: &mut dyn Scheduler,
    memory: Memory<'_>,
) -> Option<(Run, Outcome)> {
    let sessions = world.program().len();
    let mut executor = Executor {
        memory,
        is_lost: false,
        world,
        observed,
        turns: Vec::new(),
        moves: Vec::new(),
        decisions: Vec::new(),
        pending: vec![None; sessions],
        last: vec![(0, 0); sessions],
    };
    (0..sessions).for_each(|session| executor.find_next(session));
    loop {
        let ready = executor.world.ready();
        if executor.is_lost {
            return None;
        }
        if ready.is_empty() {
            return Some(executor.over());
        }
        let candidates: Vec<Candidate<'_>> = ready
            .iter()
            .map(|&session| Candidate {
                session,
                kind: executor.world.kind(session),
                step: executor.pending[session].as_ref().expect("it has a step"),
                answer: None,
            })
            .collect();
        let kinds: Vec<MoveKind> = candidates.iter().map(|candidate| candidate.kind).collect();
        let so_far = SoFar {
            turns: &executor.turns,
            moves: &executor.moves,
        };
        let chosen = scheduler.choose(so_far, &candidates);
        executor.decisions.push(Decision {
            answers: vec![None; ready.len()],
            ready,
            kinds,
            chosen,
        });
        executor.make_move(chosen);
    }
}

impl Executor<'_> {
    fn make_move(&mut self, session: usize) {
        let kind = self.world.kind(session);
        if kind == MoveKind::Step {
            let step = self.pending[session].as_ref().expect("it has a step");
            self.last[session] = (self.turns.len(), self.last[session].1 + 1);
            self.turns.push(step.turn(session));
        }
        let turn = self.last[session].0;
        let made = self.world.make_move(session);
        let mut one = Move::new(session, kind, turn);
        one.released = made.released.clone();
        if made.did != Did::Wait {
            one.finished.push(turn);
            self.finish(&made, turn);
            self.find_next(session);
        }
        self.moves.push(one);
    }

    fn finish(&mut self, made: &Made, turn: usize) {
        let (result, end) = match made.did {
            Did::Begin | Did::Wait => (done("BEGIN".to_owned()), None),
            Did::Fail => {
                let error = StepError {
                    sqlstate: "40001".to_owned(),
                    message: String::new(),
                };
                (StepResult::Error(error), Some(TxEnd::Failed))
            }
            Did::Finish { wrote } => {
                let step = self.world.step(made.session, made.step);
                let answer = self.world.last_answer(made.session);
                let read = answer.map_or(0, |answer| match answer {
                    Answer::Done(read, _) => read.len(),
                    Answer::Failed => 0,
                });
                if matches!(step.also, Some(Also::File(_))) {
                    self.observed.meets_elsewhere();
                }
                match step.commits {
                    true => (done("COMMIT".to_owned()), Some(TxEnd::Committed)),
                    false => (done(tag(step, wrote, read)), None),
                }
            }
        };
        let last = self.turns.len() - 1;
        let turn = &mut self.turns[turn];
        (turn.result, turn.tx.end, turn.finished_in) = (result, end, last);
        if made.has_waited {
            turn.waits.push(Wait {
                blocked_by: Vec::new(),
                from: 0,
                until: last,
            });
        }
    }

    /// Holds the next step of a session.
    fn find_next(&mut self, session: usize) {
        let script = &self.world.program()[session];
        let next = Some(self.world.next(session)).filter(|next| *next < script.steps.len());
        if !self.world.only_begins(session) {
            self.is_lost |= !self.memory.next(session, self.world.last_answer(session), next);
        }
        let Some(step) = script.steps.get(self.world.next(session)) else {
            self.pending[session] = None;
            return;
        };
        self.world.begin_apart(session, self.observed.begins_apart());
        let level = match script.repeatable_read {
            true => Isolation::RepeatableRead,
            false => Isolation::ReadCommitted,
        };
        let begin = begin(script);
        let (sql, known) = match self.world.only_begins(session) {
            true => (begin.to_owned(), silent()),
            false => (sql(step), known(step)),
        };
        let mut statement = Statement::of(&sql);
        self.observed.reaches(level);
        statement.seen = Some(self.observed.add((sql.clone(), Vec::new()), statement.kind, &known));
        let opens = !self.world.in_transaction(session);
        self.pending[session] = Some(Pending {
            name: String::new(),
            begin: (opens && statement.kind != StatementKind::Begin).then(|| begin.to_owned()),
            statement: Arc::new(statement),
            origin: Origin::Step(self.last[session].1),
            filled: sql,
            values: Vec::new(),
            opens,
            attempt: 0,
        });
    }

    fn over(self) -> (Run, Outcome) {
        let names: Vec<usize> = (0..self.pending.len()).collect();
        let run = Run {
            history: testing::history(&names, self.turns, self.moves),
            decisions: self.decisions,
            deadlocks: Vec::new(),
            resumptions: true,
            outcome: Judged {
                id: String::new(),
                tables: Vec::new(),
            },
            violations: Vec::new(),
            uncontrolled: Vec::new(),
            outputs: Vec::new(),
            source: RunSource::Programs,
        };
        (run, self.world.outcome())
    }
}

fn begin(script: &Script) -> &'static str {
    match script.repeatable_read {
        true => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        false => "BEGIN",
    }
}

fn done(tag: String) -> StepResult {
    StepResult::Done { tag }
}

fn tag(step: &Step, wrote: bool, read: usize) -> String {
    match (&step.also, step.writes.is_empty()) {
        (Some(Also::Add(_)), _) => "INSERT 0 1".to_owned(),
        (_, false) => format!("UPDATE {}", u8::from(wrote)),
        (_, true) => format!("SELECT {read}"),
    }
}

/// A text that is that of the same steps only.
fn sql(step: &Step) -> String {
    if step.only_commits() {
        return "COMMIT".to_owned();
    }
    let names = step.writes.iter().any(|(_, value)| *value == Value::Number);
    let text = match (&step.also, step.writes.is_empty()) {
        (Some(Also::Add(_)), _) => "INSERT INTO list SELECT now()",
        (_, false) if names => "UPDATE rows SET value = application_name",
        (_, false) => "UPDATE rows",
        (_, true) => "SELECT",
    };
    format!("{text} /* {step:?} */")
}

fn silent() -> StatementKnown {
    StatementKnown {
        footprint: Footprint::default(),
        meaning: Meaning::default(),
    }
}

/// What the analysis of a step's statement says.
fn known(step: &Step) -> StatementKnown {
    let mut known = silent();
    let StatementKnown { footprint, meaning } = &mut known;
    let row = |row: usize| Object::Relation(row as u32);
    let looked_at = step.condition.map(|(row, _)| row);
    footprint.reads = step.reads.iter().chain(&looked_at).map(|&one| row(one)).collect();
    for (written, _) in &step.writes {
        footprint.write(row(*written), WriteKind::UpdateNoKey);
    }
    match step.also {
        Some(Also::Add(_)) => {
            footprint.write(LIST, WriteKind::Append);
            (meaning.times.takes, meaning.times.keeps) = (true, true);
        }
        Some(Also::List(order)) => {
            footprint.reads.insert(LIST);
            footprint.ordered.extend((order == ListOrder::Places).then_some(LIST));
            meaning.times.tells = order == ListOrder::Times;
        }
        Some(Also::File(_)) | None => {}
    }
    if let ([(written, _)], None) = (step.writes.as_slice(), step.also) {
        let touched = step.reads.iter().chain(&looked_at);
        meaning.only_table = touched.copied().all(|one| one == *written).then_some(*written as u32);
    }
    known
}
