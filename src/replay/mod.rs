//! Runs pinned schedules as tests: does each still lead to what it is pinned for?

mod all;
mod judgement;
mod one;
mod update;

pub use all::{find_files, replay_all};
pub use judgement::Judgement;
pub use one::{Replay, replay};
pub use update::update;

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::run::RunError;
use crate::scenario::ScenarioError;
use crate::schedule::ScheduleError;

/// A replayed file.
#[derive(Debug)]
pub struct Replayed {
    pub path: PathBuf,
    pub result: Result<Replay, ReplayError>,
    /// Its expectation was changed to what it did.
    pub updated: bool,
}

/// How pinned schedules are run.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// How many schedules run at a time, each on scratch databases of its own.
    pub jobs: usize,
    /// How often each is run; the histories must be identical.
    pub times: u32,
    /// The longest time that a step may take while it does not wait for another session.
    pub step_timeout: Duration,
    /// Cancelling this ends the replay early; schedules not yet run then end with [`RunError::Interrupted`].
    pub interrupt: CancellationToken,
}

/// Why a pinned schedule cannot be run.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ReplayError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Schedule(#[from] ScheduleError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("cannot read {}: {cause}", .path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("cannot write {}: {cause}", .path.display())]
    Unwritable { path: PathBuf, cause: std::io::Error },
}

impl ReplayError {
    /// The file's name and the line, counted from 1, of what is wrong; `None` if that is not in a file.
    pub fn place(&self) -> Option<(String, usize)> {
        match self {
            ReplayError::Schedule(error) => error.place(),
            ReplayError::Scenario(error) => error.place(),
            ReplayError::Run(error) => error.place(),
            ReplayError::Unreadable { .. } | ReplayError::Unwritable { .. } => None,
        }
    }
}
