//! Runs a program on a database, where nothing that it sends is scheduled.

use std::sync::Arc;
use std::task::Poll;

use tokio::task::JoinSet;

use super::RunError;
use super::launch::launch;
use crate::history::Exit;
use crate::postgres::Server;
use crate::process::Output;
use crate::proxy::{Arrival, Gate, relay};
use crate::scenario::ProgramCommand;

/// Runs a program, which errors call `name`, to its end. It finds the database as the programs of sessions do.
///
/// # Errors
/// When it cannot be started, or the server fails.
pub async fn run(
    server: &Arc<Server>,
    database: &str,
    name: &str,
    program: &ProgramCommand,
) -> Result<(Exit, Output), RunError> {
    let proxy = |source| RunError::Proxy {
        session: name.to_owned(),
        source,
    };
    let mut gate = Gate::open(server.user()).await.map_err(proxy)?;
    let mut launched = launch(name, program, &gate)?;
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
    Ok((Exit::of(status), launched.output()))
}
