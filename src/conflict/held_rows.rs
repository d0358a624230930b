//! Which rows the transactions of a run took and until when: what a step that takes one of them could have waited for.

use super::event::Event;
use super::footprint::Object;

/// Rows that sessions took, of tables where when a step begins to wait for a row makes no difference to what it does (see
/// [`Program::row_taken`](super::Program::row_taken)).
#[derive(Debug, Clone, Default)]
pub struct HeldRows(Vec<HeldRow>);

#[derive(Debug, Clone)]
struct HeldRow {
    row: Object,
    holder: usize,
    /// The move that took it.
    taken: usize,
    /// The move that ended the transaction.
    ended: Option<usize>,
}

/// The row that a session's next step takes.
#[derive(Debug, Clone)]
pub struct Taking {
    pub session: usize,
    pub row: Object,
    /// It depends on what is committed whether it takes the row.
    pub conditional: bool,
    /// Its transaction holds something already, so that others may have to wait for it meanwhile.
    pub holds: bool,
}

/// A wait that a step could have begun with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited {
    /// The move that took the row.
    pub taken: usize,
    /// It could have done nothing but wait.
    pub surely: bool,
}

impl HeldRows {
    /// A move took a row, unless its session had it already.
    pub fn take(&mut self, row: Object, holder: usize, index: usize) {
        if !self.has(holder, &row) {
            self.0.push(HeldRow {
                row,
                holder,
                taken: index,
                ended: None,
            });
        }
    }

    /// A move ended the transaction that a session was in.
    pub fn end(&mut self, holder: usize, index: usize) {
        let open = self
            .0
            .iter_mut()
            .filter(|held| held.holder == holder && held.ended.is_none());
        open.for_each(|held| held.ended = Some(index));
    }

    /// Whether a step would only wait now, if it takes the row.
    pub fn makes_wait(&self, step: &Taking) -> bool {
        !step.holds && self.of_others(step).any(|held| held.ended.is_none())
    }

    /// The ends of other transactions that held the row of a step: had it come right before one, it could only have
    /// waited.
    pub fn waited_for(&self, step: &Taking) -> Vec<(usize, Waited)> {
        if step.holds {
            return Vec::new();
        }
        let end = |held: &HeldRow| {
            let (taken, surely) = (held.taken, !step.conditional);
            held.ended.map(|ended| (ended, Waited { taken, surely }))
        };
        self.of_others(step).filter_map(end).collect()
    }

    /// The moves before which a step could have begun to wait for its row, to do then what it did: of the other
    /// transactions that held the row, those in which they had a part after they took it, the end included. `None` where
    /// it depends on more whether it would have waited, or who would have waited before whom.
    pub fn could_have_waited_for(&self, step: &Taking, events: &[Event]) -> Option<Vec<usize>> {
        if step.holds {
            return (!self.may_wait_in_queue(step)).then(Vec::new);
        }
        let moves: Vec<usize> = self.of_others(step).flat_map(|held| held.moves_since(events)).collect();
        (!step.conditional || moves.is_empty()).then_some(moves)
    }

    /// Whether a step that others may wait for may itself wait behind another that could have begun to wait earlier.
    fn may_wait_in_queue(&self, step: &Taking) -> bool {
        self.of_others(step).count() > 1 && !self.has(step.session, &step.row)
    }

    fn has(&self, holder: usize, row: &Object) -> bool {
        let mut open = self
            .0
            .iter()
            .filter(|held| held.holder == holder && held.ended.is_none());
        open.any(|held| held.row == *row)
    }

    /// What has become of a step's row with other sessions.
    fn of_others(&self, step: &Taking) -> impl Iterator<Item = &HeldRow> {
        let others = self.0.iter().filter(|held| held.holder != step.session);
        others.filter(|held| held.row.overlaps(&step.row))
    }
}

impl HeldRow {
    /// The moves in which the holder had a part after it took the row, up to the end of its transaction.
    fn moves_since(&self, events: &[Event]) -> impl Iterator<Item = usize> {
        let moves = self.ended.map_or(0..0, |ended| self.taken + 1..ended + 1);
        moves.filter(|&index| events[index].participants.contains(&self.holder))
    }
}
