//! The program that makes a scenario's state, where its setup is not SQL.

use std::sync::Arc;
use std::task::Poll;

use tokio::task::JoinSet;

use super::RunError;
use super::launch::launch;
use crate::history::Exit;
use crate::postgres::Server;
use crate::proxy::{Arrival, Gate, relay};
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
    let mut conversations = JoinSet::new();
    let status = loop {
        let arrival = std::future::poll_fn(|cx| {
            if let Poll::Ready(status) = launched.poll_exit(cx) {
                return Poll::Ready(Err(status));
            }
            gate.poll_arrival(cx).map(Ok)
        });
        match arrival.await {
            Err(status) => break status.map_err(RunError::Runtime)?,
            Ok(Some(Arrival::Client(client, login))) => {
                let own = login.parameters.iter();
                let settings: Vec<(&str, &str)> = own
                    .filter(|(name, _)| !matches!(name.as_str(), "user" | "database"))
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect();
                let connection = server.session(database, &settings).await?;
                conversations.spawn(relay(client, connection));
            }
            Ok(_) => {}
        }
    };
    launched.end().await;
    // what it has sent last is not to be lost
    while conversations.join_next().await.is_some() {}
    match Exit::of(status) {
        Exit::Code(0) => Ok(()),
        exit => Err(RunError::SetupFailed {
            exit,
            output: launched.output(),
        }),
    }
}
