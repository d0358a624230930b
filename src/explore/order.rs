//! Replays a given order.

use std::collections::VecDeque;

use crate::run::history::Turn;
use crate::run::{Candidate, Scheduler};

/// Lets sessions go on in a given order, one entry a turn. An entry whose session is blocked is passed over until that
/// session is released; when the order is used up, or names nobody who can go on, the first session that can goes on.
pub struct Ordered(VecDeque<usize>);

impl Ordered {
    pub fn new(order: impl IntoIterator<Item = usize>) -> Ordered {
        Ordered(order.into_iter().collect())
    }
}

impl Scheduler for Ordered {
    fn choose(&mut self, _turns: &[Turn], ready: &[Candidate<'_>]) -> usize {
        match self
            .0
            .iter()
            .position(|session| ready.iter().any(|candidate| candidate.session == *session))
            .and_then(|place| self.0.remove(place))
        {
            Some(session) => session,
            None => ready[0].session,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::StepInfo;
    use crate::run::history::TurnRole;

    #[test]
    fn a_blocked_sessions_entry_waits_for_its_release() {
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
        let mut order = Ordered::new([1, 0, 1, 0]);
        let mut choose = |ready: &[usize]| {
            let ready: Vec<_> = ready
                .iter()
                .map(|&session| Candidate {
                    session,
                    step: &step,
                    answer: None,
                })
                .collect();
            order.choose(&[], &ready)
        };
        assert_eq!(choose(&[0]), 0);
        assert_eq!(choose(&[0, 1]), 1);
        assert_eq!(choose(&[0, 1]), 1);
        assert_eq!(choose(&[0]), 0);
        assert_eq!(choose(&[2]), 2);
    }
}
