//! Stops and continues backends of the server that pgbraid started.

use std::collections::BTreeSet;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Backends that are stopped; all are continued when this is dropped.
#[derive(Debug, Default)]
pub struct Suspended(BTreeSet<i32>);

impl Suspended {
    pub fn stop(&mut self, pid: i32) -> Result<(), Errno> {
        self.0.insert(pid);
        kill(Pid::from_raw(pid), Signal::SIGSTOP)
    }

    pub fn resume(&mut self, pid: i32) -> Result<(), Errno> {
        self.0.remove(&pid);
        kill(Pid::from_raw(pid), Signal::SIGCONT)
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        for &pid in &self.0 {
            // one that has gone needs no signal
            let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
        }
    }
}
