//! The turns of a run, as far as conflicts go.

use std::sync::Arc;

use super::footprint::{Filled, Footprint, Footprints, Object, RowTaken, WriteKind};
use crate::run::history::{StepResult, Turn, TurnRole};
use crate::scenario::sql::StatementKind;
use crate::scenario::sql::lexer::{TokenKind, tokens};
use crate::scenario::{Isolation, Scenario, Session};

/// One turn: the step of the session that was let go on, and the steps of others that it released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The session that was let go on.
    pub session: usize,
    /// Every session that moved, that one included.
    pub participants: Vec<usize>,
    pub pieces: Vec<Piece>,
}

/// What one session did in a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub snapshots: Snapshots,
    pub statement: Footprint,
    /// What its transaction has read, locked and written before.
    pub held: Footprint,
    /// What its transaction has read, locked and written so far, this statement included, where another's statement
    /// alone may doom it: where there are three serializable transactions or more.
    pub tracked: Option<Footprint>,
    /// Where the statement takes the transaction's one snapshot: all that the transaction may look at with it.
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

/// How a transaction sees others. Where its isolation level is not known, all of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshots {
    /// Each statement takes a snapshot (READ COMMITTED).
    pub per_statement: bool,
    /// Its first statement takes one for all (REPEATABLE READ, SERIALIZABLE).
    pub per_transaction: bool,
    /// Its reads are tracked (SERIALIZABLE).
    pub serializable: bool,
}

impl Snapshots {
    /// Each statement takes a snapshot, and nothing else is the case.
    pub fn is_read_committed(self) -> bool {
        self.per_statement && !self.per_transaction && !self.serializable
    }

    pub const UNKNOWN: Snapshots = Snapshots {
        per_statement: true,
        per_transaction: true,
        serializable: true,
    };

    fn of(isolation: Isolation) -> Snapshots {
        Snapshots {
            per_statement: isolation == Isolation::ReadCommitted,
            per_transaction: isolation != Isolation::ReadCommitted,
            serializable: isolation == Isolation::Serializable,
        }
    }

    /// A session that sets an isolation level in SQL has any of them.
    pub fn of_session(session: &Session) -> Snapshots {
        let sets_level = session.steps.iter().any(|step| {
            tokens(&step.sql.text).any(|token| {
                token.kind == TokenKind::Word
                    && [
                        "isolation",
                        "default_transaction_isolation",
                        "transaction_isolation",
                        "set_config",
                    ]
                    .iter()
                    .any(|word| token.is(word))
            })
        });
        if sets_level {
            Snapshots::UNKNOWN
        } else {
            Snapshots::of(session.isolation)
        }
    }
}

/// A row that a session took.
#[derive(Debug, Clone)]
struct HeldRow {
    row: Object,
    holder: usize,
    /// The turn that took it.
    taken: usize,
    /// The turn that ended the transaction.
    ended: Option<usize>,
}

/// A wait that a step could have begun with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited {
    /// The turn that took the row.
    pub taken: usize,
    /// It could have done nothing else.
    pub surely: bool,
}

/// Whether a step would only wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnlyWaits {
    No,
    Yes,
    /// If this query says so of what is committed.
    If(String),
}

impl OnlyWaits {
    /// Whether it does, given the answer to the query; a query without an answer does not tell.
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
}

/// The events of a run, taken down turn by turn.
#[derive(Debug, Clone)]
pub struct EventLog {
    scenario: Arc<Scenario>,
    footprints: Footprints,
    events: Vec<Event>,
    transactions: Vec<Transaction>,
    /// Rows that were taken, of tables where that is known.
    rows: Vec<HeldRow>,
}

impl EventLog {
    pub fn new(scenario: Arc<Scenario>, footprints: Footprints) -> EventLog {
        let transactions = vec![Transaction::default(); scenario.sessions.len()];
        EventLog {
            scenario,
            footprints,
            events: Vec::new(),
            transactions,
            rows: Vec::new(),
        }
    }

    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Takes down the turns up to `until` that are not yet. What a turn did is known when the next is chosen, so turns
    /// that are under way do not matter.
    pub fn extend(&mut self, turns: &[Turn], until: usize) {
        while self.events.len() < until {
            self.take_down(turns, self.events.len());
        }
    }

    /// Whether the step that a session has before it would only wait: for a row that another holds, to do then what it
    /// would do if it were let go on then (see [`Footprints::row_taken`]), and nobody waits for the session meanwhile.
    pub fn only_waits(&self, filled: Filled<'_>, role: TurnRole, begins: bool) -> OnlyWaits {
        let session = filled.session;
        let Some(RowTaken { row, if_true }) = self.row_waited_for(filled, role, begins) else {
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
    fn row_waited_for(&self, filled: Filled<'_>, role: TurnRole, begins: bool) -> Option<RowTaken> {
        if role != TurnRole::Step || self.holds(filled.session, begins) {
            return None;
        }
        self.footprints.row_taken(filled)
    }

    /// Whether others may have to wait for the transaction that a session is in, unless its next step `begins` one.
    fn holds(&self, session: usize, begins: bool) -> bool {
        let transaction = &self.transactions[session];
        !begins && transaction.open && transaction.held.holds()
    }

    /// Of the transactions that held the row of the turn that is next to be taken down, the turns in which they moved
    /// after the one that took it, the end included: its step could have begun to wait before them and would have
    /// done the same. `None` where it depends on more whether it would, or who would have waited before whom.
    pub fn could_have_waited_for(&self, next: &Turn) -> Option<Vec<usize>> {
        let Some(taken) = self
            .footprints
            .row_taken(filled_by(next))
            .filter(|_| next.role == TurnRole::Step)
        else {
            return Some(Vec::new());
        };
        let others = self
            .rows
            .iter()
            .filter(|held| held.holder != next.session && held.row.overlaps(&taken.row));
        if self.holds(next.session, next.begin.is_some()) {
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

    /// The ends of other transactions that held the row of the turn that is next to be taken down: had it come right
    /// before one, it could only have waited.
    pub fn waited_for(&self, next: &Turn) -> Vec<(usize, Waited)> {
        let waited = self.row_waited_for(filled_by(next), next.role, next.begin.is_some());
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

    /// What the session of a turn of the log may do at most if it goes on at another time: its statement may find
    /// something else, or fail.
    pub fn piece_at_most(&self, turns: &[Turn], index: usize) -> Option<Piece> {
        let turn = &turns[index];
        let mut piece = self.events[index].pieces.first()?.clone();
        piece.statement = whatever_it_finds(&self.scenario, &self.footprints, turn);
        let mut held = piece.held.clone();
        held.add(&piece.statement);
        piece.tracked = piece.tracked.is_some().then(|| held.clone());
        piece.end = Some(End {
            committed: commits(&self.scenario.sessions[turn.session], turn),
            held,
        });
        Some(piece)
    }

    fn take_down(&mut self, turns: &[Turn], index: usize) {
        let turn = &turns[index];
        let mut event = Event {
            session: turn.session,
            participants: vec![turn.session],
            pieces: Vec::new(),
        };
        event.pieces.push(self.piece(turn, index, turn.finished_in == index));
        for released in turns[..index].iter().filter(|earlier| earlier.finished_in == index) {
            event.pieces.push(self.piece(released, index, true));
            event.participants.push(released.session);
        }
        // a session that moved from one wait to another moved too
        for moved in turns[..index].iter().filter(|earlier| earlier.finished_in > index) {
            if moved.waits.iter().any(|wait| wait.until == index) && !event.participants.contains(&moved.session) {
                event.participants.push(moved.session);
                event.pieces.push(self.piece(moved, index, false));
            }
        }
        self.events.push(event);
    }

    fn piece(&mut self, turn: &Turn, index: usize, finished: bool) -> Piece {
        let piece = piece(
            &self.scenario,
            &self.footprints,
            turn,
            &mut self.transactions[turn.session],
            finished,
        );
        if piece.end.is_some() {
            let held = self.rows.iter_mut().filter(|held| held.holder == turn.session);
            held.filter(|held| held.ended.is_none())
                .for_each(|held| held.ended = Some(index));
        } else if finished
            && turn.role == TurnRole::Step
            && found_row(&turn.result)
            && let Some(RowTaken { row, .. }) = self.footprints.row_taken(filled_by(turn))
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
        step: turn.step_index,
        sql: &turn.filled,
        values: &turn.values,
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

fn piece(
    scenario: &Scenario,
    footprints: &Footprints,
    turn: &Turn,
    transaction: &mut Transaction,
    finished: bool,
) -> Piece {
    let session = &scenario.sessions[turn.session];
    let snapshots = footprints.snapshots(turn.session);
    let kind = session.steps[turn.step_index].statement.kind;
    let ends_transaction = ends_transaction(session, turn);
    if turn.begin.is_some() || (!transaction.open && !ends_transaction) {
        *transaction = Transaction {
            open: true,
            ..Transaction::default()
        };
    }
    let commits = commits(session, turn);
    let mut statement = whatever_it_finds(scenario, footprints, turn);
    if finished && turn.waits.is_empty() && found_nothing(&turn.result) {
        statement = footprints.found_nothing(statement, filled_by(turn));
    }
    let takes_snapshot = !ends_transaction
        && !transaction.has_snapshot
        && !matches!(
            kind,
            StatementKind::Setting | StatementKind::Savepoint | StatementKind::Release | StatementKind::Begin
        );
    let whole = takes_snapshot.then(|| rest_of_transaction(session, footprints, turn));
    let held = transaction.held.clone();
    transaction.held.add(&statement);
    let tracked = (snapshots.serializable && !statement.is_empty() && serializable_threes(scenario, footprints))
        .then(|| transaction.held.clone());
    // an error takes back the transaction, or what came after its last savepoint
    let failed = finished && matches!(turn.result, StepResult::Error(_));
    let to_savepoint = turn.role == TurnRole::Step && kind == StatementKind::RollbackTo;
    let end = (finished && (ends_transaction || failed || to_savepoint)).then(|| End {
        committed: commits && !failed,
        held: transaction.held.clone(),
    });
    if finished {
        transaction.has_snapshot |= takes_snapshot && takes_snapshot_for_sure(session, turn);
        if failed {
            // what it held stays known for the ROLLBACK, which may be a turn of its own
            (transaction.open, transaction.has_snapshot) = (false, false);
        }
        if ends_transaction {
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

fn ends_transaction(session: &Session, turn: &Turn) -> bool {
    match turn.role {
        TurnRole::Autocommit | TurnRole::Rollback | TurnRole::Disconnect => true,
        TurnRole::Step => {
            matches!(
                session.steps[turn.step_index].statement.kind,
                StatementKind::Commit { .. } | StatementKind::Rollback { .. } | StatementKind::PrepareTransaction
            )
        }
    }
}

/// Whether a turn commits, if nothing fails.
fn commits(session: &Session, turn: &Turn) -> bool {
    let kind = session.steps[turn.step_index].statement.kind;
    ends_transaction(session, turn)
        && !matches!(turn.role, TurnRole::Rollback | TurnRole::Disconnect)
        && !matches!(kind, StatementKind::Rollback { .. })
}

/// What a turn's statement touches, whatever it finds.
fn whatever_it_finds(scenario: &Scenario, footprints: &Footprints, turn: &Turn) -> Footprint {
    let session = &scenario.sessions[turn.session];
    let kind = session.steps[turn.step_index].statement.kind;
    let mut statement = match (turn.role, kind) {
        // reads at SERIALIZABLE are tracked by pages and tables
        (TurnRole::Step, StatementKind::Plain) if !footprints.snapshots(turn.session).serializable => {
            footprints.filled(filled_by(turn))
        }
        (TurnRole::Step, StatementKind::Plain | StatementKind::OutsideBlock) => {
            footprints.step(turn.session, turn.step_index)
        }
        // a BEGIN that goes ahead of it takes the time
        (TurnRole::Step, _) => Footprint {
            timed: footprints.step(turn.session, turn.step_index).timed,
            ..Footprint::default()
        },
        _ => Footprint::default(),
    };
    if turn.role == TurnRole::Disconnect {
        statement.write(Object::AdvisoryLocks, WriteKind::Change);
    }
    // what a prepared transaction holds is anybody's to end
    statement.unknown |= kind == StatementKind::PrepareTransaction && turn.role == TurnRole::Step;
    statement.unknown |= commits(session, turn) && footprints.deferred;
    statement
}

/// Whether three serializable transactions or more can be under way in a run: one that is doomed, one that dooms it,
/// and one that has committed before.
fn serializable_threes(scenario: &Scenario, footprints: &Footprints) -> bool {
    let sessions = scenario.sessions.iter().enumerate();
    let serializable = sessions.filter(|(index, _)| footprints.snapshots(*index).serializable);
    let sessions: Vec<&Session> = serializable.map(|(_, session)| session).collect();
    sessions.len() > 2 || (sessions.len() == 2 && !sessions.iter().all(|session| is_one_transaction(session)))
}

fn is_one_transaction(session: &Session) -> bool {
    let ends = |kind| matches!(kind, StatementKind::Commit { .. } | StatementKind::Rollback { .. });
    let once = match session.steps.as_ref() {
        [_] => true,
        [first, between @ .., last] => {
            first.statement.kind == StatementKind::Begin
                && last.when.is_none()
                && matches!(
                    last.statement.kind,
                    StatementKind::Commit { chain: false } | StatementKind::Rollback { chain: false }
                )
                && !between.iter().any(|step| ends(step.statement.kind))
        }
        [] => true,
    };
    once && session.retry.is_none()
}

/// Queries take a snapshot before they run; of utility statements some do.
fn takes_snapshot_for_sure(session: &Session, turn: &Turn) -> bool {
    let sql = &session.steps[turn.step_index].sql.text;
    tokens(sql).find(|token| !token.is_blank()).is_some_and(|token| {
        token.is_one_of(&[
            "select", "insert", "update", "delete", "merge", "with", "values", "table",
        ])
    })
}

/// All that the session's steps may touch from this turn on until a statement that surely ends the transaction.
fn rest_of_transaction(session: &Session, footprints: &Footprints, turn: &Turn) -> Footprint {
    let mut whole = Footprint::default();
    for (index, step) in session.steps.iter().enumerate().skip(turn.step_index) {
        match step.statement.kind {
            StatementKind::Plain | StatementKind::OutsideBlock => whole.add(&footprints.step(turn.session, index)),
            StatementKind::Commit { .. } | StatementKind::Rollback { .. } if step.when.is_none() => break,
            _ => {}
        }
    }
    whole
}
