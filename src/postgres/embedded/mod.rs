//! A PostgreSQL server of pgbraid's own: found on the machine, started in a temporary folder, stopped and removed.
//!
//! The server is for throwaway data. It listens on a Unix socket only, inside a folder that nobody else can enter, and
//! it ends with the process that started it, however that process ends:
//!
//! - [`EmbeddedServer::stop`], or the drop of an [`EmbeddedServer`] (in a panic too), stops it and removes its folder;
//! - on Linux the kernel stops it when the process is killed;
//! - what a killed process left behind is found and removed at the next start ([`sweep_leftovers`]).
//!
//! ```no_run
//! use pgbraid::postgres::embedded::{Binaries, EmbeddedServer};
//!
//! # fn main() -> Result<(), pgbraid::postgres::embedded::EmbeddedError> {
//! let mut server = EmbeddedServer::start(&Binaries::find()?)?;
//! println!("PostgreSQL {} in {}", server.version().text, server.socket_dir().display());
//! server.stop()?;
//! # Ok(())
//! # }
//! ```

mod account;
mod backoff;
mod binaries;
mod cluster;
mod cluster_cache;
#[allow(unsafe_code, reason = "between fork and exec")]
mod command;
mod directory;
mod error;
mod initdb;
mod leftovers;
mod log;
mod postmaster;
mod processes;
mod run_folder;
mod server;
#[allow(unsafe_code, reason = "System V segments have no safe interface")]
mod shared_memory;

pub(in crate::postgres) use account::signal_server_process;
pub use binaries::{Binaries, ServerVersion};
pub use error::EmbeddedError;
pub use leftovers::sweep_leftovers;
pub use server::EmbeddedServer;
