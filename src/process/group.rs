//! A program and the processes that it has started.

use std::fs;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

/// The processes of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    leader: i32,
    marker: String,
}

impl Group {
    /// Those of a child that leads a process group and has `marker` in its environment.
    pub(super) fn of(child: Option<u32>, marker: &str) -> Group {
        Group {
            leader: child.and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default(),
            marker: marker.to_owned(),
        }
    }

    /// The processes that are there now.
    pub fn processes(&self) -> Vec<i32> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|&pid| self.has(pid)).collect()
    }

    /// Whether a process is one of them. It inherits its environment, whatever group or session it has moved to.
    pub fn has(&self, pid: i32) -> bool {
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
            return false;
        };
        let marker = self.marker.as_bytes();
        !marker.is_empty() && environment.windows(marker.len()).any(|part| part == marker)
    }

    /// Kills every process. `has_leader` says that the child has not been waited for, so that its number is its own.
    pub(super) fn kill(&self, has_leader: bool) {
        if has_leader && self.leader > 1 {
            // there is nobody left to kill where this fails
            let _ = killpg(Pid::from_raw(self.leader), Signal::SIGKILL);
        }
        for pid in self.processes() {
            let handle = rustix::process::Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
            // what the number stands for cannot change any more, but may have before
            if let Some(handle) = handle.filter(|_| self.has(pid)) {
                let _ = pidfd_send_signal(handle, rustix::process::Signal::KILL);
            }
        }
    }
}
