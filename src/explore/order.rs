//! Replays a given order.

use std::collections::VecDeque;

use crate::run::Scheduler;
use crate::run::history::Turn;

/// Lets sessions go on in a given order, one entry a turn. An entry whose session is blocked is passed over until that
/// session is released; when the order is used up, or names nobody who can go on, the first session that can goes on.
pub struct Ordered(VecDeque<usize>);

impl Ordered {
    pub fn new(order: impl IntoIterator<Item = usize>) -> Ordered {
        Ordered(order.into_iter().collect())
    }
}

impl Scheduler for Ordered {
    fn choose(&mut self, _turns: &[Turn], ready: &[usize]) -> usize {
        match self
            .0
            .iter()
            .position(|session| ready.contains(session))
            .and_then(|place| self.0.remove(place))
        {
            Some(session) => session,
            None => ready[0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_sessions_entry_waits_for_its_release() {
        let mut order = Ordered::new([1, 0, 1, 0]);
        assert_eq!(order.choose(&[], &[0]), 0);
        assert_eq!(order.choose(&[], &[0, 1]), 1);
        assert_eq!(order.choose(&[], &[0, 1]), 1);
        assert_eq!(order.choose(&[], &[0]), 0);
        assert_eq!(order.choose(&[], &[2]), 2);
    }
}
