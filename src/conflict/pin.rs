//! The row that a step is confined to in a run, when its variables are known.

use super::footprint::RowKey;
use super::row_condition::RowCondition;
use super::statement::PinnedAction;

/// The row that a statement is confined to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    pub table: u32,
    pub row: RowKey,
    pub condition: RowCondition,
    pub action: PinnedAction,
}
