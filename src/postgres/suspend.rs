//! Stops and continues backends of the server that pgbraid started.

use std::collections::BTreeSet;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::embedded::signal_server_process;

/// Backends that are stopped; all are continued when this is dropped.
#[derive(Debug, Default)]
pub struct Suspended(BTreeSet<i32>);

impl Suspended {
    pub fn stop(&mut self, pid: i32) -> Result<(), Errno> {
        self.0.insert(pid);
        signal_server_process(pid, Signal::SIGSTOP)
    }

    pub fn resume(&mut self, pid: i32) -> Result<(), Errno> {
        self.0.remove(&pid);
        signal_server_process(pid, Signal::SIGCONT)
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        for &pid in &self.0 {
            // one that is gone needs no signal
            let _ = signal_server_process(pid, Signal::SIGCONT);
        }
    }
}
