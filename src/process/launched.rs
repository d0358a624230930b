//! Starts a program, keeps what it prints, and ends it with all that it has started.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::group::Group;

/// How much of what a program prints is kept, from the beginning of each stream.
const MOST_KEPT: usize = 64 << 10;

/// How long a program's last output may take to be read once the program is gone.
const LONGEST_READING: Duration = Duration::from_secs(1);

/// How a program is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program and its arguments; never empty.
    pub command: Vec<String>,
    /// Set beside what pgbraid's own environment holds.
    pub variables: Vec<(String, String)>,
    pub folder: PathBuf,
    /// What it is given to read.
    pub stdin: String,
    /// A text of one of the variables that no other process has in its environment.
    pub marker: String,
}

/// What a program has printed, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
}

type Kept = Arc<Mutex<Vec<u8>>>;

/// A program that was started. Dropping it kills it and what it has started.
#[derive(Debug)]
pub struct Launched {
    child: Child,
    group: Group,
    status: Option<ExitStatus>,
    stdout: Kept,
    stderr: Kept,
    streams: JoinSet<()>,
}

impl Launched {
    /// Starts a program, in a process group of its own.
    ///
    /// # Errors
    /// When there is no such program, or it cannot be run.
    pub fn start(launch: &Launch) -> io::Result<Launched> {
        let mut words = launch.command.iter().map(OsString::from);
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .envs(launch.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&launch.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let group = Group::of(child.id(), &launch.marker);
        let mut streams = JoinSet::new();
        if let Some(mut stdin) = child.stdin.take() {
            let text = launch.stdin.clone();
            streams.spawn(async move {
                // it need not read it
                let _ = stdin.write_all(text.as_bytes()).await;
            });
        }
        let (stdout, stderr) = (Kept::default(), Kept::default());
        if let Some(stream) = child.stdout.take() {
            streams.spawn(keep(stream, stdout.clone()));
        }
        if let Some(stream) = child.stderr.take() {
            streams.spawn(keep(stream, stderr.clone()));
        }
        Ok(Launched {
            child,
            group,
            status: None,
            stdout,
            stderr,
            streams,
        })
    }

    /// The processes that it consists of.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// How it ended, once it has.
    pub fn poll_exit(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        if let Some(status) = self.status {
            return Poll::Ready(Ok(status));
        }
        let polled = std::pin::pin!(self.child.wait()).poll(cx);
        if let Poll::Ready(Ok(status)) = polled {
            self.status = Some(status);
        }
        polled
    }

    /// How it has ended by now.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Kills what is left of it, and waits until its output has been read.
    pub async fn end(&mut self) {
        self.kill();
        if let Ok(status) = self.child.wait().await {
            self.status.get_or_insert(status);
        }
        // a process that has left the program's group, and its environment, may keep them open
        let read = async { while self.streams.join_next().await.is_some() {} };
        if timeout(LONGEST_READING, read).await.is_err() {
            self.streams.shutdown().await;
        }
    }

    fn kill(&self) {
        self.group.kill(self.status.is_none());
    }

    /// Forgets what it has printed.
    pub fn forget_output(&self) {
        for kept in [&self.stdout, &self.stderr] {
            kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// What it has printed so far, or since that was forgotten.
    pub fn output(&self) -> Output {
        let text = |kept: &Kept| {
            let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&kept).into_owned()
        };
        Output {
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads a stream to its end. What is too much to keep is read all the same: a program must not wait for its reader.
async fn keep(mut stream: impl AsyncRead + Unpin, kept: Kept) {
    let mut buffer = vec![0; 8 << 10];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}
