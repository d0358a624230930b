//! The conflict relation.

use super::event::{End, Event, Piece};
use super::footprint::{Footprint, Object};

/// Whether the order of two turns can matter: they move the same session, or something that one does conflicts with
/// something that the other does. Symmetric.
pub fn conflict(one: &Event, other: &Event) -> bool {
    one.participants
        .iter()
        .any(|session| other.participants.contains(session))
        || one
            .pieces
            .iter()
            .any(|a| other.pieces.iter().any(|b| pieces_conflict(a, b)))
}

fn pieces_conflict(a: &Piece, b: &Piece) -> bool {
    statements_conflict(a, b)
        || b.end.as_ref().is_some_and(|end| statement_and_end_conflict(a, b, end))
        || a.end.as_ref().is_some_and(|end| statement_and_end_conflict(b, a, end))
        || ends_conflict(a, b)
}

fn statements_conflict(a: &Piece, b: &Piece) -> bool {
    let (one, other) = (&a.statement, &b.statement);
    if (one.unknown && may_meet_unknown(b)) || (other.unknown && may_meet_unknown(a)) {
        return true;
    }
    let serializable = a.snapshots.serializable && b.snapshots.serializable;
    locks_conflict(one, other)
        || (one.numbered && other.numbered)
        || (one.timed && other.timed)
        || (sees_growth(one, other) || sees_growth(other, one))
        // which of two serializable transactions is aborted depends on the order of a read and a write
        || (serializable && (reads_what_is_written(one, other) || reads_what_is_written(other, one)))
        || (serializable && (may_doom(one, b) || may_doom(other, a)))
        || may_close_cycle(one, b)
        || may_close_cycle(other, a)
}

/// If two may wait for each other, the order in which they are sent decides which closes a deadlock's cycle and is its
/// victim. In a longer cycle each may wait for what the next holds.
fn may_close_cycle(waits: &Footprint, holder: &Piece) -> bool {
    holder.statement.claims().next().is_some() && locks_conflict(waits, &holder.held)
}

/// What is not known may be anything, including the end of a prepared transaction or a wait for a safe snapshot.
fn may_meet_unknown(piece: &Piece) -> bool {
    !piece.statement.is_empty()
        || piece.statement.timed
        || piece
            .transaction
            .as_ref()
            .is_some_and(|whole| piece.snapshots.serializable || (piece.snapshots.per_transaction && !whole.is_empty()))
}

fn reads_what_is_written(reader: &Footprint, writer: &Footprint) -> bool {
    writer.writes.keys().any(|written| {
        reader
            .reads
            .iter()
            .chain(reader.locks.keys())
            .chain(&reader.checks)
            .any(|object| object.overlaps(written))
    })
}

/// A statement that reads what a serializable transaction has written dooms that transaction, if it in turn has read
/// what a third has since changed and committed. The doomed transaction fails at its next statement, whatever that
/// touches.
fn may_doom(statement: &Footprint, piece: &Piece) -> bool {
    piece.tracked.as_ref().is_some_and(|tracked| {
        (tracked.unknown && !statement.is_empty())
            || reads_what_is_written(statement, tracked)
            || reads_what_is_written(tracked, statement)
    })
}

/// Uncommitted rows make a table larger, and the server may then choose another plan for reading it: a query that
/// depends on where rows lie depends on that.
fn sees_growth(reader: &Footprint, writer: &Footprint) -> bool {
    !reader.ordered.is_empty()
        && writer.writes.keys().any(|written| {
            let read = reader.reads.iter().chain(reader.locks.keys()).chain(&reader.ordered);
            read.into_iter().any(|object| object.overlaps(written))
        })
}

/// Whether two statements may wait for each other, or for the same thing.
fn locks_conflict(one: &Footprint, other: &Footprint) -> bool {
    one.claims().any(|(object, strength)| {
        other
            .claims()
            .any(|(claimed, other)| strength.conflicts_with(other) && object.overlaps(claimed))
    })
}

/// A statement of one session, and another session's commit or rollback.
fn statement_and_end_conflict(piece: &Piece, ending: &Piece, end: &End) -> bool {
    let statement = &piece.statement;
    if statement.is_empty() && piece.transaction.is_none() {
        return false;
    }
    if piece.snapshots.serializable && ending.snapshots.serializable {
        return true;
    }
    if (statement.unknown && !end.held.is_empty()) || (end.held.unknown && !statement.is_empty()) {
        return true;
    }
    let depends = |on: &Footprint| {
        end.held
            .writes
            .iter()
            .any(|(object, &kind)| on.depends_on(object, kind))
    };
    if sees_growth(statement, &end.held) {
        return true;
    }
    if end.committed {
        if piece.snapshots.per_statement && depends(statement) {
            return true;
        }
        let whole = piece.transaction.as_ref().filter(|_| piece.snapshots.per_transaction);
        if let Some(whole) = whole
            && ((whole.unknown && !end.held.is_empty()) || (end.held.unknown && !whole.is_empty()) || depends(whole))
        {
            return true;
        }
    }
    locks_conflict(statement, &end.held)
}

/// Commits and rollbacks of two sessions: their order matters where reads are tracked, and where they send
/// notifications.
fn ends_conflict(a: &Piece, b: &Piece) -> bool {
    let (Some(one), Some(other)) = (&a.end, &b.end) else {
        return false;
    };
    if a.snapshots.serializable && b.snapshots.serializable {
        return true;
    }
    let notifies = |end: &End| end.held.writes.contains_key(&Object::Notifications);
    (a.statement.unknown && !other.held.is_empty())
        || (b.statement.unknown && !one.held.is_empty())
        || (notifies(one) && notifies(other))
}

#[cfg(test)]
mod tests {
    use super::super::footprint::WriteKind;
    use super::super::snapshots::Snapshots;
    use super::*;

    const READ: Object = Object::Relation(1);
    const WRITTEN: Object = Object::Relation(2);

    fn reads(object: Object) -> Footprint {
        let mut footprint = Footprint::default();
        footprint.reads.insert(object);
        footprint
    }

    fn serializable(session: usize, statement: Footprint, tracked: Option<Footprint>) -> Event {
        Event {
            session,
            participants: vec![session],
            pieces: vec![Piece {
                snapshots: Snapshots {
                    per_statement: false,
                    per_transaction: true,
                    serializable: true,
                },
                statement,
                held: Footprint::default(),
                tracked,
                transaction: None,
                end: None,
            }],
        }
    }

    #[test]
    fn a_statement_conflicts_with_any_of_a_transaction_that_it_may_doom() {
        let mut held = reads(READ);
        held.write(WRITTEN, WriteKind::Change);
        let pivot = serializable(0, reads(READ), Some(held));
        assert!(conflict(&pivot, &serializable(1, reads(WRITTEN), None)));
        assert!(!conflict(&pivot, &serializable(1, reads(Object::Relation(3)), None)));
        let alone = serializable(0, reads(READ), None);
        assert!(!conflict(&alone, &serializable(1, reads(WRITTEN), None)));
    }

    #[test]
    fn what_is_not_known_conflicts_with_a_statement_that_takes_the_transactions_snapshot() {
        let mut snapshot = serializable(0, Footprint::default(), None);
        let unknown = serializable(1, Footprint::unknown(), None);
        assert!(!conflict(&snapshot, &unknown));
        snapshot.pieces[0].transaction = Some(reads(READ));
        assert!(conflict(&snapshot, &unknown));
    }

    /// A statement at READ COMMITTED.
    fn committed_reader(session: usize, statement: Footprint) -> Event {
        let mut event = serializable(session, statement, None);
        event.pieces[0].snapshots = Snapshots {
            per_statement: true,
            per_transaction: false,
            serializable: false,
        };
        event
    }

    #[test]
    fn the_check_of_a_foreign_key_and_an_update_of_no_key_do_not_meet() {
        let mut check = Footprint::default();
        check.checks.insert(READ);
        let writes = |kind| {
            let mut footprint = Footprint::default();
            footprint.write(READ, kind);
            footprint
        };
        let commit_of = |kind| {
            let mut event = committed_reader(1, Footprint::default());
            event.pieces[0].end = Some(End {
                committed: true,
                held: writes(kind),
            });
            event
        };
        let checks = committed_reader(0, check);
        for (kind, meets) in [(WriteKind::UpdateNoKey, false), (WriteKind::Change, true)] {
            assert_eq!(conflict(&checks, &committed_reader(1, writes(kind))), meets, "{kind:?}");
            assert_eq!(conflict(&checks, &commit_of(kind)), meets, "{kind:?} committed");
        }
        assert!(conflict(
            &committed_reader(0, reads(READ)),
            &commit_of(WriteKind::UpdateNoKey)
        ));
    }
}
