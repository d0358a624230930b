//! The turns of a run, as far as conflicts go.

use super::footprint::{Footprint, Footprints};
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
    const UNKNOWN: Snapshots = Snapshots {
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
    fn of_session(session: &Session) -> Snapshots {
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

/// The transaction that a session is in.
#[derive(Debug, Clone, Default)]
struct Transaction {
    open: bool,
    has_snapshot: bool,
    held: Footprint,
}

/// The events of a run's turns, one a turn.
pub fn events(scenario: &Scenario, footprints: &Footprints, turns: &[Turn]) -> Vec<Event> {
    let mut transactions = vec![Transaction::default(); scenario.sessions.len()];
    let mut events = Vec::with_capacity(turns.len());
    for (index, turn) in turns.iter().enumerate() {
        let mut event = Event {
            session: turn.session,
            participants: vec![turn.session],
            pieces: Vec::new(),
        };
        let mut add = |turn: &Turn, finished: bool| {
            let transaction = &mut transactions[turn.session];
            event
                .pieces
                .push(piece(scenario, footprints, turn, transaction, finished));
        };
        add(turn, turn.finished_in == index);
        for released in turns[..index].iter().filter(|earlier| earlier.finished_in == index) {
            add(released, true);
            event.participants.push(released.session);
        }
        // a session that moved from one wait to another moved too
        for moved in turns[..index].iter().filter(|earlier| earlier.finished_in > index) {
            if moved.waits.iter().any(|wait| wait.until == index) && !event.participants.contains(&moved.session) {
                event.participants.push(moved.session);
                event.pieces.push(piece(
                    scenario,
                    footprints,
                    moved,
                    &mut transactions[moved.session],
                    false,
                ));
            }
        }
        events.push(event);
    }
    events
}

fn piece(
    scenario: &Scenario,
    footprints: &Footprints,
    turn: &Turn,
    transaction: &mut Transaction,
    finished: bool,
) -> Piece {
    let session = &scenario.sessions[turn.session];
    let snapshots = Snapshots::of_session(session);
    let kind = session.steps[turn.step_index].statement.kind;
    let ends_transaction = match turn.role {
        TurnRole::Autocommit | TurnRole::Rollback => true,
        TurnRole::Step => {
            matches!(
                kind,
                StatementKind::Commit { .. } | StatementKind::Rollback { .. } | StatementKind::PrepareTransaction
            )
        }
    };
    if turn.begin.is_some() || (!transaction.open && !ends_transaction) {
        *transaction = Transaction {
            open: true,
            ..Transaction::default()
        };
    }
    let mut statement = match (turn.role, kind) {
        (TurnRole::Step, StatementKind::Plain | StatementKind::OutsideBlock) => {
            footprints.step(turn.session, turn.step_index)
        }
        _ => Footprint::default(),
    };
    // what a prepared transaction holds is anybody's to end
    statement.unknown |= kind == StatementKind::PrepareTransaction && turn.role == TurnRole::Step;
    let commits =
        ends_transaction && turn.role != TurnRole::Rollback && !matches!(kind, StatementKind::Rollback { .. });
    statement.unknown |= commits && footprints.deferred;
    let takes_snapshot = !ends_transaction
        && !transaction.has_snapshot
        && !matches!(
            kind,
            StatementKind::Setting | StatementKind::Savepoint | StatementKind::Release
        );
    let whole = takes_snapshot.then(|| rest_of_transaction(session, footprints, turn));
    transaction.held.add(&statement);
    let tracked = (snapshots.serializable && !statement.is_empty() && serializable_threes(scenario))
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
        tracked,
        transaction: whole,
        end,
    }
}

/// Whether three serializable transactions or more can be under way in a run: one that is doomed, one that dooms it, and
/// one that has committed before.
fn serializable_threes(scenario: &Scenario) -> bool {
    let serializable = |session: &&Session| Snapshots::of_session(session).serializable;
    let sessions: Vec<&Session> = scenario.sessions.iter().filter(serializable).collect();
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
