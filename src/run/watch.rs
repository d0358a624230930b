//! What is looked at after each move of a run.

use super::RunError;
use super::committed_states::CommittedStates;
use super::workbench::CommittedTables;
use crate::history::{Turn, TxEnd};
use crate::postgres::wire::Connection;

/// Looks at what is committed, in the course of a run.
pub enum Watch<'a> {
    /// It does not.
    Nothing,
    /// At the versions of all rows.
    Versions(&'a mut CommittedStates),
    /// At the content of the tables, where a transaction has committed.
    Tables(&'a mut CommittedTables),
}

impl Watch<'_> {
    /// Whether it looks after these turns.
    pub fn wants(&self, turns: &[Turn]) -> bool {
        match self {
            Watch::Nothing => false,
            Watch::Versions(_) => true,
            Watch::Tables(_) => turns.last().is_some_and(|turn| turn.tx.end == Some(TxEnd::Committed)),
        }
    }

    /// Looks at what is committed after these turns.
    pub async fn look(&mut self, control: &mut Connection, turns: &[Turn]) -> Result<(), RunError> {
        match self {
            Watch::Nothing => Ok(()),
            Watch::Versions(states) => Ok(states.look(control, turns.len() - 1).await?),
            Watch::Tables(tables) => tables.look(control, turns.len()).await,
        }
    }
}
