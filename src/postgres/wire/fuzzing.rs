//! A server that says what a fuzz target makes it say.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use tokio_postgres::config::Config;

use super::stream::Stream;
use super::target::Target;
use super::{Connection, Part, WireError};

/// What the client is doing when it receives the bytes.
#[derive(Debug, Clone, Copy)]
pub enum Talk {
    /// Opening a session.
    Startup,
    /// Reading replies as a whole.
    Replies,
    /// Reading replies in parts.
    Parts,
}

/// Has a client read `bytes`, after which the server hangs up, and returns the error that this must lead to.
pub fn hear(talk: Talk, bytes: &[u8]) -> WireError {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    }
    let (client, mut server) = UnixStream::pair().expect("a pair of sockets");
    client.set_nonblocking(true).expect("a socket");
    server.set_nonblocking(true).expect("a socket");
    // what does not fit into the socket's buffer is not sent
    let _ = server.write(bytes);
    server.shutdown(Shutdown::Write).expect("a socket");
    RUNTIME.with(|runtime| runtime.block_on(read(talk, client)))
}

async fn read(talk: Talk, client: UnixStream) -> WireError {
    let stream = tokio::net::UnixStream::from_std(client).expect("a socket");
    let mut connection = Connection::new(Target::Tcp("server".to_owned(), 5432), Stream::Unix(stream));
    let result = match talk {
        Talk::Startup => startup(&mut connection).await,
        Talk::Replies => loop {
            if let Err(error) = connection.reply().await {
                break Err(error);
            }
        },
        Talk::Parts => loop {
            match connection.part().await {
                Err(error) => break Err(error),
                Ok(Part::Rows(rows)) => rows
                    .rows
                    .iter()
                    .for_each(|row| assert!(row.len() <= usize::from(u16::MAX))),
                Ok(_) => {}
            }
        },
    };
    match result {
        Err(error) => error,
        Ok(()) => connection.reply().await.expect_err("the end of the bytes"),
    }
}

async fn startup(connection: &mut Connection) -> Result<(), WireError> {
    let mut config = Config::new();
    config.password("secret");
    connection.authenticate(&config, "postgres").await?;
    connection.wait_until_ready().await
}
