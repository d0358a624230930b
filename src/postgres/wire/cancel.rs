//! Asking the server to cancel what a session does.

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::config::Config;

use super::target::Target;
use super::{Connection, WireError};

/// What is needed to cancel a session's query without its connection.
#[derive(Debug, Clone)]
pub struct Canceller {
    config: Config,
    target: Target,
    backend_pid: i32,
    secret_key: i32,
}

impl Connection {
    /// `config` is what the connection was opened with.
    pub fn canceller(&self, config: &Config) -> Canceller {
        Canceller {
            config: config.clone(),
            target: self.target.clone(),
            backend_pid: self.backend_pid,
            secret_key: self.secret_key,
        }
    }
}

impl Canceller {
    /// Asks the server to cancel the query, and returns when the server has received the request. The query ends with
    /// an error, unless it finishes first.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn cancel(&self) -> Result<(), WireError> {
        let mut request = BytesMut::new();
        frontend::cancel_request(self.backend_pid, self.secret_key, &mut request);
        let cancelling = async {
            let mut stream = self.target.connect().await?;
            stream.write_all_buf(&mut request).await.map_err(WireError::Lost)?;
            // the server says nothing and hangs up
            let mut nothing = [0; 1];
            let _ = stream.read(&mut nothing).await;
            Ok(())
        };
        self.target.in_time(&self.config, cancelling).await
    }
}
