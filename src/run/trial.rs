//! Runs a statement of a recorded run again, on tables as it saw them or with one row exchanged.

use std::collections::BTreeMap;

use super::RunError;
use super::committed_states::Version;
use super::driver::Sent;
use super::recorded::Recorded;
use crate::history::StepResult;
use crate::postgres::baseline::Table;
use crate::postgres::wire::{Connection, ResultSet};
use crate::postgres::{PostgresError, quote_literal};
use crate::sql::StatementKind;

/// The most statements that are run again.
const MOST_TRIALS: usize = 2_000;

/// What a statement did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Done {
        result: StepResult,
        /// Rows that it wrote, by table.
        written: BTreeMap<usize, Vec<Vec<Option<String>>>>,
    },
    /// The SQLSTATE of its error, or of the error of a statement before it.
    Failed(String),
}

/// A row that is exchanged for another.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    pub table: usize,
    pub remove: Option<&'a Version>,
    pub add: Option<&'a Version>,
}

/// The rows of a table by their place in it.
type Content = BTreeMap<Option<String>, Vec<Option<String>>>;

/// Runs statements again.
pub struct StatementTrials<'a, 'c> {
    run: &'a Recorded<'a>,
    control: &'c mut Connection,
    count: usize,
    /// Some statement could not be run again.
    pub incomplete: bool,
}

impl<'a, 'c> StatementTrials<'a, 'c> {
    /// `control` is on the run's database, where no session has anything open.
    pub fn new(run: &'a Recorded<'a>, control: &'c mut Connection) -> StatementTrials<'a, 'c> {
        StatementTrials {
            run,
            control,
            count: 0,
            incomplete: false,
        }
    }

    /// Puts rows into the tables, runs the statements of a transaction (by their turns) up to and including that of
    /// `turn`, returns what that one did, and rolls everything back. Returns `None` if the rows cannot be put there, or
    /// too much has been run.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn effect(
        &mut self,
        transaction: &[usize],
        turn: usize,
        tables: &[Vec<Version>],
        change: Option<Change<'_>>,
    ) -> Result<Option<Effect>, RunError> {
        self.count += 1;
        if self.count > MOST_TRIALS {
            self.incomplete = true;
            return Ok(None);
        }
        let load = self.load(tables, change);
        let loaded = self.control.simple(&load).await.map_err(PostgresError::from)?;
        let effect = match loaded.error {
            Some(_) => {
                self.incomplete = true;
                None
            }
            None => Some(self.run_up_to(transaction, turn).await?),
        };
        self.control.simple("ROLLBACK").await.map_err(PostgresError::from)?;
        Ok(effect)
    }

    async fn run_up_to(&mut self, transaction: &[usize], turn: usize) -> Result<Effect, RunError> {
        let ends = |turn: usize| {
            matches!(
                self.run.turns[turn].statement.kind,
                StatementKind::Commit { .. } | StatementKind::Rollback { .. } | StatementKind::OutsideBlock
            )
        };
        for &ahead in transaction.iter().filter(|&&ahead| ahead < turn) {
            if !self.run.is_step(ahead) || ends(ahead) {
                continue;
            }
            if let Err(sqlstate) = self.send(ahead).await? {
                return Ok(Effect::Failed(sqlstate));
            }
        }
        let footprint = self.run.footprint(turn);
        let may_write = footprint.unknown || !footprint.writes.is_empty();
        let before = if may_write { self.contents().await? } else { Vec::new() };
        let result = match self.send(turn).await? {
            Ok(result) => self.shown(turn, result),
            Err(sqlstate) => return Ok(Effect::Failed(sqlstate)),
        };
        let after = if may_write { self.contents().await? } else { Vec::new() };
        let mut written = BTreeMap::new();
        for (table, (before, after)) in before.iter().zip(after).enumerate() {
            let made = after.into_iter().filter(|(place, _)| !before.contains_key(place));
            let mut rows: Vec<_> = made.map(|(_, row)| row).collect();
            rows.sort();
            if !rows.is_empty() {
                written.insert(table, rows);
            }
        }
        Ok(Effect::Done { result, written })
    }

    async fn send(&mut self, turn: usize) -> Result<Result<ResultSet, String>, RunError> {
        let Some(Sent { sql, values }) = self.run.sent(turn) else {
            return Ok(Err(String::new()));
        };
        let reply = self.control.query(sql, values).await.map_err(PostgresError::from)?;
        Ok(reply.into_result().map_err(|error| error.sqlstate))
    }

    /// As the history shows it.
    fn shown(&self, turn: usize, result: ResultSet) -> StepResult {
        let ResultSet { columns, rows, tag } = result;
        let Some(columns) = columns else {
            return StepResult::Done { tag };
        };
        let show = |row: &Vec<Option<String>>| -> Vec<Option<String>> {
            let values = columns.iter().zip(row);
            values
                .map(|(column, value)| self.run.volatile.show(column, value))
                .collect()
        };
        let shown = rows.iter().map(show).collect();
        let columns = columns.into_iter().map(|column| column.name).collect();
        StepResult::of_rows(columns, shown, self.run.turns[turn].statement.ordered, tag)
    }

    /// The tables as the transaction sees them.
    async fn contents(&mut self) -> Result<Vec<Content>, RunError> {
        let mut contents = Vec::with_capacity(self.run.states.tables.len());
        for table in &self.run.states.tables {
            let sql = format!("SELECT t.ctid, t.* FROM ONLY {} AS t", table.qualified());
            let reply = self.control.simple(&sql).await.map_err(PostgresError::from)?;
            let result = reply.into_result().map_err(|error| PostgresError::Query {
                doing: "looking at what a statement wrote",
                error,
            })?;
            let columns = result.columns.unwrap_or_default();
            let rows = result.rows.into_iter().map(|row| {
                let values = columns.iter().zip(&row).skip(1);
                let shown = values.map(|(column, value)| self.run.volatile.show(column, value));
                (row.first().cloned().flatten(), shown.collect())
            });
            contents.push(rows.collect());
        }
        Ok(contents)
    }

    /// Begins a transaction in which the tables have these rows.
    fn load(&self, tables: &[Vec<Version>], change: Option<Change<'_>>) -> String {
        let mut sql = String::from("BEGIN; SET LOCAL statement_timeout = '10s';");
        if self.run.replication_role {
            sql += "SET LOCAL session_replication_role = replica;";
        }
        for table in &self.run.states.tables {
            sql += &format!("DELETE FROM ONLY {};", table.qualified());
        }
        for (index, (table, versions)) in self.run.states.tables.iter().zip(tables).enumerate() {
            let change = change.filter(|change| change.table == index);
            let removed = change.and_then(|change| change.remove);
            let rows = versions
                .iter()
                .filter(|version| removed.is_none_or(|removed| removed.place != version.place))
                .chain(change.and_then(|change| change.add));
            sql += &insert(table, rows.map(|version| quote_literal(&version.row)).collect());
        }
        if self.run.replication_role {
            sql += "SET LOCAL session_replication_role = origin;";
        }
        sql + &self.run.states.set_sequences
    }
}

fn insert(table: &Table, rows: Vec<String>) -> String {
    let name = table.qualified();
    match &table.writable {
        Some(columns) if !rows.is_empty() => format!(
            "INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE
             SELECT {columns} FROM (SELECT (literal::{name}).* FROM unnest(ARRAY[{}]) AS literal) AS row;",
            rows.join(", ")
        ),
        _ => String::new(),
    }
}
