//! Replays a given order.

use std::collections::VecDeque;

use super::{Candidate, Run, Scheduler};
use crate::history::{Move, MoveKind, SoFar};

/// Schedules sessions in a given order. An entry whose session is blocked is skipped until that session is released;
/// when the order is used up, or names no enabled session, the first enabled session moves.
///
/// A timeout expires only if an entry of a run says so, or no other session is enabled.
pub struct Ordered {
    order: VecDeque<Entry>,
    /// The order has no entries for resumptions.
    resumes_at_once: bool,
}

impl Ordered {
    /// One entry for each move, including resumptions.
    pub fn new(order: impl IntoIterator<Item = usize>) -> Ordered {
        Ordered {
            order: order.into_iter().map(|session| (session, false)).collect(),
            resumes_at_once: false,
        }
    }

    /// The order of a run.
    pub fn of(run: &Run) -> Ordered {
        let entry = |one: &Move| (one.session, one.kind == MoveKind::Timeout);
        Ordered {
            order: run.history.moves.iter().map(entry).collect(),
            resumes_at_once: false,
        }
    }

    /// One entry for each step. Released sessions resume at once, in the order in which they began to wait.
    pub fn steps(order: impl IntoIterator<Item = usize>) -> Ordered {
        Ordered {
            resumes_at_once: true,
            ..Ordered::new(order)
        }
    }
}

impl Scheduler for Ordered {
    fn choose(&mut self, so_far: SoFar<'_>, ready: &[Candidate<'_>]) -> usize {
        let released = ready.iter().filter(|candidate| candidate.kind == MoveKind::Resume);
        let at_once = released.filter(|_| self.resumes_at_once);
        if let Some(session) = so_far.first_to_wait(at_once.map(|candidate| candidate.session)) {
            return session;
        }
        take_first(&mut self.order, ready)
    }
}

/// A session, and whether its timeout expires.
pub(crate) type Entry = (usize, bool);

/// Removes the first entry whose session is enabled from an order; if there is none, returns the first enabled session.
pub(crate) fn take_first(order: &mut VecDeque<Entry>, ready: &[Candidate<'_>]) -> usize {
    let entry = |candidate: &Candidate<'_>| (candidate.session, candidate.kind == MoveKind::Timeout);
    let place = order
        .iter()
        .position(|wanted| ready.iter().any(|candidate| entry(candidate) == *wanted));
    match place.and_then(|place| order.remove(place)) {
        Some((session, _)) => session,
        None => first_without_timeout(ready).session,
    }
}

/// The first enabled session that does something other than time out, if there is one.
pub(crate) fn first_without_timeout<'a, 'b>(ready: &'b [Candidate<'a>]) -> &'b Candidate<'a> {
    let mut others = ready.iter().filter(|candidate| candidate.kind != MoveKind::Timeout);
    others.next().unwrap_or(&ready[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Pending;

    /// Which session an order chooses, given enabled sessions and what each can do.
    fn choose(order: &mut Ordered, moves: &[Move], ready: &[(usize, MoveKind)]) -> usize {
        let step = Pending::sample("update");
        let ready: Vec<_> = ready
            .iter()
            .map(|&(session, kind)| Candidate {
                session,
                kind,
                step: &step,
                answer: None,
            })
            .collect();
        order.choose(SoFar { turns: &[], moves }, &ready)
    }

    use MoveKind::{Resume, Step};

    #[test]
    fn a_blocked_sessions_entry_waits_for_its_release() {
        let mut order = Ordered::new([1, 0, 1, 0]);
        assert_eq!(choose(&mut order, &[], &[(0, Step)]), 0);
        assert_eq!(choose(&mut order, &[], &[(0, Step), (1, Resume)]), 1);
        assert_eq!(choose(&mut order, &[], &[(0, Step), (1, Step)]), 1);
        assert_eq!(choose(&mut order, &[], &[(0, Step)]), 0);
        assert_eq!(choose(&mut order, &[], &[(2, Step)]), 2);
    }

    #[test]
    fn without_entries_for_resumptions_who_began_to_wait_first_resumes_first() {
        let moves = [2, 1, 0].map(|session| Move::new(session, Step, 0));
        let mut order = Ordered::steps([0, 0, 1]);
        assert_eq!(choose(&mut order, &moves, &[(0, Step), (1, Resume), (2, Resume)]), 2);
        assert_eq!(choose(&mut order, &moves, &[(0, Step), (1, Resume)]), 1);
        assert_eq!(choose(&mut order, &moves, &[(0, Step), (1, Step)]), 0);
    }
}
