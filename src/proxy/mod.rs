//! The server's side of a conversation with a program's database driver: pgbraid stands between the two.
//!
//! A [`Gate`] listens and lets programs in. What a [`Client`] sends is collected into [`Request`]s, each of which goes to the
//! server as it stands. Messages are framed here and decoded by `postgres-protocol`: a proxy hands on what it does not
//! understand, byte for byte, so a codec that builds every message anew (as pgwire's does) would only be in the way.

mod client;
mod collector;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod gate;
mod relay;
mod values;

pub use client::{Client, ClientMessage};
pub use collector::{Asked, Collected, Collector, Request, RequestEnd};
pub use gate::{Arrival, Gate, Login};
pub use relay::relay;
pub use values::{Bound, readable};

use std::time::Duration;

/// How long a client may take from connecting to the end of its login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest message that a client may send, and the most of one request.
const MOST_IN_REQUEST: usize = 256 << 20;

/// The same before it has logged in; PostgreSQL allows 10,000.
const MOST_AT_LOGIN: usize = 10_000;

/// What can go wrong with a client.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("listening for the program's connection failed: {0}")]
    Listen(std::io::Error),
    #[error("the program sent {0}")]
    Protocol(&'static str),
    #[error("the program sent more than {} MB in one request", MOST_IN_REQUEST >> 20)]
    TooLarge,
}
