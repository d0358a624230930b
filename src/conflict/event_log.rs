//! The events of a run, taken down move by move.

use std::sync::Arc;

use super::event::{End, Event, Piece};
use super::footprint::Footprint;
use super::held_rows::{HeldRows, Taking, Waited};
use super::program::{Filled, Program, RowTaken};
use super::rules::conflict;
use super::transaction::Transaction;
use super::turn::{filled_by, found_row, whatever_it_finds};
use crate::history::{Origin, SoFar, StepResult, Turn, has_placeholder};
use crate::sql::StatementKind;

const UNIQUE_VIOLATION: &str = "23505";

/// Whether a step would only wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnlyWaits {
    No,
    Yes,
    /// It would if this query is true of what is committed.
    If(String),
}

impl OnlyWaits {
    /// Whether it would, given the answer to the query; without an answer this is not known.
    pub fn given(&self, answer: Option<bool>) -> bool {
        match self {
            OnlyWaits::No => false,
            OnlyWaits::Yes => true,
            OnlyWaits::If(_) => answer == Some(true),
        }
    }
}

/// The events of a run, recorded move by move.
#[derive(Debug, Clone)]
pub struct EventLog {
    program: Arc<Program>,
    events: Vec<Event>,
    /// INSERTs whose rows are committed, each with the event that committed them.
    committed: Vec<(String, usize)>,
    /// By event: an INSERT that failed because its row was there (see [`EventLog::key_was_taken`]).
    key_was_taken: Vec<bool>,
    transactions: Vec<Transaction>,
    rows: HeldRows,
}

impl EventLog {
    pub fn new(program: Arc<Program>) -> EventLog {
        let transactions = vec![Transaction::default(); program.sessions().len()];
        EventLog {
            program,
            events: Vec::new(),
            committed: Vec::new(),
            key_was_taken: Vec::new(),
            transactions,
            rows: HeldRows::default(),
        }
    }

    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Takes down the moves up to `until` that are not yet.
    pub fn extend(&mut self, so_far: SoFar<'_>, until: usize) {
        while self.events.len() < until {
            self.take_down(so_far, self.events.len());
        }
    }

    /// Whether the step that a session has before it would only wait: for a row that another holds, to do then what it
    /// would do if it were scheduled then (see [`Program::row_taken`]), and nobody waits for the session meanwhile.
    pub fn only_waits(&self, filled: Filled<'_>, origin: Origin, begins: bool) -> OnlyWaits {
        match self.row_taken(filled, origin) {
            Some(taken) if self.rows.makes_wait(&self.taking(filled.session, &taken, begins)) => match taken.if_true {
                None => OnlyWaits::Yes,
                Some(query) => OnlyWaits::If(query),
            },
            _ => OnlyWaits::No,
        }
    }

    /// The ends of other transactions that held the row of the step that is next to be taken down: had it come right
    /// before one, it could only have waited.
    pub fn waited_for(&self, next: &Turn) -> Vec<(usize, Waited)> {
        let step = self.taken_by(next);
        step.map(|step| self.rows.waited_for(&step)).unwrap_or_default()
    }

    /// The moves before which the step that is next to be taken down could have begun to wait for its row, to do then what
    /// it did. `None` where it depends on more whether it would have waited, or who would have waited before whom.
    pub fn could_have_waited_for(&self, next: &Turn) -> Option<Vec<usize>> {
        match self.taken_by(next) {
            Some(step) => self.rows.could_have_waited_for(&step, &self.events),
            None => Some(Vec::new()),
        }
    }

    /// The row that a turn takes which is next to be taken down.
    fn taken_by(&self, next: &Turn) -> Option<Taking> {
        let taken = self.row_taken(filled_by(next), next.origin)?;
        Some(self.taking(next.session, &taken, next.tx.opens))
    }

    fn row_taken(&self, filled: Filled<'_>, origin: Origin) -> Option<RowTaken> {
        self.program.row_taken(filled).filter(|_| origin.is_step())
    }

    /// `begins` says that the step is the first of a transaction, so that the last holds nothing any more.
    fn taking(&self, session: usize, taken: &RowTaken, begins: bool) -> Taking {
        let transaction = &self.transactions[session];
        Taking {
            session,
            row: taken.row.clone(),
            conditional: taken.if_true.is_some(),
            holds: !begins && transaction.open && transaction.held.holds(),
        }
    }

    /// What the session of a move of the log may do at most if it is scheduled at another time: its statement may find
    /// something else, or fail.
    pub fn piece_at_most(&self, SoFar { turns, moves }: SoFar<'_>, index: usize) -> Option<Piece> {
        let turn = &turns[moves[index].turn];
        let mut piece = self.events[index].pieces.first()?.clone();
        piece.statement = whatever_it_finds(&self.program, turn);
        let mut held = piece.held.clone();
        held.add(&piece.statement);
        piece.tracked = piece.tracked.is_some().then(|| held.clone());
        piece.end = Some(End {
            committed: turn.commits(),
            held,
        });
        Some(piece)
    }

    fn take_down(&mut self, SoFar { turns, moves }: SoFar<'_>, index: usize) {
        let (one, turn) = (&moves[index], &turns[moves[index].turn]);
        let mut event = Event {
            session: one.session,
            participants: vec![one.session],
            pieces: Vec::new(),
        };
        let adds = adds_constants(&self.program, turn);
        let before = self.transactions[one.session].clone();
        let own = self.piece(turn, index, one.finished.contains(&one.turn));
        let does_more = !adds && own.statement.holds();
        match &own.end {
            Some(end) if end.committed && !before.does_more_than_add && !does_more => {
                self.committed
                    .extend(before.added.into_iter().map(|text| (text, index)));
            }
            end => {
                let transaction = &mut self.transactions[one.session];
                transaction.does_more_than_add |= does_more || end.is_some();
                transaction.added.extend(Some(turn.filled.clone()).filter(|_| adds));
            }
        }
        event.pieces.push(own);
        // those that ran on because they could not be stopped
        for &other in one.finished.iter().filter(|&&finished| finished != one.turn) {
            event.participants.push(turns[other].session);
            event.pieces.push(self.piece(&turns[other], index, true));
        }
        // a session that came from one wait into another moved too
        for &moved in &one.moved {
            let before = moves[..index].iter().rfind(|one| one.session == moved);
            if let Some(before) = before.filter(|_| !event.participants.contains(&moved)) {
                event.participants.push(moved);
                event.pieces.push(self.piece(&turns[before.turn], index, false));
            }
        }
        for &released in one.released.iter().chain(&one.lets_retry) {
            if !event.participants.contains(&released) {
                event.participants.push(released);
            }
        }
        let key_was_taken = adds && self.key_was_taken(SoFar { turns, moves }, index, &event);
        if key_was_taken && let Some(own) = event.pieces.first_mut() {
            own.statement = reads_alone(&own.statement);
            // a transaction that begins with it has held nothing
            if let Some(end) = own.end.as_mut().filter(|_| turn.begin.is_some()) {
                end.held = own.statement.clone();
            }
        }
        self.key_was_taken.push(key_was_taken);
        self.events.push(event);
    }

    /// Whether an INSERT failed because the same INSERT of another session, which has done nothing but add rows, was
    /// committed, and since then nobody has done anything that matters to it but fail in the same way. Then it met the
    /// committed row in the first of the table's keys, and has got, or waited for, nothing in any other: it makes no
    /// difference to it which of those that wait for the same row have learned of that yet, nor it to them.
    fn key_was_taken(&self, SoFar { turns, moves }: SoFar<'_>, index: usize, event: &Event) -> bool {
        let (one, turn) = (&moves[index], &turns[moves[index].turn]);
        let failed = matches!(&turn.result, StepResult::Error(error) if error.sqlstate == UNIQUE_VIOLATION);
        let committed = self.committed.iter().rfind(|(text, _)| *text == turn.filled);
        let Some((_, committed)) = committed.filter(|_| failed && one.finished == [one.turn]) else {
            return false;
        };
        let mut since = committed + 1..index;
        since.all(|between| self.key_was_taken[between] || !conflict(&self.events[between], event))
    }

    /// What a turn did in a move, where it `finished` or waits.
    fn piece(&mut self, turn: &Turn, index: usize, finished: bool) -> Piece {
        let piece = self.transactions[turn.session].take_down(&self.program, turn, finished);
        // what RELEASE ends holds its rows until the whole transaction ends
        if piece.end.is_some() && turn.statement.kind != StatementKind::Release {
            self.rows.end(turn.session, index);
        } else if finished
            && found_row(&turn.result)
            && let Some(taken) = self.row_taken(filled_by(turn), turn.origin)
        {
            self.rows.take(taken.row, turn.session, index);
        }
        piece
    }
}

/// Whether a step is an INSERT of constants into one table whose keys are checked as rows are added, and touches nothing
/// else but what foreign keys check afterwards.
fn adds_constants(program: &Program, turn: &Turn) -> bool {
    let statement = whatever_it_finds(program, turn);
    turn.origin.is_step()
        && !has_placeholder(&turn.filled)
        && program.adds_constants(filled_by(turn))
        && !program.deferred
        && !statement.unknown
        && !statement.calls
        && statement.reads.is_empty()
        && statement.locks.is_empty()
        && statement.writes.len() == 1
}

/// A statement that has looked at what it was to change, and no more.
fn reads_alone(statement: &Footprint) -> Footprint {
    Footprint {
        reads: statement.writes.keys().cloned().collect(),
        ..Footprint::default()
    }
}
