//! What a program's connections say to the server where nobody schedules them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::RunError;
use crate::postgres::wire::{Canceller, WireError};
use crate::postgres::{PostgresError, Server};
use crate::proxy::{Arrival, Client, Login, relay};

/// How long the server may take for what a program that has ended sent last.
const LONGEST_ENDING: Duration = Duration::from_secs(30);

/// The connections of one program to one database.
pub struct Conversations {
    at: Place,
    under_way: JoinSet<Result<(), PostgresError>>,
}

#[derive(Clone)]
struct Place {
    server: Arc<Server>,
    database: String,
    /// By the process number and the key that clients were given.
    cancellers: Arc<Mutex<Cancellers>>,
}

type Cancellers = HashMap<(i32, i32), Canceller>;

impl Conversations {
    pub fn new(server: &Arc<Server>, database: &str) -> Conversations {
        Conversations {
            at: Place {
                server: server.clone(),
                database: database.to_owned(),
                cancellers: Arc::default(),
            },
            under_way: JoinSet::new(),
        }
    }

    pub fn begin(&mut self, arrival: Arrival) {
        let at = self.at.clone();
        match arrival {
            Arrival::Client(client, login) => self.under_way.spawn(at.converse(client, login)),
            Arrival::Cancel {
                backend_pid,
                secret_key,
                client,
            } => self.under_way.spawn(at.cancel((backend_pid, secret_key), client)),
        };
    }

    /// Waits until all have ended: what the program has sent last is not to be lost.
    ///
    /// # Errors
    /// When the server could not be reached, or does not finish what the program has left under way.
    pub async fn end(mut self, program: &str) -> Result<(), RunError> {
        let ending = async {
            while let Some(ended) = self.under_way.join_next().await {
                ended.map_err(|error| RunError::Runtime(error.into()))??;
            }
            Ok(())
        };
        let unfinished = |_| RunError::StepTimeout {
            session: program.to_owned(),
            step: "what its program sent last".to_owned(),
            limit: LONGEST_ENDING,
            outsider: None,
        };
        timeout(LONGEST_ENDING, ending).await.map_err(unfinished)?
    }
}

impl Place {
    async fn converse(self, client: Client, login: Login) -> Result<(), PostgresError> {
        let own = login.parameters.iter();
        let settings: Vec<(&str, &str)> = own
            .filter(|(name, _)| !matches!(name.as_str(), "user" | "database"))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let connection = match self.server.session(&self.database, &settings).await {
            Ok(connection) => connection,
            Err(PostgresError::Wire(WireError::Refused(error))) => {
                client.refuse(&error.sqlstate, &error.message).await;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let key = (connection.backend_pid(), connection.secret_key());
        let canceller = self.server.canceller(&connection);
        self.cancellers().insert(key, canceller);
        relay(client, connection).await;
        self.cancellers().remove(&key);
        Ok(())
    }

    /// The client's connection is closed once the server has been told.
    async fn cancel(self, key: (i32, i32), _client: Client) -> Result<(), PostgresError> {
        let canceller = self.cancellers().get(&key).cloned();
        match canceller {
            Some(canceller) => Ok(canceller.cancel().await?),
            None => Ok(()),
        }
    }

    fn cancellers(&self) -> MutexGuard<'_, Cancellers> {
        self.cancellers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
