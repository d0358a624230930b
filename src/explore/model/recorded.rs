//! A run of a program in the form that the search takes in.

use super::Outcome;
use super::world::{Did, Move, Step, World, is_taken_alone};
use crate::conflict::{End, Event, Footprint, HeldRows, Object, Piece, Snapshots, Taking, Waited, WriteKind};
use crate::explore::source_sets::{Choices, Guide, Trace};
use crate::history::MoveKind;
use crate::scenario::Symmetry;

pub struct Recorded<'a> {
    world: World<'a>,
    events: Vec<Event>,
    choices: Vec<Choices>,
    /// By move: its step, by its index in the session.
    steps: Vec<usize>,
    /// By move: the move that sent its step.
    sent_in: Vec<usize>,
    /// By move: whether it finished its step.
    finishes: Vec<bool>,
    waited_for: Vec<Vec<(usize, Waited)>>,
    could_have_waited_for: Vec<Option<Vec<usize>>>,
    rows: HeldRows,
    /// By session: what its transaction has touched.
    held: Vec<Footprint>,
}

impl<'a> Recorded<'a> {
    /// Runs a program to its end.
    pub fn run(world: World<'a>, guide: &Guide, symmetry: &Symmetry) -> Recorded<'a> {
        let mut recorded = Recorded {
            world,
            events: Vec::new(),
            choices: Vec::new(),
            steps: Vec::new(),
            sent_in: Vec::new(),
            finishes: Vec::new(),
            waited_for: Vec::new(),
            could_have_waited_for: Vec::new(),
            rows: HeldRows::default(),
            held: vec![Footprint::default(); symmetry.sessions()],
        };
        loop {
            let ready = recorded.world.ready();
            let kinds: Vec<_> = ready
                .iter()
                .map(|&session| (session, recorded.world.kind(session)))
                .collect();
            let has_begun = |session: usize| recorded.events.iter().any(|event| event.session == session);
            let choices = Choices::new(symmetry, &kinds, |session| recorded.only_waits(session), has_begun);
            let prescribed = guide.prescribed(recorded.events.len());
            let chosen = prescribed.filter(|session| ready.contains(session));
            let Some(session) = chosen.or_else(|| guide.choose(&recorded.events, &choices)) else {
                assert!(ready.is_empty(), "nobody was chosen");
                return recorded;
            };
            recorded.choices.push(choices);
            recorded.make_move(session);
        }
    }

    pub fn outcome(&self) -> Outcome {
        self.world.outcome()
    }

    fn make_move(&mut self, session: usize) {
        let index = self.events.len();
        let is_step = self.world.kind(session) == MoveKind::Step;
        self.waited_for.push(match is_step {
            true => self.ends_waited_for(session),
            false => Vec::new(),
        });
        self.could_have_waited_for.push(match is_step {
            true => self.could_have_waited(session),
            false => Some(Vec::new()),
        });
        self.steps.push(self.world.next(session));
        let before = self.events.iter().rposition(|event| event.session == session);
        self.sent_in
            .push(before.filter(|_| !is_step).map_or(index, |before| self.sent_in[before]));
        let whole = self
            .world
            .takes_snapshot(session)
            .then(|| self.rest_of_transaction(session));
        let one = self.world.make_move(session);
        self.finishes.push(one.did != Did::Wait);
        let mut event = Event {
            session,
            participants: vec![session],
            pieces: Vec::new(),
        };
        event.participants.extend(one.released.iter().chain(&one.lets_retry));
        event.pieces.push(self.piece(&one, index, whole.filter(|_| is_step)));
        self.events.push(event);
    }

    fn piece(&mut self, one: &Move, index: usize, whole: Option<Footprint>) -> Piece {
        let step = self.world.step(one.session, one.step);
        let mut statement = self.whatever_it_finds(one.session, step);
        if one.did == (Did::Finish { wrote: false }) && !one.has_waited {
            statement.writes.clear();
        }
        let held = self.held[one.session].clone();
        self.held[one.session].add(&statement);
        let ends = one.did == Did::Fail || (step.commits && one.did != Did::Wait);
        let end = ends.then(|| End {
            committed: one.did != Did::Fail,
            held: std::mem::take(&mut self.held[one.session]),
        });
        if ends {
            self.rows.end(one.session, index);
        } else if let Some(row) = self.row_taken(step)
            && one.did == (Did::Finish { wrote: true })
        {
            self.rows.take(object(row), one.session, index);
        }
        Piece {
            snapshots: self.snapshots(one.session),
            statement,
            held,
            tracked: None,
            transaction: whole,
            end,
        }
    }

    fn whatever_it_finds(&self, session: usize, step: &Step) -> Footprint {
        whatever_it_finds(step, self.world.program()[session].times_out)
    }

    fn snapshots(&self, session: usize) -> Snapshots {
        let per_transaction = self.world.program()[session].repeatable_read;
        Snapshots {
            per_statement: !per_transaction,
            per_transaction,
            serializable: false,
        }
    }

    /// Everything a session may touch from its next step up to the end of its transaction.
    fn rest_of_transaction(&self, session: usize) -> Footprint {
        let mut whole = Footprint::default();
        for step in &self.world.program()[session].steps[self.world.next(session)..] {
            whole.add(&self.whatever_it_finds(session, step));
            if step.commits {
                break;
            }
        }
        whole
    }

    /// The row that a step takes, if the moment at which it begins to wait for it makes no difference.
    fn row_taken(&self, step: &Step) -> Option<usize> {
        let mut rows = step.writes.iter().map(|(row, _)| *row);
        rows.find(|&row| is_taken_alone(self.world.program(), row))
    }

    /// The row that the next step of a session takes.
    fn taking(&self, session: usize) -> Option<Taking> {
        let step = self.world.step(session, self.world.next(session));
        Some(Taking {
            session,
            row: object(self.row_taken(step)?),
            conditional: step.condition.is_some(),
            holds: self.held[session].holds(),
        })
    }

    fn only_waits(&self, session: usize) -> bool {
        let step = self.world.step(session, self.world.next(session));
        let meets_condition = |row: usize| {
            step.condition
                .is_none_or(|(_, value)| self.world.committed(row) == value)
        };
        self.taking(session).is_some_and(|taking| self.rows.makes_wait(&taking))
            && self.row_taken(step).is_some_and(meets_condition)
    }

    fn ends_waited_for(&self, session: usize) -> Vec<(usize, Waited)> {
        let taking = self.taking(session);
        taking.map(|taking| self.rows.waited_for(&taking)).unwrap_or_default()
    }

    fn could_have_waited(&self, session: usize) -> Option<Vec<usize>> {
        match self.taking(session) {
            Some(taking) => self.rows.could_have_waited_for(&taking, &self.events),
            None => Some(Vec::new()),
        }
    }
}

fn whatever_it_finds(step: &Step, times_out: bool) -> Footprint {
    let mut footprint = Footprint {
        // its wait may end before any move of others
        unknown: times_out && !step.only_commits(),
        ..Footprint::default()
    };
    let looked_at = step.condition.map(|(row, _)| row);
    for &row in step.reads.iter().chain(&looked_at) {
        footprint.reads.insert(object(row));
    }
    for &(row, _) in &step.writes {
        footprint.write(object(row), WriteKind::UpdateNoKey);
    }
    footprint
}

fn object(row: usize) -> Object {
    Object::Relation(row as u32)
}

impl Trace for Recorded<'_> {
    fn events(&self) -> &[Event] {
        &self.events
    }

    fn choices(&self) -> &[Choices] {
        &self.choices
    }

    fn finished_in(&self, index: usize) -> Option<usize> {
        let sent_in = self.sent_in[index];
        (0..self.events.len()).find(|&other| self.sent_in[other] == sent_in && self.finishes[other])
    }

    fn runs_on(&self) -> bool {
        false
    }

    fn piece_at_most(&self, index: usize) -> Option<Piece> {
        let mut piece = self.events[index].pieces.first()?.clone();
        let session = self.events[index].session;
        piece.statement = self.whatever_it_finds(session, self.world.step(session, self.steps[index]));
        let mut held = piece.held.clone();
        held.add(&piece.statement);
        piece.end = Some(End { committed: true, held });
        Some(piece)
    }

    fn waited_for(&self, index: usize) -> &[(usize, Waited)] {
        &self.waited_for[index]
    }

    fn could_have_waited_for(&self, index: usize) -> Option<Vec<usize>> {
        self.could_have_waited_for[index].clone()
    }
}
