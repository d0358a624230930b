//! The moves of a run, as far as conflicts are concerned.

use std::sync::Arc;

use super::footprint::{Footprint, Object, WriteKind};
use super::program::{Filled, Program, RowTaken};
use super::rules::conflict;
use super::snapshots::Snapshots;
use crate::history::{Origin, SoFar, StepResult, Turn, TxEnd};
use crate::sql::StatementKind;
use crate::sql::lexer::tokens;

const UNIQUE_VIOLATION: &str = "23505";

/// One move: what the scheduled session did, and what others did that ran on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The session that was scheduled.
    pub session: usize,
    /// Every session whose state it changed: that one, and those that it released, made wait for another session, or
    /// allowed to run a transaction again.
    pub participants: Vec<usize>,
    pub pieces: Vec<Piece>,
}

/// What one session did in a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub snapshots: Snapshots,
    pub statement: Footprint,
    /// What its transaction has read, locked and written before.
    pub held: Footprint,
    /// What its transaction has read, locked and written so far, including this statement, if another session's
    /// statement alone may doom it: where there are three or more serializable transactions.
    pub tracked: Option<Footprint>,
    /// If the statement takes the transaction's only snapshot: everything that the transaction may read with it.
    pub transaction: Option<Footprint>,
    /// The transaction (or a part of it, behind a savepoint) ended.
    pub end: Option<End>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub committed: bool,
    /// What the transaction read, locked and wrote.
    pub held: Footprint,
}

/// A row that a session took.
#[derive(Debug, Clone)]
struct HeldRow {
    row: Object,
    holder: usize,
    /// The move that took it.
    taken: usize,
    /// The move that ended the transaction.
    ended: Option<usize>,
}

/// A wait that a step could have begun with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited {
    /// The move that took the row.
    pub taken: usize,
    /// It could have done nothing but wait.
    pub surely: bool,
}

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

/// The transaction that a session is in.
#[derive(Debug, Clone, Default)]
struct Transaction {
    open: bool,
    has_snapshot: bool,
    held: Footprint,
    /// INSERTs that it has run.
    added: Vec<String>,
    /// It has locked or changed something other than by INSERTs of constants.
    does_more_than_add: bool,
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
    /// Rows that were taken, of tables where that is known.
    rows: Vec<HeldRow>,
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
            rows: Vec::new(),
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
        let session = filled.session;
        let Some(RowTaken { row, if_true }) = self.row_waited_for(filled, origin, begins) else {
            return OnlyWaits::No;
        };
        let is_held = self
            .rows
            .iter()
            .any(|held| held.ended.is_none() && held.holder != session && held.row.overlaps(&row));
        match if_true {
            _ if !is_held => OnlyWaits::No,
            None => OnlyWaits::Yes,
            Some(query) => OnlyWaits::If(query),
        }
    }

    /// The row that a step takes for which it could do nothing but wait when another holds it.
    fn row_waited_for(&self, filled: Filled<'_>, origin: Origin, begins: bool) -> Option<RowTaken> {
        if !origin.is_step() || self.holds(filled.session, begins) {
            return None;
        }
        self.program.row_taken(filled)
    }

    /// Whether others may have to wait for the transaction that a session is in, unless its next step `begins` one.
    fn holds(&self, session: usize, begins: bool) -> bool {
        let transaction = &self.transactions[session];
        !begins && transaction.open && transaction.held.holds()
    }

    /// Of the transactions that held the row of the step that is next to be taken down, the moves in which they had a
    /// part after the one that took it, the end included: the step could have begun to wait before them and would have
    /// done the same. `None` where it depends on more whether it would, or who would have waited before whom.
    pub fn could_have_waited_for(&self, next: &Turn) -> Option<Vec<usize>> {
        let Some(taken) = self
            .program
            .row_taken(filled_by(next))
            .filter(|_| next.origin.is_step())
        else {
            return Some(Vec::new());
        };
        let others = self
            .rows
            .iter()
            .filter(|held| held.holder != next.session && held.row.overlaps(&taken.row));
        if self.holds(next.session, next.tx.opens) {
            // it may wait itself, behind one that could have waited
            let own = |held: &HeldRow| held.holder == next.session && held.ended.is_none() && held.row == taken.row;
            let may_wait = !self.rows.iter().any(own);
            return (others.count() < 2 || !may_wait).then(Vec::new);
        }
        let turns_of = |held: &HeldRow| {
            let holder = held.holder;
            let turns = held.ended.map_or(0..0, |ended| held.taken + 1..ended + 1);
            turns.filter(move |&turn| self.events[turn].participants.contains(&holder))
        };
        let turns: Vec<usize> = others.flat_map(turns_of).collect();
        (taken.if_true.is_none() || turns.is_empty()).then_some(turns)
    }

    /// The ends of other transactions that held the row of the step that is next to be taken down: had it come right
    /// before one, it could only have waited.
    pub fn waited_for(&self, next: &Turn) -> Vec<(usize, Waited)> {
        let waited = self.row_waited_for(filled_by(next), next.origin, next.tx.opens);
        let Some(RowTaken { row, if_true }) = waited else {
            return Vec::new();
        };
        let others = self.rows.iter().filter(|held| held.holder != next.session);
        let ends = others.filter(|held| held.row.overlaps(&row)).filter_map(|held| {
            let waited = Waited {
                taken: held.taken,
                surely: if_true.is_none(),
            };
            held.ended.map(|end| (end, waited))
        });
        ends.collect()
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

    fn piece(&mut self, turn: &Turn, index: usize, finished: bool) -> Piece {
        let piece = piece(&self.program, turn, &mut self.transactions[turn.session], finished);
        let is_release = turn.statement.kind == StatementKind::Release;
        if piece.end.is_some() && !is_release {
            let held = self.rows.iter_mut().filter(|held| held.holder == turn.session);
            held.filter(|held| held.ended.is_none())
                .for_each(|held| held.ended = Some(index));
        } else if finished
            && turn.origin.is_step()
            && found_row(&turn.result)
            && let Some(RowTaken { row, .. }) = self.program.row_taken(filled_by(turn))
            && !self
                .rows
                .iter()
                .any(|held| held.ended.is_none() && held.holder == turn.session && held.row == row)
        {
            self.rows.push(HeldRow {
                row,
                holder: turn.session,
                taken: index,
                ended: None,
            });
        }
        piece
    }
}

fn filled_by(turn: &Turn) -> Filled<'_> {
    Filled {
        session: turn.session,
        step: turn.origin.step(),
        sql: &turn.filled,
        values: &turn.values,
    }
}

/// Whether a step is an INSERT of constants into one table whose keys are checked as rows are added, and touches nothing
/// else but what foreign keys check afterwards.
fn adds_constants(program: &Program, turn: &Turn) -> bool {
    let statement = whatever_it_finds(program, turn);
    turn.origin.is_step()
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

/// Whether a statement that is confined to a row found it.
fn found_row(result: &StepResult) -> bool {
    match result {
        StepResult::Rows { rows, .. } => !rows.is_empty(),
        StepResult::Done { tag } => tag != "UPDATE 0",
        StepResult::Error(_) => false,
    }
}

/// Whether a statement that looks for rows found none.
fn found_nothing(result: &StepResult) -> bool {
    match result {
        StepResult::Rows { tag, .. } | StepResult::Done { tag } => {
            ["SELECT 0", "UPDATE 0", "DELETE 0"].contains(&tag.as_str())
        }
        StepResult::Error(_) => false,
    }
}

fn piece(program: &Program, turn: &Turn, transaction: &mut Transaction, finished: bool) -> Piece {
    let snapshots = program.snapshots(turn.session);
    let kind = turn.statement.kind;
    if turn.tx.opens || (!transaction.open && !turn.ends_transaction()) {
        *transaction = Transaction {
            open: true,
            ..Transaction::default()
        };
    }
    let mut statement = whatever_it_finds(program, turn);
    if finished && turn.waits.is_empty() && found_nothing(&turn.result) {
        statement = program.found_nothing(statement, filled_by(turn));
    }
    let takes_snapshot = (!turn.ends_transaction() || kind == StatementKind::OutsideBlock)
        && !transaction.has_snapshot
        && !matches!(
            kind,
            StatementKind::Setting | StatementKind::Savepoint | StatementKind::Release | StatementKind::Begin
        );
    let whole = takes_snapshot.then(|| program.rest_of_transaction(turn.session, turn.origin.step()));
    let held = transaction.held.clone();
    transaction.held.add(&statement);
    let tracked = (snapshots.serializable && !statement.is_empty() && program.serializable_threes())
        .then(|| transaction.held.clone());
    // an error takes back the transaction, or what came after its last savepoint
    let failed = finished && turn.tx.end == Some(TxEnd::Failed);
    // RELEASE ends the savepoint's own transaction, and who waits for that waits anew
    let to_savepoint = matches!(kind, StatementKind::RollbackTo | StatementKind::Release);
    let end = (finished && (turn.ends_transaction() || failed || to_savepoint)).then(|| End {
        committed: turn.commits() && !failed,
        held: transaction.held.clone(),
    });
    if finished {
        transaction.has_snapshot |= takes_snapshot && takes_snapshot_for_sure(&turn.statement.sql);
        if failed {
            // what it held stays known for the ROLLBACK, which may be a turn of its own
            (transaction.open, transaction.has_snapshot) = (false, false);
        }
        if turn.ends_transaction() {
            *transaction = Transaction::default();
        }
    }
    Piece {
        snapshots,
        statement,
        held,
        tracked,
        transaction: whole,
        end,
    }
}

/// What a turn's statement touches, whatever it finds.
fn whatever_it_finds(program: &Program, turn: &Turn) -> Footprint {
    let kind = turn.statement.kind;
    let step = turn.origin.step();
    let mut statement = match (turn.origin, kind) {
        // reads at SERIALIZABLE are tracked by pages and tables
        (Origin::Step(_), StatementKind::Plain) if !program.snapshots(turn.session).serializable => {
            program.filled(filled_by(turn))
        }
        (Origin::Step(_), StatementKind::Plain | StatementKind::OutsideBlock) => program.step(turn.session, step),
        // a BEGIN that goes ahead of it takes the time
        (Origin::Step(_), _) => Footprint {
            timed: program.step(turn.session, step).timed,
            ..Footprint::default()
        },
        _ => Footprint::default(),
    };
    if matches!(turn.origin, Origin::Disconnect(_)) {
        statement.write(Object::AdvisoryLocks, WriteKind::Change);
    }
    // what a prepared transaction holds is anybody's to end
    statement.unknown |= kind == StatementKind::PrepareTransaction;
    statement.unknown |= turn.commits() && program.deferred;
    statement
}

/// Queries take a snapshot before they run; of utility statements some do.
fn takes_snapshot_for_sure(sql: &str) -> bool {
    tokens(sql).find(|token| !token.is_blank()).is_some_and(|token| {
        token.is_one_of(&[
            "select", "insert", "update", "delete", "merge", "with", "values", "table",
        ])
    })
}
