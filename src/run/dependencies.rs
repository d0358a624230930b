//! Finds out how the committed transactions of one run depend on each other, by experiment.
//!
//! Which transaction wrote which version of which row is seen in the tables after each turn. Whether a statement read a
//! row that another transaction wrote is found by running it again, once on the rows that it saw and once with that row
//! as it was before the other's write (or as that write made it): if the results differ, it depends on the write. So
//! joins, aggregates, views, triggers and functions are covered without any knowledge of them.

use std::collections::HashMap;

use super::RunError;
use super::committed_states::Version;
use super::recorded::{Committed, Recorded, Write, is_insert, is_query, selects_rows, takes_command};
use super::trial::{Change, Effect, StatementTrials};
use crate::conflict::{Footprint, Object};
use crate::postgres::wire::Connection;
use crate::scenario::Isolation;
use crate::sql::StatementKind;
use crate::verdict::dependencies::{Dependency, DependencyKind, Explanation, Transaction};

/// Explains a run. `control` is connected to its database, where no session has a transaction open. Returns `None` if
/// no cycle was found and something could not be run again.
///
/// # Errors
/// When the connection is lost.
pub async fn explain(run: Recorded<'_>, control: &mut Connection) -> Result<Option<Explanation>, RunError> {
    let committed = run.committed();
    let writes = run.writes(&committed);
    let mut finder = Finder {
        run: &run,
        committed: &committed,
        writes: &writes,
        trials: StatementTrials::new(&run, control),
        known: HashMap::new(),
    };
    let mut dependencies = finder.overwrites();
    for (index, transaction) in committed.iter().enumerate() {
        for &turn in &transaction.turns {
            finder.reads(index, turn, &mut dependencies).await?;
        }
    }
    let incomplete = finder.trials.incomplete;
    let transactions = committed.iter().enumerate().map(|(index, transaction)| Transaction {
        session: transaction.session,
        turns: transaction.turns.clone(),
        wrote: writes.iter().any(|write| write.by == index),
    });
    let explanation = Explanation::new(transactions.collect(), dependencies);
    Ok((explanation.cycle.is_some() || !incomplete).then_some(explanation))
}

/// What a statement sees of what is committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct View {
    /// Index of the state that its snapshot is of.
    snapshot: usize,
    /// Later writes that it sees nevertheless, by index: a statement that waited for rows reads those again.
    again: Vec<usize>,
}

impl View {
    fn of_state(state: usize) -> View {
        View {
            snapshot: state,
            again: Vec::new(),
        }
    }
}

struct Finder<'a, 'c> {
    run: &'a Recorded<'a>,
    committed: &'a [Committed],
    writes: &'a [Write],
    trials: StatementTrials<'a, 'c>,
    /// What statements do, by turn and view; `None` if that is not always the same.
    known: HashMap<(usize, View), Option<Effect>>,
}

impl Finder<'_, '_> {
    fn dependency(&self, from: (usize, usize), to: (usize, usize), kind: DependencyKind, write: &Write) -> Dependency {
        Dependency {
            from: from.0,
            from_turn: from.1,
            to: to.0,
            to_turn: to.1,
            kind,
            table: self.run.states.tables[write.table].display_name(),
            row: write.key().map(str::to_owned),
        }
    }

    /// The transaction that wrote, and the turn in which it did.
    fn place(&self, write: &Write) -> (usize, usize) {
        (write.by, self.run.turn_of_write(write, &self.committed[write.by]))
    }

    /// ww: which transaction wrote the version before.
    fn overwrites(&self) -> Vec<Dependency> {
        let mut found = Vec::new();
        for (index, write) in self.writes.iter().enumerate() {
            let before = self.writes[..index]
                .iter()
                .rev()
                .find(|earlier| match (&write.old, &earlier.new) {
                    (Some(old), Some(new)) => write.table == earlier.table && old.place == new.place,
                    (None, None) => write.same_row(earlier),
                    _ => false,
                });
            if let Some(before) = before.filter(|before| before.by != write.by) {
                found.push(self.dependency(self.place(before), self.place(write), DependencyKind::Overwrote, write));
            }
        }
        found
    }

    /// wr and rw: what the statement of a turn read of the others' writes.
    async fn reads(&mut self, transaction: usize, turn: usize, found: &mut Vec<Dependency>) -> Result<(), RunError> {
        let sql = self.run.sql(turn);
        let plain = self.run.is_step(turn) && self.run.turns[turn].statement.kind == StatementKind::Plain;
        if !plain || !is_query(sql) {
            return Ok(());
        }
        let footprint = self.run.footprint(turn);
        let view = self.view(transaction, turn).await?;
        let reader = (transaction, turn);
        for (index, write) in self.writes.iter().enumerate() {
            if write.by == transaction || !touches(&footprint, self.run.object(write.table)) {
                continue;
            }
            if self.shows(&view, index) && self.is_last(index, &view) {
                let before = Change {
                    table: write.table,
                    remove: write.new.as_ref(),
                    add: write.old.as_ref(),
                };
                if self.depends(reader, &view, before).await? {
                    found.push(self.dependency(self.place(write), reader, DependencyKind::Read, write));
                }
            } else if !self.shows(&view, index) && self.is_next(index, &view) {
                let after = Change {
                    table: write.table,
                    remove: write.old.as_ref(),
                    add: write.new.as_ref(),
                };
                if self.depends(reader, &view, after).await? {
                    let without = Change { add: None, ..after };
                    // a row that a statement reads may still make no difference to it: a zero in a sum
                    let predicate =
                        write.old.is_none() || (selects_rows(sql) && !self.depends(reader, &view, without).await?);
                    let kind = DependencyKind::ReadBefore { predicate };
                    found.push(self.dependency(reader, self.place(write), kind, write));
                }
            }
        }
        Ok(())
    }

    fn shows(&self, view: &View, write: usize) -> bool {
        self.writes[write].state <= view.snapshot || view.again.contains(&write)
    }

    /// Whether a write made the version of its row that the view shows.
    fn is_last(&self, index: usize, view: &View) -> bool {
        let write = &self.writes[index];
        !(index + 1..self.writes.len()).any(|other| {
            let later = &self.writes[other];
            self.shows(view, other) && (write.same_row(later) || replaces(later, write))
        })
    }

    /// Whether a write made the version right after the one that the view shows.
    fn is_next(&self, index: usize, view: &View) -> bool {
        let write = &self.writes[index];
        !(0..index).any(|other| {
            let earlier = &self.writes[other];
            !self.shows(view, other) && (write.same_row(earlier) || replaces(write, earlier))
        })
    }

    /// What a statement saw.
    async fn view(&mut self, transaction: usize, turn: usize) -> Result<View, RunError> {
        let Committed { turns, isolation, .. } = &self.committed[transaction];
        if *isolation != Isolation::ReadCommitted {
            let first = turns.iter().copied().find(|&own| is_query(self.run.sql(own)));
            return Ok(View::of_state(self.run.states.before(first.unwrap_or(turn))));
        }
        let record = &self.run.turns[turn];
        let snapshot = self.run.states.before(turn);
        if record.waits.is_empty() {
            return Ok(View::of_state(snapshot));
        }
        let again = self.run.states.before(record.finished_in.saturating_add(1));
        let all_anew = View::of_state(again);
        let found = View {
            snapshot,
            again: self.found_again(transaction, turn, snapshot, again).await?,
        };
        let every_row = View {
            snapshot,
            again: (0..self.writes.len())
                .filter(|&index| self.writes[index].old.is_some())
                .filter(|&index| (snapshot + 1..=again).contains(&self.writes[index].state))
                .collect(),
        };
        // an INSERT waits for a key, and a plain SELECT for a table before it takes its snapshot
        let views = match takes_command(&record.statement.sql) && !is_insert(&record.statement.sql) {
            true => [found, every_row, all_anew],
            false => [all_anew, found, every_row],
        };
        for view in views {
            if let Some(Effect::Done { result, .. }) = self.effect(transaction, turn, &view).await?
                && result == record.result
            {
                return Ok(view);
            }
        }
        Ok(View::of_state(snapshot))
    }

    /// The writes up to a state that are seen by a statement that waited for rows and reads them again: those of the
    /// rows that it had found in its snapshot. It sees the other rows as they were: a row that matches only now is not
    /// found.
    async fn found_again(
        &mut self,
        transaction: usize,
        turn: usize,
        snapshot: usize,
        again: usize,
    ) -> Result<Vec<usize>, RunError> {
        let view = View::of_state(snapshot);
        let mut found: Vec<usize> = Vec::new();
        for (index, write) in self.writes.iter().enumerate() {
            if write.old.is_none() || !(snapshot + 1..=again).contains(&write.state) {
                continue;
            }
            let without = Change {
                table: write.table,
                remove: write.old.as_ref(),
                add: None,
            };
            let follows = found.iter().any(|&earlier| replaces(write, &self.writes[earlier]));
            if follows || self.depends((transaction, turn), &view, without).await? {
                found.push(index);
            }
        }
        Ok(found)
    }

    /// Whether the statement of a transaction's turn does something else with a row exchanged.
    async fn depends(&mut self, reader: (usize, usize), view: &View, change: Change<'_>) -> Result<bool, RunError> {
        let (transaction, turn) = reader;
        let Some(unchanged) = self.effect(transaction, turn, view).await? else {
            return Ok(false);
        };
        let (turns, tables) = (&self.committed[transaction].turns, self.tables(view));
        let changed = self.trials.effect(turns, turn, &tables, Some(change)).await?;
        Ok(changed.is_some_and(|changed| changed != unchanged))
    }

    /// What a statement does on what it sees; `None` if that is not always the same.
    async fn effect(&mut self, transaction: usize, turn: usize, view: &View) -> Result<Option<Effect>, RunError> {
        if let Some(known) = self.known.get(&(turn, view.clone())) {
            return Ok(known.clone());
        }
        let (turns, tables) = (&self.committed[transaction].turns, self.tables(view));
        let once = self.trials.effect(turns, turn, &tables, None).await?;
        let again = self.trials.effect(turns, turn, &tables, None).await?;
        let same = once.filter(|once| again.as_ref() == Some(once));
        self.trials.incomplete |= same.is_none();
        self.known.insert((turn, view.clone()), same.clone());
        Ok(same)
    }

    fn tables(&self, view: &View) -> Vec<Vec<Version>> {
        let mut tables = self.run.states.states[view.snapshot].tables.clone();
        for write in view.again.iter().map(|&index| &self.writes[index]) {
            let rows = &mut tables[write.table];
            let old = rows
                .iter()
                .position(|row| write.old.as_ref().is_some_and(|old| old.place == row.place));
            if let Some(old) = old {
                rows.remove(old);
                rows.extend(write.new.clone());
            }
        }
        tables
    }
}

/// Whether one write replaced the version that the other made.
fn replaces(later: &Write, earlier: &Write) -> bool {
    later.table == earlier.table
        && later
            .old
            .as_ref()
            .is_some_and(|old| earlier.new.as_ref().is_some_and(|new| new.place == old.place))
}

fn touches(footprint: &Footprint, object: Object) -> bool {
    footprint.unknown
        || footprint.reads.contains(&object)
        || footprint.locks.contains_key(&object)
        || footprint.checks.contains(&object)
        || footprint.writes.contains_key(&object)
}
