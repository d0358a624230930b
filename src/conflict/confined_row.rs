//! The row that a step is confined to in a run, when its variables are known.

use super::footprint::RowKey;
use super::row_condition::RowCondition;
use super::statement::RowAction;

/// The row that a statement is confined to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfinedRow {
    pub table: u32,
    pub row: RowKey,
    pub condition: RowCondition,
    pub action: RowAction,
}
