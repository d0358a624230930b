//! Finds out how the committed transactions of one run depend on each other, by experiment.
//!
//! Who wrote which version of which row is seen in the tables after each turn. Whether a statement's effect depends on
//! a row that another transaction wrote is found by running it again, on the state that it saw and on that state with
//! the one row as it was before the other transaction's write (or as that made it): where the effects differ, it
//! depends on the write. Nothing is guessed from the statement's text.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::committed_states::{CommittedStates, Version};
use super::history::{StepResult, Turn, TurnRole};
use super::script::Sent;
use super::{RunError, Volatile};
use crate::conflict::{Footprint, Footprints, Object};
use crate::postgres::baseline::Table;
use crate::postgres::wire::{Connection, ResultSet};
use crate::postgres::{PostgresError, quote_literal};
use crate::scenario::sql::StatementKind;
use crate::scenario::sql::lexer::{Token, tokens};
use crate::scenario::{Isolation, Scenario, Step};
use crate::verdict::dependencies::{Dependency, DependencyKind, Explanation, Transaction};
use crate::verdict::serializability::transaction_end;

/// Most times that a statement is run again.
const MOST_TRIALS: usize = 2_000;

/// Statements that read rows or change some.
const QUERIES: [&str; 8] = [
    "select", "insert", "update", "delete", "merge", "with", "values", "table",
];

/// A run, and what it takes to run its statements again.
pub struct Recorded<'a> {
    pub scenario: &'a Scenario,
    pub footprints: &'a Footprints,
    pub volatile: &'a Volatile,
    pub turns: &'a [Turn],
    /// What was sent in each turn of each session.
    pub sent: &'a [Vec<Sent>],
    pub states: &'a CommittedStates,
    /// Rows can be put into tables without firing triggers.
    pub replication_role: bool,
}

/// Explains a run; `control` is on its database, and no session has anything open there. Returns `None` where no cycle
/// was found and something could not be run again.
///
/// # Errors
/// When the connection is lost.
pub async fn explain(run: Recorded<'_>, control: &mut Connection) -> Result<Option<Explanation>, RunError> {
    let nodes = nodes(run.scenario, run.turns);
    let writes = writes(&run, &nodes);
    let mut finder = Finder {
        run,
        control,
        nodes,
        writes,
        known: HashMap::new(),
        trials: 0,
        incomplete: false,
    };
    let mut dependencies = finder.overwrites();
    for node in 0..finder.nodes.len() {
        for turn in finder.nodes[node].turns.clone() {
            finder.reads(node, turn, &mut dependencies).await?;
        }
    }
    let transactions = finder.nodes.iter().enumerate().map(|(index, node)| Transaction {
        session: node.session,
        turns: node.turns.clone(),
        wrote: finder.writes.iter().any(|write| write.node == index),
    });
    let explanation = Explanation::new(transactions.collect(), dependencies);
    Ok((explanation.cycle.is_some() || !finder.incomplete).then_some(explanation))
}

/// A committed transaction.
struct Node {
    session: usize,
    turns: Vec<usize>,
    /// The turn in which it committed.
    committed_in: usize,
    isolation: Isolation,
}

/// A row's version, replaced by another.
struct Write {
    node: usize,
    table: usize,
    /// Index of the first state that has it.
    state: usize,
    old: Option<Version>,
    new: Option<Version>,
}

impl Write {
    fn key(&self) -> Option<&str> {
        self.new.as_ref().or(self.old.as_ref())?.key.as_deref()
    }
}

fn nodes(scenario: &Scenario, turns: &[Turn]) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (index, session) in scenario.sessions.iter().enumerate() {
        let mut default = session.isolation;
        let (mut own, mut isolation) = (Vec::new(), None);
        for (number, turn) in turns.iter().enumerate().filter(|(_, turn)| turn.session == index) {
            own.push(number);
            if let Some(level) = turn.begin.as_deref().and_then(isolation_named) {
                isolation = Some(level);
            }
            if session.steps[turn.step_index].statement.kind == StatementKind::Setting
                && let Some(level) = isolation_named(&turn.sql)
            {
                match turn.sql.to_lowercase() {
                    sql if sql.contains("default_transaction") || sql.contains("characteristics") => default = level,
                    _ => isolation = Some(level),
                }
            }
            let Some(committed) = transaction_end(session, turn.step_index, turn.role, &turn.result) else {
                continue;
            };
            let turns = std::mem::take(&mut own);
            if committed {
                nodes.push(Node {
                    session: index,
                    turns,
                    committed_in: turn.finished_in,
                    isolation: isolation.unwrap_or(default),
                });
            }
            isolation = None;
        }
    }
    nodes.sort_by_key(|node| node.committed_in);
    nodes
}

fn isolation_named(sql: &str) -> Option<Isolation> {
    let words: Vec<String> = significant(sql)
        .iter()
        .map(|token| token.text.trim_matches('\'').to_lowercase())
        .collect();
    let text = words.join(" ");
    let levels = [
        ("read uncommitted", Isolation::ReadCommitted),
        ("read committed", Isolation::ReadCommitted),
        ("repeatable read", Isolation::RepeatableRead),
        ("serializable", Isolation::Serializable),
    ];
    levels
        .into_iter()
        .find(|(name, _)| text.contains(name))
        .map(|(_, level)| level)
}

fn significant(sql: &str) -> Vec<Token<'_>> {
    tokens(sql).filter(|token| !token.is_blank()).collect()
}

fn is_query(sql: &str) -> bool {
    significant(sql).first().is_some_and(|word| word.is_one_of(&QUERIES))
}

/// Whether the statement takes a command number of its transaction: it changes or locks rows.
fn takes_command(sql: &str) -> bool {
    let words = significant(sql);
    let first = words
        .first()
        .is_some_and(|word| word.is_one_of(&["insert", "update", "delete", "merge"]));
    first
        || (is_query(sql)
            && words.windows(2).any(|pair| {
                (pair[0].is("for") && pair[1].is_one_of(&["update", "no", "share", "key"]))
                    || pair[1].is_one_of(&["insert", "update", "delete", "merge"])
            }))
}

/// Whether the statement may pass over rows of its tables.
fn selects_rows(sql: &str) -> bool {
    let words = [
        "where", "on", "using", "having", "filter", "limit", "fetch", "offset", "distinct",
    ];
    significant(sql).iter().any(|token| token.is_one_of(&words))
}

fn writes(run: &Recorded<'_>, nodes: &[Node]) -> Vec<Write> {
    let mut writes = Vec::new();
    for (index, pair) in run.states.states.windows(2).enumerate() {
        let Some(node) = nodes.iter().position(|node| Some(node.committed_in) == pair[1].after) else {
            continue;
        };
        for (table, (before, after)) in pair[0].tables.iter().zip(&pair[1].tables).enumerate() {
            let missing = |from: &[Version], other: &[Version]| -> Vec<Version> {
                let places: BTreeSet<_> = other.iter().map(|version| &version.place).collect();
                from.iter()
                    .filter(|version| !places.contains(&version.place))
                    .cloned()
                    .collect()
            };
            let (gone, mut made) = (missing(before, after), missing(after, before));
            let mut add = |old, new| {
                writes.push(Write {
                    node,
                    table,
                    state: index + 1,
                    old,
                    new,
                });
            };
            for old in gone {
                let same = made.iter().position(|new| new.key.is_some() && new.key == old.key);
                add(Some(old), same.map(|place| made.remove(place)));
            }
            for new in made {
                add(None, Some(new));
            }
        }
    }
    writes
}

/// What a statement did.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Effect {
    Done {
        result: StepResult,
        /// Rows that it wrote, by table.
        written: BTreeMap<usize, Vec<Vec<Option<String>>>>,
    },
    Failed(String),
}

/// A row of a state that is exchanged for another.
#[derive(Debug, Clone, Copy)]
struct Change<'a> {
    table: usize,
    remove: Option<&'a Version>,
    add: Option<&'a Version>,
}

struct Finder<'a, 'c> {
    run: Recorded<'a>,
    control: &'c mut Connection,
    nodes: Vec<Node>,
    writes: Vec<Write>,
    /// Effects of statements on the states as they were, by turn and state; `None` where it is not always the same.
    known: HashMap<(usize, usize), Option<Effect>>,
    trials: usize,
    incomplete: bool,
}

impl Finder<'_, '_> {
    fn step(&self, turn: usize) -> &Step {
        let turn = &self.run.turns[turn];
        &self.run.scenario.sessions[turn.session].steps[turn.step_index]
    }

    fn footprint(&self, turn: usize) -> Footprint {
        let turn = &self.run.turns[turn];
        match turn.role {
            TurnRole::Step => self.run.footprints.step(turn.session, turn.step_index),
            _ => Footprint::default(),
        }
    }

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

    /// ww: who wrote the version before.
    fn overwrites(&self) -> Vec<Dependency> {
        let mut found = Vec::new();
        for (index, write) in self.writes.iter().enumerate() {
            let before = self.writes[..index].iter().rev().find(|earlier| {
                earlier.table == write.table
                    && match (&write.old, &earlier.new) {
                        (Some(old), Some(new)) => old.place == new.place,
                        (None, None) => write.key().is_some() && write.key() == earlier.key(),
                        _ => false,
                    }
            });
            if let Some(before) = before.filter(|before| before.node != write.node) {
                let from = (before.node, self.write_turn(before));
                let to = (write.node, self.write_turn(write));
                found.push(self.dependency(from, to, DependencyKind::Overwrote, write));
            }
        }
        found
    }

    /// The turn in which the transaction wrote the row.
    fn write_turn(&self, write: &Write) -> usize {
        let node = &self.nodes[write.node];
        let steps = || {
            let of_the_scenario = |turn: &&usize| self.run.turns[**turn].role == TurnRole::Step;
            node.turns.iter().filter(of_the_scenario).copied()
        };
        let writes_table = |turn: usize| {
            let footprint = self.footprint(turn);
            footprint.unknown || footprint.writes.contains_key(&self.object(write.table))
        };
        let by_command = write.new.as_ref().and_then(|new| {
            let mut commands = steps().filter(|&turn| takes_command(&self.run.turns[turn].sql));
            commands.nth(new.command).filter(|&turn| writes_table(turn))
        });
        by_command
            .or_else(|| steps().rfind(|&turn| writes_table(turn) && takes_command(&self.run.turns[turn].sql)))
            .or_else(|| steps().rfind(|&turn| writes_table(turn)))
            .unwrap_or(node.committed_in)
    }

    fn object(&self, table: usize) -> Object {
        Object::Relation(self.run.states.tables[table].oid)
    }

    /// wr and rw: what the statement of a turn read of what others wrote.
    async fn reads(&mut self, node: usize, turn: usize, found: &mut Vec<Dependency>) -> Result<(), RunError> {
        let is_step =
            self.run.turns[turn].role == TurnRole::Step && self.step(turn).statement.kind == StatementKind::Plain;
        if !is_step || !is_query(&self.run.turns[turn].sql) {
            return Ok(());
        }
        let footprint = self.footprint(turn);
        let state = self.seen_state(node, turn).await?;
        let writes = std::mem::take(&mut self.writes);
        for (index, write) in writes.iter().enumerate() {
            let object = self.object(write.table);
            if write.node == node || !(footprint.unknown || touches(&footprint, object)) {
                continue;
            }
            let present = |version: &Option<Version>| {
                let seen = &self.run.states.states[state].tables[write.table];
                version
                    .as_ref()
                    .is_some_and(|one| seen.iter().any(|other| other.place == one.place))
            };
            let key_seen = || {
                let seen = &self.run.states.states[state].tables[write.table];
                write.key().is_some() && seen.iter().any(|version| version.key.as_deref() == write.key())
            };
            let same_row =
                |other: &&Write| other.table == write.table && write.key().is_some() && other.key() == write.key();
            let written = (write.node, self.write_turn(write));
            if write.state <= state {
                let replaced = writes[index + 1..]
                    .iter()
                    .filter(|other| other.state <= state)
                    .any(|other| same_row(&other));
                let current = match &write.new {
                    Some(_) => present(&write.new),
                    None => !key_seen() && !replaced,
                };
                let change = Change {
                    table: write.table,
                    remove: write.new.as_ref(),
                    add: write.old.as_ref(),
                };
                if current && self.depends(node, turn, state, change).await? {
                    found.push(self.dependency(written, (node, turn), DependencyKind::Read, write));
                }
            } else {
                let replaced = writes[..index]
                    .iter()
                    .filter(|other| other.state > state)
                    .any(|other| same_row(&other));
                let next = match &write.old {
                    Some(_) => present(&write.old),
                    None => !key_seen() && !replaced,
                };
                let change = Change {
                    table: write.table,
                    remove: write.old.as_ref(),
                    add: write.new.as_ref(),
                };
                if next && self.depends(node, turn, state, change).await? {
                    let without = Change { add: None, ..change };
                    // a row that a statement reads may still make no difference to it: a zero in a sum
                    let predicate = write.old.is_none()
                        || (selects_rows(&self.run.turns[turn].sql)
                            && !self.depends(node, turn, state, without).await?);
                    let kind = DependencyKind::ReadBefore { predicate };
                    found.push(self.dependency((node, turn), written, kind, write));
                }
            }
        }
        self.writes = writes;
        Ok(())
    }

    /// The committed state that a statement saw.
    async fn seen_state(&mut self, node: usize, turn: usize) -> Result<usize, RunError> {
        let Node { turns, isolation, .. } = &self.nodes[node];
        if *isolation != Isolation::ReadCommitted {
            let first = turns.iter().copied().find(|&own| is_query(&self.run.turns[own].sql));
            return Ok(self.run.states.before(first.unwrap_or(turn)));
        }
        let sent = self.run.states.before(turn);
        let record = &self.run.turns[turn];
        if record.waits.is_empty() {
            return Ok(sent);
        }
        // a statement that waited for a row looks at it again when it has it
        let released = self.run.states.before(record.finished_in.saturating_add(1));
        let actual = record.result.clone();
        match self.effect_seen(node, turn, released).await? {
            Some(Effect::Done { result, .. }) if result == actual => Ok(released),
            _ => Ok(sent),
        }
    }

    /// Whether the statement does something else where a row is exchanged.
    async fn depends(&mut self, node: usize, turn: usize, state: usize, change: Change<'_>) -> Result<bool, RunError> {
        let Some(unchanged) = self.effect_seen(node, turn, state).await? else {
            return Ok(false);
        };
        let changed = self.effect(node, turn, state, Some(change)).await?;
        Ok(changed.is_some_and(|changed| changed != unchanged))
    }

    /// What the statement does on a state as it was.
    async fn effect_seen(&mut self, node: usize, turn: usize, state: usize) -> Result<Option<Effect>, RunError> {
        if let Some(known) = self.known.get(&(turn, state)) {
            return Ok(known.clone());
        }
        let once = self.effect(node, turn, state, None).await?;
        let again = self.effect(node, turn, state, None).await?;
        let same = once.filter(|once| again.as_ref() == Some(once));
        self.incomplete |= same.is_none();
        self.known.insert((turn, state), same.clone());
        Ok(same)
    }

    /// Runs the transaction up to a turn, on a state with a row exchanged, and takes everything back.
    async fn effect(
        &mut self,
        node: usize,
        turn: usize,
        state: usize,
        change: Option<Change<'_>>,
    ) -> Result<Option<Effect>, RunError> {
        self.trials += 1;
        if self.trials > MOST_TRIALS {
            self.incomplete = true;
            return Ok(None);
        }
        let load = self.load(state, change);
        let effect = match self.control.simple(&load).await.map_err(PostgresError::from)?.error {
            Some(_) => {
                self.incomplete = true;
                None
            }
            None => Some(self.effect_here(node, turn).await?),
        };
        self.control.simple("ROLLBACK").await.map_err(PostgresError::from)?;
        Ok(effect)
    }

    async fn effect_here(&mut self, node: usize, turn: usize) -> Result<Effect, RunError> {
        let runs = |step: &Step| {
            !matches!(
                step.statement.kind,
                StatementKind::Commit { .. } | StatementKind::Rollback { .. } | StatementKind::OutsideBlock
            )
        };
        let ahead: Vec<usize> = self.nodes[node]
            .turns
            .iter()
            .copied()
            .filter(|&own| own < turn && self.run.turns[own].role == TurnRole::Step && runs(self.step(own)))
            .collect();
        for own in ahead {
            if let Err(sqlstate) = self.send(own).await? {
                return Ok(Effect::Failed(sqlstate));
            }
        }
        let footprint = self.footprint(turn);
        let may_write = footprint.unknown || !footprint.writes.is_empty();
        let before = if may_write { self.contents().await? } else { Vec::new() };
        let result = match self.send(turn).await? {
            Ok(result) => self.shown(turn, result),
            Err(sqlstate) => return Ok(Effect::Failed(sqlstate)),
        };
        let after = if may_write { self.contents().await? } else { Vec::new() };
        let mut written = BTreeMap::new();
        for (table, (before, after)) in before.iter().zip(&after).enumerate() {
            let mut rows: Vec<_> = after
                .iter()
                .filter(|(place, _)| !before.contains_key(*place))
                .map(|(_, row)| row.clone())
                .collect();
            rows.sort();
            if !rows.is_empty() {
                written.insert(table, rows);
            }
        }
        Ok(Effect::Done { result, written })
    }

    async fn send(&mut self, turn: usize) -> Result<Result<ResultSet, String>, RunError> {
        let session = self.run.turns[turn].session;
        let number = self.run.turns[..turn]
            .iter()
            .filter(|one| one.session == session)
            .count();
        let Some(Sent { sql, values }) = self.run.sent[session].get(number) else {
            return Ok(Err(String::new()));
        };
        let reply = self.control.query(sql, values).await.map_err(PostgresError::from)?;
        Ok(reply.into_result().map_err(|error| error.sqlstate))
    }

    /// As the history has it.
    fn shown(&self, turn: usize, result: ResultSet) -> StepResult {
        let ResultSet { columns, rows, tag } = result;
        let Some(columns) = columns else {
            return StepResult::Done { tag };
        };
        let mut shown: Vec<Vec<Option<String>>> = rows
            .iter()
            .map(|row| {
                columns
                    .iter()
                    .zip(row)
                    .map(|(column, value)| self.run.volatile.show(column, value))
                    .collect()
            })
            .collect();
        let ordered = self.step(turn).statement.ordered;
        if !ordered {
            shown.sort();
        }
        StepResult::Rows {
            columns: columns.into_iter().map(|column| column.name).collect(),
            rows: shown,
            ordered,
            tag,
        }
    }

    /// The tables as the transaction sees them, rows by their place.
    async fn contents(&mut self) -> Result<Vec<BTreeMap<Option<String>, Vec<Option<String>>>>, RunError> {
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
                let shown = columns
                    .iter()
                    .zip(&row)
                    .skip(1)
                    .map(|(column, value)| self.run.volatile.show(column, value));
                (row.first().cloned().flatten(), shown.collect())
            });
            contents.push(rows.collect());
        }
        Ok(contents)
    }

    /// Begins a transaction in which the tables have a state's rows.
    fn load(&self, state: usize, change: Option<Change<'_>>) -> String {
        let mut sql = String::from("BEGIN; SET LOCAL statement_timeout = '10s';");
        if self.run.replication_role {
            sql += "SET LOCAL session_replication_role = replica;";
        }
        for table in &self.run.states.tables {
            sql += &format!("DELETE FROM ONLY {};", table.qualified());
        }
        for (index, table) in self.run.states.tables.iter().enumerate() {
            let change = change.filter(|change| change.table == index);
            let removed = change.and_then(|change| change.remove);
            let rows = self.run.states.states[state].tables[index]
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

fn touches(footprint: &Footprint, object: Object) -> bool {
    footprint.reads.contains(&object) || footprint.locks.contains_key(&object) || footprint.writes.contains_key(&object)
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
