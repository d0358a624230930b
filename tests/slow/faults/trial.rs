//! One trial: a task, a fault, a moment, and what must hold afterwards.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pgbraid::schedule::PinnedFile;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use super::fake_server::{FakeServer, Until};
use super::fault::{FAULTS, Fault, Leftovers, Moment, Stream};
use super::given::Given;
use super::inject::Injection;
use super::limits::{self, Limit};
use super::processes;
use super::program::{self, Ended, Reading};
use super::proxy::Proxy;
use super::table::Report;
use super::task::{self, NEXT, TASKS, Task, Writes};
use crate::common::program::{open, open_folder, pgbraid};

/// How long a server may take to end after its run has.
const END_LIMIT: Duration = Duration::from_secs(12);

/// A fake server's client is interrupted when it waits for longer.
const PATIENCE: Duration = Duration::from_secs(4);

/// More memory than any of the tasks needs, in kB.
const MEMORY: u64 = 500_000;

/// What trials that follow each other share.
pub struct Bench {
    given: Option<Given>,
    may_mount: bool,
    usual: HashMap<(String, bool), Duration>,
}

/// The folders of one trial.
struct Place {
    root: TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { root: open_folder() };
        for folder in [place.tmpdir(), place.files()] {
            fs::create_dir_all(&folder).unwrap();
            open(&folder);
        }
        place
    }

    fn tmpdir(&self) -> PathBuf {
        self.root.path().join("t")
    }

    /// For what pgbraid is told to write.
    fn files(&self) -> PathBuf {
        self.root.path().join("files")
    }

    fn command(&self, task: &Task, jobs: u32) -> Command {
        let mut command = pgbraid();
        command
            .args(task.arguments(&self.files()))
            .args(["--jobs", &jobs.to_string()])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("TMPDIR", self.tmpdir())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl Bench {
    pub fn new() -> Bench {
        Bench {
            given: None,
            may_mount: limits::own_mounts(),
            usual: HashMap::new(),
        }
    }

    fn given(&mut self) -> &Given {
        self.given.take_if(|given| !given.is_ready());
        self.given.get_or_insert_with(Given::start)
    }

    /// Makes a trial; `only` is the beginning of the faults' names that may be drawn.
    pub fn run(&mut self, seed: u64, number: usize, only: Option<&str>) -> Report {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number as u64);
        let faults: Vec<_> = FAULTS
            .iter()
            .filter(|(name, _)| only.is_none_or(|only| name.starts_with(only)))
            .collect();
        // each kind is as often as any other, in a short run as well
        let (name, draw) = faults[number % faults.len()];
        let fault = draw(&mut rng);
        let mut report = Report {
            fault: name,
            what: format!("{fault:?}"),
            ..Report::default()
        };
        if matches!(fault, Fault::Limit(limit) if limit.takes_mounts()) && !self.may_mount {
            return report;
        }
        let given = match fault.servers() {
            // quicker
            (true, true) => rng.random_ratio(2, 3),
            (_, given) => given,
        };
        let task = match fault {
            Fault::Limit(Limit::FullDiskForFiles(_)) => writing(&mut rng),
            _ => TASKS.choose(&mut rng).unwrap(),
        };
        let moment = Moment::draw(&mut rng);
        let server = if given { "given server" } else { "embedded server" };
        report.what = format!("{}, {server}, {fault:?}", task.name());
        if fault.has_a_moment() {
            report.what += &format!(" at {moment:?}");
        }
        let usual = match (fault.has_a_moment(), moment) {
            (true, Moment::Share(_)) => match self.usual(task, given) {
                Ok(usual) => usual,
                Err(wrong) => {
                    report.wrong.push(wrong);
                    return report;
                }
            },
            _ => PATIENCE,
        };
        self.disturb(&mut report, &mut rng, task, fault, moment, given, usual);
        report
    }

    /// How long a task takes when nothing disturbs it.
    fn usual(&mut self, task: &Task, given: bool) -> Result<Duration, String> {
        let key = (task.name(), given);
        if let Some(&usual) = self.usual.get(&key) {
            return Ok(usual);
        }
        let place = Place::new();
        make_folder(task, &place);
        let mut command = place.command(task, 2);
        if given {
            command.arg("--database-url").arg(self.given().url());
        }
        let ended = program::run(command, Reading::default(), Injection::default());
        if ended.code != task.code {
            return Err(format!("undisturbed it ends with {}: {}", ended.code, ended.errors));
        }
        self.usual.insert(key, ended.took);
        Ok(ended.took)
    }

    #[allow(clippy::too_many_arguments)]
    fn disturb(
        &mut self,
        report: &mut Report,
        rng: &mut ChaCha8Rng,
        task: &Task,
        fault: Fault,
        moment: Moment,
        given: bool,
        usual: Duration,
    ) {
        let place = Place::new();
        let mut command = place.command(task, rng.random_range(1..=3));
        if !given && fault.has_a_moment() && rng.random_ratio(1, 5) {
            command.env_remove("TMPDIR");
        }
        let mut reading = Reading::default();
        let mounted = match fault {
            Fault::Limit(limit) => Some(limit.impose(&mut command, &place.tmpdir(), &place.files())),
            _ => None,
        };
        let old_report = task.writes == Writes::PinAndReport && rng.random();
        if old_report && !matches!(fault, Fault::Limit(Limit::FullDiskForFiles(_))) {
            fs::write(task::report(&place.files()), "{\"old\": true}").unwrap();
        }
        make_folder(task, &place);
        match fault {
            Fault::Closed(Stream::Stdout, after) => reading.stdout = Some(after),
            Fault::Closed(Stream::Stderr, after) => reading.stderr = Some(after),
            Fault::NoStream(stream) => without(&mut command, stream),
            Fault::StdoutFull => drop(command.stdout(File::options().write(true).open("/dev/full").unwrap())),
            _ => {}
        }
        let fake = match fault {
            Fault::Fake(nonsense) => {
                let until = [Until::Connected, Until::Started, Until::Asked].choose(rng).unwrap();
                report.what += &format!(", {until:?}");
                Some(FakeServer::start(nonsense, *until))
            }
            _ => None,
        };
        let proxy = match fault {
            Fault::Proxy(meddling) => {
                let connection = rng.random_range(0..8);
                report.what += &format!(", connection {connection}");
                Some(Proxy::start(self.given().socket(), meddling, connection))
            }
            _ => None,
        };
        let url = match (&fake, &proxy) {
            (Some(fake), _) => Some(fake.url()),
            (_, Some(proxy)) => Some(proxy.url()),
            _ if given => Some(self.given().url()),
            _ => None,
        };
        if let Some(url) = url {
            command.arg("--database-url").arg(url);
        }
        let postmaster = (given && fake.is_none()).then(|| self.given().postmaster());
        let injection = match fault {
            Fault::Fake(_) => Injection::interrupt_after(PATIENCE),
            fault if fault.has_a_moment() => Injection::new(fault, moment, usual, &place.tmpdir(), postmaster),
            _ => Injection::default(),
        };
        let ended = program::run(command, reading, injection);
        drop(fake);
        drop(proxy);
        report.code = Some(ended.code);
        report.wrong = said_wrong(&ended, task, fault);
        report
            .wrong
            .extend(unfinished_files(task, &place.files(), fault.leftovers(given)));
        self.look_for_leftovers(report, &place, fault, postmaster.is_some(), &ended);
        drop(mounted);
    }

    /// Nothing may be left, or what may is removed by the next run.
    fn look_for_leftovers(&mut self, report: &mut Report, place: &Place, fault: Fault, given: bool, ended: &Ended) {
        if let Some(wrong) = still_running(ended.pid) {
            report.wrong.push(wrong);
        }
        let left = self.left(place, given, ended);
        if left.is_empty() {
            return;
        }
        if fault.leftovers(given) == Leftovers::None && !ended.hung {
            report.wrong.push(format!("left behind: {}", left.join(", ")));
        }
        let mut next = place.command(&NEXT, 1);
        if given {
            next.arg("--database-url").arg(self.given().url());
        }
        let next = program::run(next, Reading::default(), Injection::default());
        if next.code != NEXT.code {
            report
                .wrong
                .push(format!("the next run ends with {}: {}", next.code, next.errors));
        }
        let left = self.left(place, given, ended);
        match left.is_empty() {
            true => report.swept = true,
            false => report
                .wrong
                .push(format!("not removed by the next run: {}", left.join(", "))),
        }
        let also = self.left(place, given, &next);
        if !also.is_empty() {
            report
                .wrong
                .push(format!("left behind by the next run: {}", also.join(", ")));
        }
    }

    fn left(&mut self, place: &Place, given: bool, ended: &Ended) -> Vec<String> {
        let folders = processes::run_folders(ended.pid, &place.tmpdir());
        let mut left: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let segments = processes::segments(&ended.processes, ended.began);
        left.extend(segments.iter().map(|segment| format!("segment {segment}")));
        if given {
            let databases = self.given().databases(ended.pid);
            left.extend(databases.iter().map(|database| format!("database {database}")));
        }
        left
    }
}

/// `--results` is a folder that there is.
fn make_folder(task: &Task, place: &Place) {
    if task.writes == Writes::Results {
        fs::create_dir_all(task::pins(&place.files())).unwrap();
    }
}

/// A task that writes files.
fn writing(rng: &mut ChaCha8Rng) -> &'static Task {
    let tasks: Vec<&Task> = TASKS.iter().filter(|task| task.writes != Writes::Nothing).collect();
    tasks.choose(rng).unwrap()
}

fn without(command: &mut Command, stream: Stream) {
    let descriptor = match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    // SAFETY: one system call, on a descriptor that nothing else uses
    unsafe {
        command.pre_exec(move || {
            libc::close(descriptor);
            Ok(())
        });
    }
}

/// What is wrong with how the run ended.
fn said_wrong(ended: &Ended, task: &Task, fault: Fault) -> Vec<String> {
    let mut wrong = Vec::new();
    if ended.hung {
        wrong.push("it hangs".to_owned());
    } else if !fault.allows(task.code, ended.code) {
        let said: String = ended.errors.chars().take(600).collect();
        wrong.push(format!(
            "it ends with {} where {} is the answer: {said}",
            ended.code, task.code
        ));
    }
    let panics = ["panicked at", "RUST_BACKTRACE"]
        .iter()
        .any(|word| ended.errors.contains(word));
    let crashed = [101, Signal::SIGABRT as i32 + 128, Signal::SIGSEGV as i32 + 128].contains(&ended.code);
    if panics || crashed {
        wrong.push(format!("it panics: {}", ended.errors));
    }
    if ended.memory > MEMORY {
        wrong.push(format!("it uses {} MB", ended.memory / 1_000));
    }
    wrong
}

/// Files are whole, or not there; those that were there before may be as they were.
fn unfinished_files(task: &Task, files: &Path, leftovers: Leftovers) -> Vec<String> {
    let mut wrong = Vec::new();
    let report = task::report(files);
    if let Ok(text) = fs::read_to_string(&report)
        && serde_json::from_str::<serde_json::Value>(&text).is_err()
    {
        wrong.push(format!("the report is not whole: {} bytes", text.len()));
    }
    let written = fs::read_dir(task::pins(files)).into_iter().flatten().flatten();
    for path in written.map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // a file that is to be renamed may stay when pgbraid is killed
        let may_stay = name.starts_with('.') && leftovers == Leftovers::UntilTheNextRun;
        let whole = match task.writes {
            Writes::PinAndReport => PinnedFile::read(&path).is_ok(),
            _ => fs::read_to_string(&path).is_ok_and(|text| text.contains("Parsed test spec")),
        };
        if !whole && !may_stay {
            wrong.push(format!("{name} is not whole"));
        }
    }
    wrong
}

/// A server that does not end with its run.
fn still_running(run: u32) -> Option<String> {
    let deadline = Instant::now() + END_LIMIT;
    loop {
        let running = processes::of_run(run);
        let (process, command) = running.first()?;
        if Instant::now() > deadline {
            for (process, _) in &running {
                processes::send(*process, Signal::SIGKILL);
            }
            return Some(format!(
                "{} processes still run, such as {process}: {command}",
                running.len()
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
