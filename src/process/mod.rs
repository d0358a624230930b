//! The processes of programs that are run as sessions.

mod group;
mod launched;
mod rest;
mod running;
mod task;
mod threads;
mod waits;

pub use group::Group;
pub use launched::{Launch, Launched, Output};
pub use rest::{Rest, at_rest};
pub use running::Running;
pub use task::Task;
pub use threads::{Thread, all_threads, may_wake_within, threads_with_timers, waiting_threads};
pub use waits::{FileLockWait, file_lock_wait, holds_file_lock};
