//! Stops and continues backends of the server that pgbraid started.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Backends that are stopped; all are continued when this is dropped (continuing one twice does nothing).
#[derive(Debug)]
pub struct Suspended(Vec<i32>);

impl Suspended {
    pub fn stop(pids: Vec<i32>) -> Result<Suspended, Errno> {
        let suspended = Suspended(pids);
        for &pid in &suspended.0 {
            kill(Pid::from_raw(pid), Signal::SIGSTOP)?;
        }
        Ok(suspended)
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        for &pid in &self.0 {
            // one that has gone needs no signal
            let _ = continue_backend(pid);
        }
    }
}

pub fn continue_backend(pid: i32) -> Result<(), Errno> {
    kill(Pid::from_raw(pid), Signal::SIGCONT)
}
