//! Which session's transaction comes next in a serial order.

use crate::scenario::Symmetry;
use crate::verdict::serializability::{CommittedPart, SessionPart};

/// Where a serial order stands, between two transactions.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// What each session has done.
    pub sessions: &'a [SessionPart],
    /// Sessions that have a next transaction.
    pub ready: &'a [usize],
    /// By session: it has sent something.
    pub begun: &'a [bool],
}

/// Says which serial orders are of interest.
pub trait Guide: Send + Sync {
    /// The sessions whose next transaction may come next, the most promising first. None where nothing more is wanted.
    fn choices(&self, at: Standing<'_>) -> Vec<usize>;

    /// Whether this is what was looked for.
    fn is_wanted(&self, at: &CommittedPart) -> bool;

    /// The first session that ended otherwise than in what was looked for.
    fn ends_otherwise(&self, at: &CommittedPart) -> Option<usize>;

    /// How many transactions an order may have.
    fn longest(&self) -> usize;
}

/// Orders in which each session does what it did in a run.
pub struct Matching<'a> {
    part: &'a CommittedPart,
    symmetry: &'a Symmetry,
}

impl<'a> Matching<'a> {
    pub fn new(part: &'a CommittedPart, symmetry: &'a Symmetry) -> Matching<'a> {
        Matching { part, symmetry }
    }

    /// Whether two interchangeable sessions did the same.
    fn stands_in(&self, one: usize, other: usize) -> bool {
        self.symmetry.are_alike(one, other) && self.part.sessions[one] == self.part.sessions[other]
    }
}

impl Guide for Matching<'_> {
    fn choices(&self, at: Standing<'_>) -> Vec<usize> {
        let wanted = &self.part.sessions;
        if at.sessions.iter().zip(wanted).any(|(is, wanted)| !is.begins(wanted)) {
            return Vec::new();
        }
        let next = |session: usize| wanted[session].committed.get(at.sessions[session].committed.len());
        let has_stand_in = |session: usize| {
            let mut others = at.ready.iter().filter(|&&other| other < session && !at.begun[other]);
            !at.begun[session] && others.any(|&other| self.stands_in(other, session))
        };
        let open = at.ready.iter().copied().filter(|&session| !has_stand_in(session));
        let mut choices: Vec<(usize, usize)> = open
            .filter_map(|session| Some((next(session)?.committed_in, session)))
            .collect();
        choices.sort_unstable();
        choices.into_iter().map(|(_, session)| session).collect()
    }

    fn is_wanted(&self, at: &CommittedPart) -> bool {
        let same = |(is, wanted): (&SessionPart, &SessionPart)| is.committed == wanted.committed;
        at.sessions.iter().zip(&self.part.sessions).all(same) && at.tables == self.part.tables
    }

    fn ends_otherwise(&self, at: &CommittedPart) -> Option<usize> {
        let mut both = self.part.sessions.iter().zip(&at.sessions);
        both.position(|(wanted, is)| wanted.ends_otherwise(is))
    }

    fn longest(&self) -> usize {
        longest(self.part)
    }
}

/// The order in which one session after the other runs to its end, or as far as it came in a run.
pub struct Whole<'a> {
    part: &'a CommittedPart,
    order: Vec<usize>,
}

impl<'a> Whole<'a> {
    pub fn new(part: &'a CommittedPart, order: Vec<usize>) -> Whole<'a> {
        Whole { part, order }
    }

    /// Orders of the sessions that have committed something, each of them different, at most so many.
    pub fn orders(part: &CommittedPart, symmetry: &Symmetry, most: usize) -> Vec<Vec<usize>> {
        let sessions = (0..part.sessions.len()).filter(|&session| !part.sessions[session].committed.is_empty());
        let mut orders = vec![Vec::new()];
        for _ in 0..sessions.clone().count() {
            let mut longer = Vec::new();
            for order in &orders {
                let left: Vec<usize> = sessions.clone().filter(|session| !order.contains(session)).collect();
                let alike = |one: usize, other: usize| {
                    symmetry.are_alike(one, other) && part.sessions[one] == part.sessions[other]
                };
                let first = left
                    .iter()
                    .filter(|&&session| !left.iter().any(|&other| other < session && alike(other, session)));
                longer.extend(first.map(|&session| [order.as_slice(), &[session]].concat()));
            }
            longer.truncate(most);
            orders = longer;
        }
        orders
    }
}

impl Guide for Whole<'_> {
    fn choices(&self, at: Standing<'_>) -> Vec<usize> {
        let has_more = |session: usize| {
            let wanted = &self.part.sessions[session];
            !wanted.aborted || at.sessions[session].committed.len() < wanted.committed.len()
        };
        let is_next = |session: &&usize| at.ready.contains(session) && has_more(**session);
        self.order.iter().find(is_next).into_iter().copied().collect()
    }

    fn is_wanted(&self, _at: &CommittedPart) -> bool {
        false
    }

    fn ends_otherwise(&self, _at: &CommittedPart) -> Option<usize> {
        None
    }

    fn longest(&self) -> usize {
        longest(self.part)
    }
}

/// A program that tries again and again must not do so for ever.
fn longest(part: &CommittedPart) -> usize {
    let committed: usize = part.sessions.iter().map(|session| session.committed.len()).sum();
    2 * committed + 4 * part.sessions.len() + 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::testing::{done, turn};
    use crate::history::{Origin, TxEnd};

    /// A session whose transactions were these statements.
    fn session(statements: &[&str]) -> SessionPart {
        let turns: Vec<_> = statements
            .iter()
            .map(|sql| {
                let mut turn = turn(0, (0, sql), sql, done("SELECT 1"));
                turn.origin = Origin::Step(0);
                turn.tx.end = Some(TxEnd::Committed);
                turn
            })
            .collect();
        SessionPart::of(turns.iter())
    }

    fn part(sessions: &[&[&str]]) -> CommittedPart {
        CommittedPart {
            sessions: sessions.iter().map(|statements| session(statements)).collect(),
            tables: Vec::new(),
        }
    }

    fn choices(guide: &dyn Guide, sessions: &[&[&str]]) -> Vec<usize> {
        let standing = part(sessions);
        let begun: Vec<bool> = sessions.iter().map(|statements| !statements.is_empty()).collect();
        let ready: Vec<usize> = (0..sessions.len()).collect();
        guide.choices(Standing {
            sessions: &standing.sessions,
            ready: &ready,
            begun: &begun,
        })
    }

    #[test]
    fn a_session_that_did_something_else_ends_the_search() {
        let wanted = part(&[&["a", "b"], &["c"], &["c"]]);
        let alike = Symmetry::of_groups(vec![0, 1, 1]);
        let guide = Matching::new(&wanted, &alike);
        assert_eq!(choices(&guide, &[&[], &[], &[]]), [0, 1]);
        assert_eq!(choices(&guide, &[&["a"], &["c"], &[]]), [0, 2]);
        assert_eq!(choices(&guide, &[&["a", "b"], &["c"], &[]]), [2]);
        assert_eq!(choices(&guide, &[&["x"], &[], &[]]), [0; 0]);
        let apart = Symmetry::of_groups(vec![0, 1, 2]);
        assert_eq!(choices(&Matching::new(&wanted, &apart), &[&[], &[], &[]]), [0, 1, 2]);
    }

    #[test]
    fn whole_sessions_are_put_in_every_order_that_differs() {
        let wanted = part(&[&["a"], &["c"], &["c"], &[]]);
        let alike = Symmetry::of_groups(vec![0, 1, 1, 3]);
        let orders = Whole::orders(&wanted, &alike, 6);
        assert_eq!(orders, [[0, 1, 2], [1, 0, 2], [1, 2, 0]]);
        assert_eq!(Whole::orders(&wanted, &alike, 2).len(), 2);
    }
}
