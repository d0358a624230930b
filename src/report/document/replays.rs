//! The result of replaying pinned schedules.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::replay::{Judgement, Replay, Replayed};

/// The report of a replay.
#[derive(Debug, Clone)]
pub struct Replays {
    pub schedules: Vec<ReplayedSchedule>,
    /// What was changed in the files, as a unified diff.
    pub changes: String,
    pub elapsed: Duration,
}

/// One file.
#[derive(Debug, Clone)]
pub struct ReplayedSchedule {
    pub path: PathBuf,
    pub status: Status,
    /// Its expectation was changed to what it did.
    pub updated: bool,
    /// The command that replays it again.
    pub again: String,
    /// What it did, or why it could not be run.
    pub result: Result<Replay, Unrunnable>,
}

/// Why a file could not be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrunnable {
    pub message: String,
    /// The file and the line, counted from 1, of what is wrong; `None` if that is not in a file.
    pub place: Option<(String, usize)>,
}

/// How a replayed file counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Passed,
    Failed,
    /// It holds as expected, but something was not under control.
    Inconclusive,
    /// It could not be run.
    Error,
}

impl Status {
    fn of(replayed: &Replayed) -> Status {
        match &replayed.result {
            _ if replayed.updated => Status::Passed,
            Err(_) => Status::Error,
            Ok(replay) => match replay.judgement {
                Judgement::Met => Status::Passed,
                Judgement::NotControlled(_) => Status::Inconclusive,
                _ => Status::Failed,
            },
        }
    }
}

impl Replays {
    /// `again` is the command that replays a file again.
    pub fn new(replayed: &[Replayed], again: impl Fn(&Path) -> String, changes: String, elapsed: Duration) -> Replays {
        let schedules = replayed.iter().map(|one| ReplayedSchedule {
            path: one.path.clone(),
            status: Status::of(one),
            updated: one.updated,
            again: again(&one.path),
            result: one.result.as_ref().map(Replay::clone).map_err(|error| Unrunnable {
                message: error.to_string(),
                place: error.place(),
            }),
        });
        Replays {
            schedules: schedules.collect(),
            changes,
            elapsed,
        }
    }

    pub fn count(&self, status: Status) -> usize {
        self.schedules.iter().filter(|one| one.status == status).count()
    }

    pub fn all_passed(&self) -> bool {
        self.count(Status::Passed) == self.schedules.len()
    }
}

impl ReplayedSchedule {
    pub fn elapsed(&self) -> Duration {
        self.result.as_ref().map_or(Duration::ZERO, |replay| replay.elapsed)
    }
}
