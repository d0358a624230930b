//! The processes of programs that are run as sessions.

mod group;
mod launched;
mod rest;
mod threads;
mod waits;

pub use launched::{Launch, Launched, Output};
pub use rest::{Rest, at_rest};
pub use threads::{may_wake_within, waiting_threads};
pub use waits::{FileLockWait, file_lock_wait, holds_file_lock};
