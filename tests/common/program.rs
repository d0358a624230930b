//! Runs pgbraid.

use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::server::eventually;

/// A scenario of 3360 schedules, which is still running when a test interrupts it.
pub const LONG: &str = "last-items-for-update";

/// The scenario file of this name under `fixtures/`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(format!("{name}.toml"))
}

/// The PATH with the folder of the Python interpreter first: the name may stand for a script that looks for the
/// interpreter, which takes longer than a test's program.
static SEARCHED: LazyLock<OsString> = LazyLock::new(|| {
    let path = env::var_os("PATH").unwrap_or_default();
    let asked = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output();
    let Ok(asked) = asked else { return path };
    let interpreter = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    let folder = interpreter.parent().map(Path::to_owned);
    env::join_paths(folder.into_iter().chain(env::split_paths(&path))).unwrap()
});

/// The program, with no settings of the environment but a server's programs, and nothing to read.
pub fn pgbraid() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgbraid"));
    command.env("PATH", &*SEARCHED);
    for setting in ["PGBRAID_DATABASE_URL", "PGISOLATIONTIMEOUT", "NO_COLOR"] {
        command.env_remove(setting);
    }
    command.stdin(Stdio::null());
    command
}

/// A temporary folder that the account which a server runs as can enter.
pub fn open_folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("tests-").tempdir_in("/tmp").unwrap();
    open(folder.path());
    folder
}

/// Lets every account enter a folder, whatever the umask was when it was made.
pub fn open(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
}

/// The processes whose command lines name one of the servers' folders, as `ps` lists them: all of a server's do.
pub fn processes_of<P: AsRef<Path>>(run_folders: &[P]) -> Vec<String> {
    let listed = Command::new("ps")
        .args(["-A", "-ww", "-o", "pid=,command="])
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let name = |folder: &P| folder.as_ref().file_name().unwrap().to_str().unwrap().to_owned();
    let names: Vec<String> = run_folders.iter().map(name).collect();
    let lines = listed
        .lines()
        .filter(|line| names.iter().any(|name| line.contains(name)));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// A temporary folder for pgbraid, its server and the files of a test.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Place {
        Place(open_folder())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `pgbraid explore SCENARIO --strategy exhaustive --no-shrink`.
    pub fn explore(&self, scenario: &Path) -> Command {
        let mut command = self.pgbraid();
        command
            .arg("explore")
            .arg(scenario)
            .args(["--strategy", "exhaustive", "--no-shrink"]);
        command
    }

    pub fn pgbraid(&self) -> Command {
        let mut command = pgbraid();
        command.env("TMPDIR", self.path());
        command
    }

    /// The folders of servers that were started here.
    pub fn run_folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("pgbraid-"))
            .collect()
    }

    /// A backend of the embedded server that runs a session of a scenario, once there is one.
    pub fn session_backend(&self) -> Pid {
        let line = eventually("a session on the embedded server", || {
            let lines = processes_of(&self.run_folders());
            lines.into_iter().find(|line| line.contains(" pgbraid_scratch_"))
        });
        let (pid, _) = line.split_once(' ').unwrap();
        Pid::from_raw(pid.parse().unwrap())
    }
}

/// A run whose output goes to pipes.
pub struct Started(Child);

impl Started {
    pub fn new(mut command: Command) -> Started {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Started(command.spawn().unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }

    pub fn finish(self) -> Finished {
        Finished::new(self.0.wait_with_output().unwrap())
    }
}

/// A run that is over.
#[derive(Debug)]
pub struct Finished {
    /// `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn new(output: Output) -> Finished {
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The report of `--format json`: all of standard output.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails unless the run ended with `code`, said `words` on standard error, and reported nothing.
    pub fn assert_error(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "");
        // messages are wrapped to the width of a terminal
        let said = self.stderr.replace('│', " ");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(said.contains(word), "no {word:?} in:\n{}", self.stderr);
        }
    }
}

pub fn finish(mut command: Command) -> Finished {
    Finished::new(command.output().unwrap())
}
