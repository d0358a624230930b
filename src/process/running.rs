//! What a session's program runs as.

use std::io;
use std::task::{Context, Poll};

use super::{Group, Launched, Output, Task};
use crate::history::Exit;

/// A program that runs, in processes of its own or in this one.
#[derive(Debug)]
pub enum Running {
    Process(Launched),
    Closure(Task),
}

impl Running {
    /// Its processes; `None` where it has none of its own.
    pub fn group(&self) -> Option<&Group> {
        match self {
            Running::Process(process) => Some(process.group()),
            Running::Closure(_) => None,
        }
    }

    /// How it ended, once it has.
    pub fn poll_exit(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Exit>> {
        match self {
            Running::Process(process) => process.poll_exit(cx).map_ok(Exit::of),
            Running::Closure(task) => task.poll_exit(cx).map(Ok),
        }
    }

    /// How it has ended by now; `None` of a closure.
    pub fn has_ended(&mut self) -> Option<Exit> {
        match self {
            Running::Process(process) => process.has_ended().map(Exit::of),
            Running::Closure(_) => None,
        }
    }

    /// Ends what is left of it.
    pub async fn end(&mut self) {
        match self {
            Running::Process(process) => process.end().await,
            Running::Closure(task) => task.end().await,
        }
    }

    /// What it has printed so far, or the text of its error.
    pub fn output(&self) -> Output {
        match self {
            Running::Process(process) => process.output(),
            Running::Closure(task) => task.output(),
        }
    }
}
