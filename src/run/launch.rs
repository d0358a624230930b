//! Starting a scenario's program, with the way to its gate.

use super::RunError;
use crate::process::{Launch, Launched};
use crate::proxy::Gate;
use crate::scenario::ProgramCommand;

/// Starts the program of a session, which errors name.
///
/// # Errors
/// When there is no such program, or it cannot be run.
pub fn launch(session: &str, program: &ProgramCommand, gate: &Gate) -> Result<Launched, RunError> {
    let variables = gate.variables().into_iter();
    let mut variables: Vec<(String, String)> = variables.map(|(name, value)| (name.to_owned(), value)).collect();
    variables.extend(program.env.clone());
    let launch = Launch {
        command: program.command.clone(),
        variables,
        folder: program.cwd.clone(),
        stdin: program.stdin.clone().unwrap_or_default(),
        marker: gate.marker(),
    };
    Launched::start(&launch).map_err(|source| RunError::Launch {
        session: session.to_owned(),
        program: program.command.first().cloned().unwrap_or_default(),
        folder: program.cwd.clone(),
        source,
    })
}
