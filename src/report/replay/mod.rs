//! What replaying pinned schedules came to.

mod json;
mod text;

pub use json::json;
pub use text::{annotation, details, headline, lines, summary};

use std::path::PathBuf;
use std::time::Duration;

use crate::replay::{Judgement, Replay, ReplayError};

/// A replayed file.
#[derive(Debug)]
pub struct Replayed {
    pub path: PathBuf,
    pub result: Result<Replay, ReplayError>,
    /// Its expectation was changed to what it did.
    pub updated: bool,
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

impl Replayed {
    pub fn status(&self) -> Status {
        match &self.result {
            _ if self.updated => Status::Passed,
            Err(_) => Status::Error,
            Ok(replay) => match replay.judgement {
                Judgement::Met => Status::Passed,
                Judgement::NotControlled(_) => Status::Inconclusive,
                _ => Status::Failed,
            },
        }
    }

    fn elapsed(&self) -> Duration {
        self.result.as_ref().map_or(Duration::ZERO, |replay| replay.elapsed)
    }
}
