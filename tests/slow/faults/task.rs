//! What pgbraid is asked to do in a trial, and what it then says when nothing goes wrong.

use std::path::{Path, PathBuf};

/// A command whose answer is known.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    pub words: &'static [&'static str],
    /// Its exit code on any server.
    pub code: i32,
    /// Files that are named in `{}`: what the command may write.
    pub writes: Writes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    Nothing,
    /// `--pin DIR --output FILE --format json`
    PinAndReport,
    /// `--results DIR`
    Results,
}

const fn task(words: &'static [&'static str], code: i32, writes: Writes) -> Task {
    Task { words, code, writes }
}

use Writes::{Nothing, PinAndReport, Results};

pub const TASKS: &[Task] = &[
    task(&["explore", "fixtures/counter.toml"], 1, PinAndReport),
    task(
        &["explore", "fixtures/counter.toml", "--keep-going", "--no-shrink"],
        1,
        Nothing,
    ),
    task(
        &["explore", "fixtures/seats.toml", "--strategy", "exhaustive"],
        1,
        PinAndReport,
    ),
    task(&["explore", "fixtures/account-import.toml"], 1, PinAndReport),
    task(
        &["explore", "fixtures/transfer-sum.toml", "--strategy", "random"],
        1,
        PinAndReport,
    ),
    task(&["explore", "fixtures/write-skew.toml"], 1, PinAndReport),
    task(
        &["explore", "fixtures/counter-atomic.toml", "--strategy", "exhaustive"],
        0,
        Nothing,
    ),
    task(&["prove", "fixtures/counter-atomic.toml"], 0, Nothing),
    task(&["prove", "fixtures/stock-check.toml"], 0, Nothing),
    task(&["prove", "fixtures/write-skew-serializable.toml"], 0, Nothing),
    task(&["prove", "fixtures/stock-for-update.toml"], 0, Nothing),
    task(&["prove", "fixtures/insert-not-exists-unique.toml"], 0, Nothing),
    task(&["prove", "fixtures/list-refresh.toml"], 1, PinAndReport),
    task(
        &["replay", "schedules/counter.toml", "schedules/seats.toml"],
        0,
        Nothing,
    ),
    task(&["replay", "schedules/stock.toml", "--format", "junit"], 0, Nothing),
    task(&["shrink", "schedules/seats.toml"], 1, PinAndReport),
    task(&["shrink", "schedules/counter.toml", "--confirm", "3"], 1, PinAndReport),
    // not notices.spec, since notices are printed when they arrive: a delayed connection moves them
    task(
        &[
            "spec",
            "tests/slow/isolation/specs/interleavings.spec",
            "tests/slow/isolation/specs/values.spec",
            "tests/slow/isolation/specs/prepared.spec",
            "tests/slow/isolation/specs/unused-steps.spec",
            "--expected",
            "tests/slow/isolation/expected",
        ],
        0,
        Results,
    ),
    // not deadlock.spec, which depends on how fast the machine is
    task(&["spec", "tests/slow/isolation/specs/repeated-steps.spec"], 0, Nothing),
    task(&["spec", "tests/slow/isolation/specs/interleavings.spec"], 0, Nothing),
];

/// A short task that nothing disturbs: it finds what a run before it left.
pub const NEXT: Task = task(&["replay", "schedules/counter.toml"], 0, Nothing);

impl Task {
    /// The arguments, with files under `folder` for what is written.
    pub fn arguments(&self, folder: &Path) -> Vec<String> {
        let mut arguments: Vec<String> = self.words.iter().map(|&word| word.to_owned()).collect();
        let path = |path: PathBuf| path.display().to_string();
        match self.writes {
            Writes::Nothing => {}
            Writes::PinAndReport => arguments.extend([
                "--pin".to_owned(),
                path(pins(folder)),
                "--format=json".to_owned(),
                "--output".to_owned(),
                path(report(folder)),
            ]),
            Writes::Results => arguments.extend(["--results".to_owned(), path(pins(folder))]),
        }
        arguments
    }

    pub fn name(&self) -> String {
        self.words.join(" ")
    }
}

pub fn pins(folder: &Path) -> PathBuf {
    folder.join("pins")
}

pub fn report(folder: &Path) -> PathBuf {
    folder.join("report.json")
}
