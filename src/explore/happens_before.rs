//! The happens-before order of a run's moves, and what follows from it.

use std::collections::HashMap;

use fixedbitset::FixedBitSet;
use num_bigint::BigUint;

use crate::conflict::{Event, conflict};

/// The schedules that a run stands for are not counted beyond this number of states.
const MOST_STATES: usize = 200_000;

/// The least partial order that has every two conflicting moves in the order in which they were made. Runs with the
/// same events in the same partial order lead to the same outcome (Mazurkiewicz's traces).
pub struct HappensBefore {
    /// For each move, those that happen before it.
    before: Vec<FixedBitSet>,
    /// For each move, the earlier ones that race with it.
    races: Vec<FixedBitSet>,
}

impl HappensBefore {
    pub fn new(events: &[Event]) -> HappensBefore {
        let mut before: Vec<FixedBitSet> = Vec::with_capacity(events.len());
        let mut races = Vec::with_capacity(events.len());
        for (later, event) in events.iter().enumerate() {
            let mut own_before = FixedBitSet::with_capacity(events.len());
            let mut own_races = FixedBitSet::with_capacity(events.len());
            // from the last to the first: a move that happens before one of them is not adjacent to `later`
            for earlier in (0..later).rev() {
                if !own_before.contains(earlier) && conflict(&events[earlier], event) {
                    own_races.insert(earlier);
                    own_before.insert(earlier);
                    own_before.union_with(&before[earlier]);
                }
            }
            before.push(own_before);
            races.push(own_races);
        }
        HappensBefore { before, races }
    }

    /// How many moves there are.
    pub fn moves(&self) -> usize {
        self.before.len()
    }

    pub fn is_before(&self, earlier: usize, later: usize) -> bool {
        self.before[later].contains(earlier)
    }

    /// The earlier moves that race with `index`: they conflict with it, and nothing in between orders the two.
    pub fn races(&self, index: usize) -> impl Iterator<Item = usize> {
        self.races[index].ones()
    }

    /// How many schedules have this order: its linear extensions, counted over how far each session has got. `first`
    /// are moves that must come in the given order. `None` if there are too many states to count.
    pub fn count_schedules(&self, events: &[Event], first: &[usize]) -> Option<BigUint> {
        let sessions = events.iter().map(|event| event.session + 1).max().unwrap_or_default();
        let mut turns: Vec<Vec<usize>> = vec![Vec::new(); sessions];
        let mut places = Vec::with_capacity(events.len());
        for (turn, event) in events.iter().enumerate() {
            places.push(turns[event.session].len());
            turns[event.session].push(turn);
        }
        let after: HashMap<usize, usize> = first.windows(2).map(|pair| (pair[1], pair[0])).collect();
        let mut level: HashMap<Vec<u16>, BigUint> = HashMap::from([(vec![0; sessions], BigUint::from(1u32))]);
        let mut states = 0;
        for _ in 0..events.len() {
            let mut next: HashMap<Vec<u16>, BigUint> = HashMap::new();
            for (progress, count) in level {
                states += 1;
                if states > MOST_STATES {
                    return None;
                }
                let is_done = |turn: usize| places[turn] < usize::from(progress[events[turn].session]);
                for session in 0..sessions {
                    let Some(&turn) = turns[session].get(usize::from(progress[session])) else {
                        continue;
                    };
                    // what happens before those is done when they are
                    let ready = self.races[turn].ones().all(is_done)
                        && after.get(&turn).is_none_or(|&earlier| is_done(earlier));
                    if ready {
                        let mut progress = progress.clone();
                        progress[session] += 1;
                        *next.entry(progress).or_default() += &count;
                    }
                }
            }
            level = next;
        }
        Some(level.into_values().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(session: usize, participants: &[usize]) -> Event {
        Event {
            session,
            participants: participants.to_vec(),
            pieces: Vec::new(),
        }
    }

    #[test]
    fn independent_sessions_interleave_in_every_way() {
        let events = [event(0, &[0]), event(0, &[0]), event(1, &[1]), event(1, &[1])];
        let order = HappensBefore::new(&events);
        assert!(order.is_before(0, 1) && !order.is_before(1, 2));
        assert_eq!(order.count_schedules(&events, &[]), Some(BigUint::from(6u32)));
        assert_eq!(order.count_schedules(&events, &[0, 2]), Some(BigUint::from(3u32)));
    }

    #[test]
    fn a_release_orders_the_released_session_after_it() {
        let events = [event(0, &[0]), event(1, &[1]), event(0, &[0, 1]), event(1, &[1])];
        let order = HappensBefore::new(&events);
        assert!(order.is_before(2, 3) && order.is_before(0, 3));
        assert_eq!(order.races(2).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(order.count_schedules(&events, &[]), Some(BigUint::from(2u32)));
    }

    /// This would take minutes if each race were searched for among all moves between the two.
    #[test]
    fn many_moves_take_no_time() {
        let events: Vec<Event> = (0..2_000).map(|turn| event(turn % 2, &[0, 1])).collect();
        let order = HappensBefore::new(&events);
        let races: usize = (0..events.len()).map(|index| order.races(index).count()).sum();
        assert_eq!(races, 1_999);
        assert_eq!(order.count_schedules(&events, &[]), Some(BigUint::from(1u32)));
    }
}
