//! The row that a step is confined to in a run, when its variables are known.

use super::row_condition::RowCondition;
use super::statement::{NamedRow, PinnedAction};

/// A row by a unique key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// Object number of the unique index.
    pub index: u32,
    /// The key's values, written so that equal ones are written alike.
    pub values: Vec<String>,
}

/// The row that a statement is confined to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    pub table: u32,
    pub row: RowKey,
    pub condition: RowCondition,
    pub action: PinnedAction,
}

impl RowKey {
    /// The row that a statement names, given its parameters. `None` where one of them names none for sure.
    pub fn named(row: &NamedRow, parameters: &[Option<String>]) -> Option<RowKey> {
        let values = row.values.iter().map(|value| value.with(parameters));
        Some(RowKey {
            index: row.index,
            values: values.collect::<Option<_>>()?,
        })
    }
}
