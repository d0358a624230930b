//! The row that a step is about, as far as it is known before any run.

use std::collections::BTreeMap;

use super::program::SessionProgram;
use super::statement::{NamedRow, NamedValue, canonical};
use crate::postgres::catalog::Catalog;
use crate::scenario::Param;

/// A statement's columns, which set variables: for each name the table that it comes from and its number there, or 0
/// for an expression. `None` where they are not known.
pub type Columns = Option<BTreeMap<String, (u32, i16)>>;

/// The values of the key that names the row; `None` where they are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRow(Option<Vec<KeyValue>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyValue {
    Constant(String),
    /// The variable with that name, and the step that may have set it last.
    Variable(String, Option<usize>),
}

impl KnownRow {
    /// Whether the two steps of one session are surely about the same row.
    pub fn is(&self, other: &KnownRow) -> bool {
        self.0.is_some() && self == other
    }

    /// The key's values, where no variable is among them.
    pub fn constants(&self) -> Option<Vec<String>> {
        let constant = |value: &KeyValue| match value {
            KeyValue::Constant(text) => Some(text.clone()),
            KeyValue::Variable(..) => None,
        };
        self.0.as_ref()?.iter().map(constant).collect()
    }
}

/// What is known of the rows that steps name by a unique index of a table whose rows do not change their key.
pub struct KnownRows<'a> {
    sessions: &'a [SessionProgram],
    catalog: &'a Catalog,
    index: u32,
}

impl<'a> KnownRows<'a> {
    pub fn new(sessions: &'a [SessionProgram], catalog: &'a Catalog, index: u32) -> KnownRows<'a> {
        KnownRows {
            sessions,
            catalog,
            index,
        }
    }

    /// The row that a step names.
    pub fn of_step(&self, session: usize, step: usize) -> KnownRow {
        KnownRow(self.key_values(session, step))
    }

    fn key_values(&self, session: usize, step: usize) -> Option<Vec<KeyValue>> {
        let row = self.named(session, step)?;
        let SessionProgram { steps, params, .. } = &self.sessions[session];
        let value = |value: &NamedValue| {
            let (number, key_type) = match value {
                NamedValue::Constant(text) => return Some(KeyValue::Constant(text.clone())),
                NamedValue::Parameter(number, key_type) => (*number, *key_type),
            };
            let name = steps[step].variables.get(number)?;
            match params
                .get(name)
                .filter(|_| self.set_before(session, steps.len(), name).is_none())
            {
                Some(Param::Integer(value)) => canonical(&value.to_string(), key_type).map(KeyValue::Constant),
                Some(Param::Text(text)) => canonical(text, key_type).map(KeyValue::Constant),
                Some(_) => None,
                None => Some(self.variable(session, step, name)),
            }
        };
        row.values.iter().map(value).collect()
    }

    /// The row that a step names by the index.
    fn named(&self, session: usize, step: usize) -> Option<&'a NamedRow> {
        let step = self.sessions.get(session)?.steps.get(step)?;
        let row = &step.facts.meaning.confined.as_ref()?.row;
        (row.index == self.index).then_some(row)
    }

    fn columns(&self, session: usize, step: usize) -> Option<&BTreeMap<String, (u32, i16)>> {
        self.sessions.get(session)?.steps.get(step)?.facts.columns.as_ref()
    }

    fn set_before(&self, session: usize, step: usize, name: &str) -> Option<usize> {
        let columns = |step: usize| self.columns(session, step);
        (0..step).rfind(|&step| columns(step).is_none_or(|columns| columns.contains_key(name)))
    }

    fn variable(&self, session: usize, step: usize, name: &str) -> KeyValue {
        let set_in = self.set_before(session, step, name);
        let read = set_in.and_then(|set_in| self.key_column(session, set_in, name));
        read.unwrap_or_else(|| KeyValue::Variable(name.to_owned(), set_in))
    }

    /// The value of a column that a step returns, where it is the column by which the step names its row, perhaps with
    /// a value that an earlier step returned. (If the step finds no row the column is NULL, which names no row.)
    fn key_column(&self, session: usize, step: usize, name: &str) -> Option<KeyValue> {
        let (table, number) = *self.columns(session, step)?.get(name)?;
        let key = self.catalog.unique_keys.iter().find(|key| key.index == self.index)?;
        let column = self
            .catalog
            .columns
            .get(&table)?
            .iter()
            .find(|column| column.number == number)?;
        let place = key.columns.iter().position(|(name, _)| *name == column.name)?;
        let always = !self.sessions[session].steps[step].conditional;
        let values = self
            .key_values(session, step)
            .filter(|_| always && key.table == table)?;
        values.into_iter().nth(place)
    }
}
