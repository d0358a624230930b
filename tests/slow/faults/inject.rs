//! Brings a fault to a run that is under way.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::fault::{Fault, Moment};
use super::processes;

/// What is still to be done to a run.
#[derive(Debug, Default)]
pub struct Injection {
    plan: Option<Plan>,
    signals: VecDeque<(Instant, i32, Signal)>,
    /// When all processes were last looked at.
    looked: Option<Instant>,
}

/// To look at all processes takes some milliseconds.
const LOOK_INTERVAL: Duration = Duration::from_millis(15);

#[derive(Debug)]
struct Plan {
    fault: Fault,
    moment: Moment,
    /// How long the task takes undisturbed.
    usual: Duration,
    tmpdir: PathBuf,
    /// The postmaster of the server that was given.
    given: Option<i32>,
}

impl Injection {
    pub fn new(fault: Fault, moment: Moment, usual: Duration, tmpdir: &Path, given: Option<i32>) -> Injection {
        let plan = Plan {
            fault,
            moment,
            usual,
            tmpdir: tmpdir.to_owned(),
            given,
        };
        Injection {
            plan: Some(plan),
            ..Injection::default()
        }
    }

    /// Interrupts a run that would wait for ever.
    pub fn interrupt_after(time: Duration) -> Injection {
        let fault = Fault::Signals(&[Signal::SIGINT], Duration::ZERO);
        Injection::new(fault, Moment::Share(1.0), time, Path::new(""), None)
    }

    /// Does what is due.
    pub fn step(&mut self, run: u32, started: Instant) {
        while let Some(&(at, process, signal)) = self.signals.front() {
            if at > Instant::now() {
                break;
            }
            self.signals.pop_front();
            processes::send(process, signal);
        }
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_INTERVAL) {
            return;
        }
        let Some(plan) = &self.plan else { return };
        if plan.looks() {
            self.looked = Some(Instant::now());
        }
        if !plan.moment_has_come(run, started) {
            return;
        }
        let now = Instant::now();
        let victim = match plan.fault {
            Fault::Signals(signals, pause) => Some((run.cast_signed(), signals, pause)),
            Fault::Backend(signals, pause) => {
                let backends = processes::session_backends(run);
                backends
                    .get(run as usize % backends.len().max(1))
                    .map(|&backend| (backend, signals, pause))
            }
            Fault::Postmaster(signal) => {
                let postmaster = plan.given.or_else(|| processes::postmaster(run));
                if let Some(postmaster) = postmaster {
                    processes::send(postmaster, signal);
                    self.plan = None;
                }
                return;
            }
            Fault::FolderRemoved => {
                let folders = processes::run_folders(run, &plan.tmpdir);
                if !folders.is_empty() {
                    for folder in folders {
                        // what is made meanwhile may remain
                        let _ = std::fs::remove_dir_all(&folder);
                    }
                    self.plan = None;
                }
                return;
            }
            _ => None,
        };
        if let Some((process, signals, pause)) = victim {
            let times = signals.iter().scan(now, |at, &signal| {
                let due = *at;
                *at += pause;
                Some((due, process, signal))
            });
            self.signals = times.collect();
            self.plan = None;
        }
    }

    /// Wakes up what would stay stopped.
    pub fn finish(self) {
        for (_, process, signal) in self.signals {
            // the run is over, and its number may be another's
            if signal == Signal::SIGCONT {
                processes::send(process, signal);
            }
        }
    }
}

impl Plan {
    /// Whether it takes a look at the processes to know what to do.
    fn looks(&self) -> bool {
        matches!(self.moment, Moment::Session) || matches!(self.fault, Fault::Backend(..) | Fault::Postmaster(_))
    }

    fn moment_has_come(&self, run: u32, started: Instant) -> bool {
        match self.moment {
            Moment::Share(share) => started.elapsed() >= self.usual.mul_f64(share),
            // on a given server there is none
            Moment::Folder => self.given.is_some() || !processes::run_folders(run, &self.tmpdir).is_empty(),
            Moment::Session => !processes::session_backends(run).is_empty(),
        }
    }
}
