//! The program that makes a scenario's state, where its setup is not SQL.

use std::sync::Arc;
use std::task::Poll;

use super::RunError;
use super::conversations::Conversations;
use super::launch::launch;
use crate::history::Exit;
use crate::postgres::Server;
use crate::proxy::Gate;
use crate::scenario::Scenario;

/// What the setup's program is called in errors.
const NAME: &str = "setup";

/// Runs the scenario's `setup_command` on a database, where it has one. Nobody schedules what it sends.
///
/// # Errors
/// When it cannot be started, or fails.
pub async fn run(server: &Arc<Server>, database: &str, scenario: &Scenario) -> Result<(), RunError> {
    let Some(program) = &scenario.setup_command else {
        return Ok(());
    };
    let proxy = |source| RunError::Proxy {
        session: NAME.to_owned(),
        source,
    };
    let mut gate = Gate::open(server.user()).await.map_err(proxy)?;
    let mut launched = launch(NAME, program, &gate)?;
    let mut conversations = Conversations::new(server, database);
    let status = loop {
        let arrival = std::future::poll_fn(|cx| {
            if let Poll::Ready(status) = launched.poll_exit(cx) {
                return Poll::Ready(Err(status));
            }
            gate.poll_arrival(cx).map(Ok)
        });
        match arrival.await {
            Err(status) => break status.map_err(RunError::Runtime)?,
            Ok(Some(arrival)) => conversations.begin(arrival),
            Ok(None) => {}
        }
    };
    launched.end().await;
    conversations.end(NAME).await?;
    match Exit::of(status) {
        Exit::Code(0) => Ok(()),
        exit => Err(RunError::SetupFailed {
            exit,
            output: launched.output(),
        }),
    }
}
