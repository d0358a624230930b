//! Runs a program on a database, where nothing that it sends is scheduled.

use std::sync::Arc;
use std::task::Poll;

use super::RunError;
use super::conversations::Conversations;
use super::launch::launch;
use crate::history::Exit;
use crate::postgres::Server;
use crate::process::Output;
use crate::proxy::Gate;
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
    conversations.end(name).await?;
    Ok((Exit::of(status), launched.output()))
}
