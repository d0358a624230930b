//! A conversation that nobody listens to: bytes go to and fro as they come.

use tokio::io::{AsyncWriteExt, copy_bidirectional};

use super::Client;
use crate::postgres::wire::Connection;

/// Welcomes a client to `server`, and hands on what either says until one of them hangs up.
pub async fn relay(mut client: Client, server: Connection) {
    client.queue_welcome(server.parameters(), server.backend_pid(), server.secret_key());
    let (Some(mut near), read, unsent) = client.into_parts() else {
        return;
    };
    let mut far = server.into_stream();
    // how it ends is between the two of them
    if near.write_all(&unsent).await.is_ok() && far.write_all(&read).await.is_ok() {
        let _ = copy_bidirectional(&mut near, &mut far).await;
    }
}
