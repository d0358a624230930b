//! The program that makes a scenario's state, where its setup is not SQL.

use std::sync::Arc;

use super::{RunError, unscheduled};
use crate::history::Exit;
use crate::postgres::Server;
use crate::scenario::Scenario;

/// What the setup's program is called in errors.
const NAME: &str = "setup";

/// Runs the scenario's `setup_command` on a database, where it has one.
///
/// # Errors
/// When it cannot be started, or fails.
pub async fn run(server: &Arc<Server>, database: &str, scenario: &Scenario) -> Result<(), RunError> {
    let Some(program) = &scenario.setup_command else {
        return Ok(());
    };
    match unscheduled::run(server, database, NAME, program).await? {
        (Exit::Code(0), _) => Ok(()),
        (exit, output) => Err(RunError::SetupFailed { exit, output }),
    }
}
