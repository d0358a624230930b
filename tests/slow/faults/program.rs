//! Runs pgbraid once, watches it, and ends it when it hangs.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::inject::Injection;
use super::processes;

/// How long a run may take when it is disturbed, whatever the disturbance.
const BOUND: Duration = Duration::from_secs(60);

const LOOK_INTERVAL: Duration = Duration::from_millis(40);

/// What a run came to.
#[derive(Debug, Default)]
pub struct Ended {
    pub pid: u32,
    /// 128 and the signal where one ended it.
    pub code: i32,
    pub output: String,
    pub errors: String,
    pub hung: bool,
    pub took: Duration,
    /// In kB.
    pub memory: u64,
    /// When it was started, in seconds since 1970.
    pub began: u64,
    /// Every process of its server that was seen.
    pub processes: BTreeSet<i32>,
}

/// How much of a stream is read before it is closed; `None`: all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    pub stdout: Option<usize>,
    pub stderr: Option<usize>,
}

/// Runs `command`. Its streams go to pipes unless they were given others.
pub fn run(mut command: Command, reading: Reading, mut injection: Injection) -> Ended {
    let started = Instant::now();
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let output = child.stdout.take().map(|stream| read(stream, reading.stdout));
    let errors = child.stderr.take().map(|stream| read(stream, reading.stderr));
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut ended = Ended {
        pid: child.id(),
        began: since_1970.unwrap().as_secs(),
        ..Ended::default()
    };
    let mut looked = None;
    let status = loop {
        if looked.is_none_or(|at: Instant| at.elapsed() > LOOK_INTERVAL) {
            looked = Some(Instant::now());
            let found = processes::of_run(child.id());
            ended.processes.extend(found.into_iter().map(|(pid, _)| pid));
            ended.memory = ended.memory.max(processes::peak_memory(child.id()));
        }
        injection.step(child.id(), started);
        // only after this can its number be another's
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > BOUND {
            ended.hung = true;
            break end(&mut child);
        }
        std::thread::sleep(Duration::from_millis(3));
    };
    injection.finish();
    ended.code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    ended.took = started.elapsed();
    ended.output = text(output);
    ended.errors = text(errors);
    ended
}

fn end(child: &mut Child) -> ExitStatus {
    child.kill().unwrap();
    child.wait().unwrap()
}

fn read(mut stream: impl Read + Send + 'static, most: Option<usize>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = match most {
            Some(most) => stream.take(most as u64).read_to_end(&mut bytes),
            None => stream.read_to_end(&mut bytes),
        };
        bytes
    })
}

fn text(reader: Option<JoinHandle<Vec<u8>>>) -> String {
    let Some(reader) = reader else {
        return String::new();
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while !reader.is_finished() {
        if Instant::now() > deadline {
            return "the stream is still open".to_owned();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    String::from_utf8_lossy(&reader.join().unwrap()).into_owned()
}
