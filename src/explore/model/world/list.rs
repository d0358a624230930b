//! A table that items are added to.

/// The items, in the order in which they were added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct List(Vec<Item>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Item {
    value: u8,
    /// When its transaction began.
    time: Option<u8>,
    /// The session that has not committed it yet.
    pending: Option<usize>,
}

/// How a step reads the items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListOrder {
    /// Their order does not matter.
    None,
    /// As they lie.
    Places,
    /// By the times that they were given.
    Times,
}

impl List {
    pub fn add(&mut self, session: usize, value: u8, time: Option<u8>) {
        self.0.push(Item {
            value,
            time,
            pending: Some(session),
        });
    }

    pub fn commit(&mut self, session: usize) {
        let own = self.0.iter_mut().filter(|item| item.pending == Some(session));
        own.for_each(|item| item.pending = None);
    }

    pub fn roll_back(&mut self, session: usize) {
        self.0.retain(|item| item.pending != Some(session));
    }

    /// What is committed.
    pub fn committed(&self) -> List {
        List(self.0.iter().copied().filter(|item| item.pending.is_none()).collect())
    }

    /// What a session sees with a snapshot: that, and its own items.
    pub fn seen_with(&self, snapshot: &List, session: usize) -> List {
        let mut left = snapshot.0.clone();
        let is_seen = |item: &&Item| {
            let place = left.iter().position(|seen| seen == *item);
            place.map(|place| left.remove(place)).is_some() || item.pending == Some(session)
        };
        List(self.0.iter().filter(is_seen).copied().collect())
    }

    /// The items that are committed, and those of a session.
    pub fn items(&self, session: Option<usize>, order: ListOrder) -> Vec<u8> {
        let is_seen = |item: &&Item| item.pending.is_none() || item.pending == session;
        let mut items: Vec<Item> = self.0.iter().filter(is_seen).copied().collect();
        match order {
            ListOrder::None => items.sort_by_key(|item| item.value),
            ListOrder::Places => {}
            ListOrder::Times => items.sort_by_key(|item| (item.time, item.value)),
        }
        items.iter().map(|item| item.value).collect()
    }
}
