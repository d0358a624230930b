//! Two moves that race, and where the later one is to be tried.

use super::happens_before::HappensBefore;
use super::source_sets::Trace;
use crate::conflict::Waited;

pub struct Race<'a, T> {
    pub trace: &'a T,
    pub order: &'a HappensBefore,
    pub earlier: usize,
    pub later: usize,
}

impl<T: Trace> Race<'_, T> {
    /// The moves that the later one is to be tried ahead of: the earlier one, or one before it.
    pub fn turned_at(&self) -> Vec<usize> {
        if !self.can_be_turned() {
            return Vec::new();
        }
        let waited = self.waited();
        // it could not come before the end of the transaction that held its row, but before that took the row
        let ahead_of_holder = waited
            .map(|waited| waited.taken)
            .filter(|&taken| self.is_free_since(taken));
        let surely_waits = waited.is_some_and(|waited| waited.surely);
        let ahead_of_earlier = (!surely_waits && !self.would_only_wait()).then_some(self.earlier);
        ahead_of_holder.into_iter().chain(ahead_of_earlier).collect()
    }

    /// A session cannot be ahead of its own earlier move, nor be resumed ahead of the move that released it; but its timeout
    /// can expire ahead of that. (The move that releases a session can well be ahead of the one in which that began to
    /// wait.)
    fn can_be_turned(&self) -> bool {
        let (session, earlier) = (self.session(), &self.trace.events()[self.earlier]);
        let is_enabled = earlier.session != session && self.trace.choices()[self.earlier].ready.contains(&session);
        is_enabled || !earlier.participants.contains(&session)
    }

    /// The wait that the later move could have begun with, where the earlier one ended the transaction that held its row.
    fn waited(&self) -> Option<Waited> {
        let mut ends = self.trace.waited_for(self.later).iter();
        ends.find(|(end, _)| *end == self.earlier).map(|(_, waited)| *waited)
    }

    /// Whether the later move's session would only wait if it were scheduled at the earlier one: another holds the row
    /// then, and does not end before it.
    fn would_only_wait(&self) -> bool {
        let was_left_out = self.trace.choices()[self.earlier].only_wait.contains(&self.session());
        let mut ends = self.trace.waited_for(self.later).iter().map(|&(end, _)| end);
        was_left_out
            && self.own_moves_since(self.earlier).next().is_none()
            && ends.any(|end| end == self.earlier || self.order.is_before(self.earlier, end))
    }

    /// Whether nothing that the later move's session did in between happens after a move, so that it can be ahead of it.
    fn is_free_since(&self, index: usize) -> bool {
        !self.own_moves_since(index).any(|own| self.order.is_before(index, own))
    }

    /// The moves of the later one's session between a move and the later one.
    fn own_moves_since(&self, index: usize) -> impl Iterator<Item = usize> {
        let session = self.session();
        (index + 1..self.later).filter(move |&between| self.trace.events()[between].session == session)
    }

    fn session(&self) -> usize {
        self.trace.events()[self.later].session
    }
}
