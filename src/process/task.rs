//! A closure that runs as a program does: with threads of its own, which are ended with all that it has started.

use std::any::Any;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::Output;
use crate::history::Exit;

/// How long what is ended may take to notice.
const LONGEST_ENDING: Duration = Duration::from_secs(1);

/// A future on a runtime of its own. Dropping it ends it and all tasks that it has spawned.
#[derive(Debug)]
pub struct Task {
    runtime: Option<Runtime>,
    work: JoinHandle<Result<(), String>>,
    ended: Option<Result<(), String>>,
}

impl Task {
    /// Starts what `begin` makes, which is called on the runtime.
    ///
    /// # Errors
    /// When no runtime can be made.
    pub fn start<F>(begin: impl FnOnce() -> F + Send + 'static) -> io::Result<Task>
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        // with the worker's own runtime, a closure that blocks its thread would stop the clock that ends it
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("pgbraid-closure")
            .enable_all()
            .build()?;
        let work = runtime.spawn(async move { begin().await });
        Ok(Task {
            runtime: Some(runtime),
            work,
            ended: None,
        })
    }

    /// How it ended, once it has: with exit code 1 for an error or a panic.
    pub fn poll_exit(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        if self.ended.is_none() {
            let joined = ready!(std::pin::pin!(&mut self.work).poll(cx));
            self.ended = Some(joined.unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => Err(format!("panicked: {}", message(&*panic))),
                Err(_) => Err("cancelled".to_owned()),
            }));
        }
        Poll::Ready(Exit::Code(i32::from(!matches!(self.ended, Some(Ok(()))))))
    }

    /// The text of its error.
    pub fn output(&self) -> Output {
        let error = match &self.ended {
            Some(Err(error)) => error.clone() + "\n",
            _ => String::new(),
        };
        Output {
            stdout: String::new(),
            stderr: error,
        }
    }

    /// Ends it and all tasks that it has spawned.
    pub async fn end(&mut self) {
        self.work.abort();
        if let Some(runtime) = self.runtime.take() {
            // one that blocks its thread cannot be ended, and is left to itself
            let _ = timeout(
                2 * LONGEST_ENDING,
                spawn_blocking(move || runtime.shutdown_timeout(LONGEST_ENDING)),
            )
            .await;
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.work.abort();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with no message")
}
