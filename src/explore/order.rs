//! Replays a given order.

use std::collections::VecDeque;

use crate::run::{Candidate, MoveKind, Scheduler, SoFar};

/// Schedules sessions in a given order. An entry whose session is blocked is passed over until that session is
/// released; when the order is used up, or names nobody who is enabled, the first session that is moves.
pub struct Ordered {
    order: VecDeque<usize>,
    /// The order has no entries for resumptions.
    resumes_at_once: bool,
}

impl Ordered {
    /// One entry a move, resumptions among them.
    pub fn new(order: impl IntoIterator<Item = usize>) -> Ordered {
        Ordered {
            order: order.into_iter().collect(),
            resumes_at_once: false,
        }
    }

    /// One entry a step. Released sessions resume at once, in the order in which they began to wait.
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

/// Takes the first entry whose session is enabled out of an order; where there is none, it is the first session that is.
pub(super) fn take_first(order: &mut VecDeque<usize>, ready: &[Candidate<'_>]) -> usize {
    match order
        .iter()
        .position(|session| ready.iter().any(|candidate| candidate.session == *session))
        .and_then(|place| order.remove(place))
    {
        Some(session) => session,
        None => ready[0].session,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::history::TurnRole;
    use crate::run::{Move, StepInfo};

    /// Which session an order chooses, given enabled sessions and what each can do.
    fn choose(order: &mut Ordered, moves: &[Move], ready: &[(usize, MoveKind)]) -> usize {
        let step = StepInfo {
            name: "update".to_owned(),
            index: 0,
            role: TurnRole::Step,
            sql: String::new(),
            filled: String::new(),
            values: Vec::new(),
            begin: None,
            attempt: 0,
        };
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
