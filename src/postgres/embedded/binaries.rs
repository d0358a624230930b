//! Finds the server's programs.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{self, Path, PathBuf};
use std::process::Output;

use super::account::{Account, act_as};
use super::command::{server_command, spawn_error};
use super::error::EmbeddedError;
use crate::postgres::server::OLDEST_MAJOR;

/// The environment variable that names the folder of the server's programs.
pub(super) const BINDIR_VARIABLE: &str = "PGBRAID_PG_BINDIR";

/// What a folder must contain to be usable.
const PROGRAMS: [&str; 2] = ["postgres", "initdb"];

/// Where distributions put the programs; `*` stands for any text within one path component.
const USUAL_FOLDERS: [&str; 8] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/local/pgsql*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/opt/local/lib/postgresql*/bin",
];

/// A PostgreSQL version, as `postgres --version` gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerVersion {
    /// The major version: 17 of `17.2`, 9 of `9.6.24`.
    pub major: u32,
    /// The version in full: `17.2`, `18beta1`.
    pub text: String,
}

impl ServerVersion {
    /// Reads what `postgres --version` prints: `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    fn parse(printed: &str) -> Option<ServerVersion> {
        let (_, rest) = printed.split_once("(PostgreSQL)")?;
        let text = rest.split_whitespace().next()?;
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        Some(ServerVersion {
            major: text[..digits].parse().ok()?,
            text: text.to_owned(),
        })
    }
}

/// A folder that holds `postgres` and `initdb`, and the version of what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    dir: PathBuf,
    version: ServerVersion,
}

impl Binaries {
    /// Finds a server to start: in the folder that `PGBRAID_PG_BINDIR` names, else where `pg_config --bindir` points,
    /// else on the PATH, else in the folders that distributions use, the newest version first.
    ///
    /// # Errors
    ///
    /// `PGBRAID_PG_BINDIR` is set but names a folder without a usable server, or there is no server at all, or none of
    /// version 14 or newer.
    pub fn find() -> Result<Binaries, EmbeddedError> {
        let search = Search {
            bindir: env::var_os(BINDIR_VARIABLE),
            path: env::var_os("PATH"),
            root: PathBuf::from("/"),
        };
        search.find()
    }

    /// A client program of this name: the server's, which is of its version, else the one on the PATH.
    pub fn client(name: &str) -> PathBuf {
        let of_server = Binaries::find().map(|binaries| binaries.dir.join(name));
        of_server
            .ok()
            .filter(|path| path.is_file())
            .unwrap_or_else(|| PathBuf::from(name))
    }

    /// The folder that the programs are in; an absolute path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The version of the server.
    pub fn version(&self) -> &ServerVersion {
        &self.version
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    /// The programs in `dir`.
    ///
    /// # Errors
    ///
    /// `dir` lacks `postgres` or `initdb`, `postgres --version` does not answer, or it tells a version before 14.
    pub fn in_dir(dir: &Path) -> Result<Binaries, EmbeddedError> {
        // Absolute, because the server does not run in the folder that pgbraid was started in.
        let dir = path::absolute(dir).map_err(|source| EmbeddedError::File {
            path: dir.to_owned(),
            source,
        })?;
        let missing: Vec<_> = PROGRAMS
            .into_iter()
            .filter(|program| !is_executable(&dir.join(program)))
            .collect();
        if !missing.is_empty() {
            return Err(EmbeddedError::IncompleteBinaries { dir, missing });
        }
        let version = version_of(&dir.join("postgres"))?;
        if version.major < OLDEST_MAJOR {
            return Err(EmbeddedError::TooOld { dir, version });
        }
        Ok(Binaries { dir, version })
    }
}

/// The output of one of the server's programs, run as the server's account, since the program may belong to it.
fn output_of(program: &Path, argument: &str) -> Result<Output, EmbeddedError> {
    let account = Account::for_server()?;
    let mut command = server_command(program, Path::new("/"));
    command.arg(argument);
    act_as(account.as_ref(), || command.output())?.map_err(|source| spawn_error(&command, account.as_ref(), source))
}

fn version_of(postgres: &Path) -> Result<ServerVersion, EmbeddedError> {
    let output = output_of(postgres, "--version")?;
    ServerVersion::parse(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
        let said = [output.stdout, output.stderr].concat();
        let answer = format!("{} {}", String::from_utf8_lossy(&said).trim(), output.status);
        EmbeddedError::UnknownVersion {
            command: format!("{} --version", postgres.display()),
            answer: answer.trim_start().to_owned(),
        }
    })
}

fn is_executable(program: &Path) -> bool {
    fs::metadata(program).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// What the search depends on.
struct Search {
    /// The value of `PGBRAID_PG_BINDIR`.
    bindir: Option<OsString>,
    /// The value of `PATH`.
    path: Option<OsString>,
    /// The folder below which the usual folders lie.
    root: PathBuf,
}

/// The places that had no usable server.
#[derive(Default)]
struct Rejected {
    looked: Vec<String>,
    too_old: Option<EmbeddedError>,
}

impl Rejected {
    fn note(&mut self, place: &str, why: EmbeddedError) {
        self.looked.push(format!("{place}: {why}"));
        if matches!(why, EmbeddedError::TooOld { .. }) {
            self.too_old.get_or_insert(why);
        }
    }

    fn into_error(self) -> EmbeddedError {
        self.too_old
            .unwrap_or(EmbeddedError::NoBinaries { looked: self.looked })
    }
}

impl Search {
    fn find(&self) -> Result<Binaries, EmbeddedError> {
        // without an account to run it, there is no point in looking
        Account::for_server()?;
        if let Some(dir) = self.bindir.as_ref().filter(|dir| !dir.is_empty()) {
            return Binaries::in_dir(Path::new(dir));
        }
        let mut rejected = Rejected::default();
        rejected.looked.push(format!("{BINDIR_VARIABLE}: not set"));
        self.by_pg_config(&mut rejected)
            .or_else(|| self.on_path(&mut rejected))
            .or_else(|| self.in_usual_folders(&mut rejected))
            .ok_or_else(|| rejected.into_error())
    }

    fn path_folders(&self) -> impl Iterator<Item = PathBuf> {
        self.path
            .iter()
            .flat_map(env::split_paths)
            .filter(|dir| !dir.as_os_str().is_empty())
    }

    /// `pg_config` comes with the client libraries, so the folder that it names may well contain no server.
    fn by_pg_config(&self, rejected: &mut Rejected) -> Option<Binaries> {
        let place = "pg_config --bindir";
        let Some(pg_config) = self
            .path_folders()
            .map(|dir| dir.join("pg_config"))
            .find(|file| is_executable(file))
        else {
            rejected
                .looked
                .push(format!("{place}: there is no pg_config on the PATH"));
            return None;
        };
        let printed = match output_of(&pg_config, "--bindir") {
            Ok(output) if output.status.success() => output.stdout,
            Ok(output) => {
                rejected.looked.push(format!("{place}: failed ({})", output.status));
                return None;
            }
            Err(error) => {
                rejected.looked.push(format!("{place}: {error}"));
                return None;
            }
        };
        let dir = String::from_utf8_lossy(&printed);
        Binaries::in_dir(Path::new(dir.trim()))
            .map_err(|why| rejected.note(place, why))
            .ok()
    }

    fn on_path(&self, rejected: &mut Rejected) -> Option<Binaries> {
        let mut dirs = self
            .path_folders()
            .filter(|dir| PROGRAMS.iter().all(|program| is_executable(&dir.join(program))));
        let found = dirs.find_map(|dir| Binaries::in_dir(&dir).map_err(|why| rejected.note("PATH", why)).ok());
        if found.is_none() {
            rejected
                .looked
                .push("PATH: no folder with a usable `postgres` and `initdb`".to_owned());
        }
        found
    }

    fn in_usual_folders(&self, rejected: &mut Rejected) -> Option<Binaries> {
        let mut found = Vec::new();
        for pattern in USUAL_FOLDERS {
            let dirs = expand(&self.root, pattern);
            if dirs.is_empty() {
                rejected.looked.push(format!("{pattern}: no such folder"));
            }
            for dir in dirs {
                match Binaries::in_dir(&dir) {
                    Ok(binaries) => found.push(binaries),
                    Err(why) => rejected.note(pattern, why),
                }
            }
        }
        // stable, so that of equal versions the one in the first folder is taken
        found.sort_by_key(|binaries| std::cmp::Reverse(binaries.version.major));
        found.into_iter().next()
    }
}

/// The folders below `root` that match `pattern`, in the order of their names.
fn expand(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut matches = vec![root.to_owned()];
    for component in pattern.split('/').filter(|component| !component.is_empty()) {
        matches = match component.split_once('*') {
            None => matches.into_iter().map(|dir| dir.join(component)).collect(),
            Some((prefix, suffix)) => matches
                .iter()
                .flat_map(|dir| children_named(dir, prefix, suffix))
                .collect(),
        };
    }
    matches.retain(|dir| dir.is_dir());
    matches
}

fn children_named(dir: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.strip_prefix(prefix).is_some_and(|rest| rest.ends_with(suffix)))
        .collect();
    names.sort();
    names.into_iter().map(|name| dir.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::process::Command;

    /// A folder to put fake installations in, and the search that sees only them.
    struct Machine {
        root: tempfile::TempDir,
        search: Search,
    }

    impl Machine {
        fn new() -> Machine {
            let root = tempfile::tempdir_in("/tmp").unwrap();
            // The server's account can enter it.
            fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let search = Search {
                bindir: None,
                path: None,
                root: root.path().to_owned(),
            };
            Machine { root, search }
        }

        fn dir(&self, dir: &str) -> PathBuf {
            self.root.path().join(dir.trim_start_matches('/'))
        }

        /// A shell writes the script: a file that this process has had open for writing could be held open by the child
        /// of a test on another thread, and would not execute then ("text file busy").
        fn script(&self, dir: &str, program: &str, prints: &str) {
            let written = Command::new("/bin/sh")
                .args([
                    "-c",
                    r#"mkdir -p "$1" && printf '#!/bin/sh\necho "%s"\n' "$3" >"$1/$2" && chmod 755 "$1/$2""#,
                ])
                .arg("sh")
                .arg(self.dir(dir))
                .args([program, prints])
                .status()
                .unwrap();
            assert!(written.success());
        }

        fn server(&self, dir: &str, version: &str) {
            self.script(dir, "postgres", &format!("postgres (PostgreSQL) {version}"));
            self.script(dir, "initdb", &format!("initdb (PostgreSQL) {version}"));
        }

        fn pg_config(&self, dir: &str, bindir: &str) {
            self.script(dir, "pg_config", &self.dir(bindir).to_string_lossy());
        }

        fn path(&mut self, dirs: &[&str]) {
            self.search.path = Some(env::join_paths(dirs.iter().map(|dir| self.dir(dir))).unwrap());
        }

        fn found(&self) -> PathBuf {
            self.search
                .find()
                .unwrap()
                .dir
                .strip_prefix(self.root.path())
                .unwrap()
                .to_owned()
        }
    }

    #[test]
    fn versions() {
        let parsed = |printed| ServerVersion::parse(printed).map(|version| (version.major, version.text));
        let version = |major, text: &str| Some((major, text.to_owned()));
        assert_eq!(
            parsed("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            version(15, "15.18"),
            "with a distribution's own version"
        );
        assert_eq!(parsed("postgres (PostgreSQL) 18.1\n"), version(18, "18.1"));
        assert_eq!(parsed("postgres (PostgreSQL) 18beta1\n"), version(18, "18beta1"));
        assert_eq!(parsed("postgres (PostgreSQL) 9.6.24\n"), version(9, "9.6.24"));
        assert_eq!(parsed("postgres (PostgreSQL)\n"), None);
        assert_eq!(parsed("postgres (PostgreSQL) devel\n"), None);
        assert_eq!(parsed("error while loading shared libraries\n"), None);
    }

    #[test]
    fn the_variable_comes_first() {
        let mut machine = Machine::new();
        machine.server("mine", "14.3");
        machine.server("/usr/lib/postgresql/17/bin", "17.2");
        machine.pg_config("client", "/usr/lib/postgresql/17/bin");
        machine.path(&["client"]);
        machine.search.bindir = Some(machine.dir("mine").into());
        assert_eq!(machine.found(), Path::new("mine"));
        machine.search.bindir = Some(OsString::new());
        assert_eq!(
            machine.found(),
            Path::new("usr/lib/postgresql/17/bin"),
            "empty is as good as not set"
        );
    }

    #[test]
    fn the_variable_must_name_a_server() {
        let mut machine = Machine::new();
        machine.server("/usr/lib/postgresql/17/bin", "17.2");
        machine.script("half", "postgres", "postgres (PostgreSQL) 17.2");
        machine.search.bindir = Some(machine.dir("half").into());
        match machine.search.find() {
            Err(EmbeddedError::IncompleteBinaries { dir, missing }) => {
                assert_eq!(dir, machine.dir("half"));
                assert_eq!(missing, ["initdb"]);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_program_must_be_executable() {
        let mut machine = Machine::new();
        machine.server("mine", "17.2");
        fs::set_permissions(machine.dir("mine/initdb"), fs::Permissions::from_mode(0o644)).unwrap();
        machine.search.bindir = Some(machine.dir("mine").into());
        assert!(matches!(
            machine.search.find(),
            Err(EmbeddedError::IncompleteBinaries { .. })
        ));
    }

    #[test]
    fn pg_config_comes_before_the_path() {
        let mut machine = Machine::new();
        machine.server("on-path", "17.2");
        machine.server("by-pg-config", "16.1");
        machine.pg_config("client", "by-pg-config");
        machine.path(&["on-path", "client"]);
        assert_eq!(machine.found(), Path::new("by-pg-config"));
    }

    #[test]
    fn pg_config_without_a_server_is_passed_over() {
        let mut machine = Machine::new();
        machine.pg_config("client", "nowhere");
        machine.script("half", "postgres", "postgres (PostgreSQL) 17.2");
        machine.server("on-path", "15.2");
        machine.path(&["client", "half", "on-path"]);
        assert_eq!(
            machine.found(),
            Path::new("on-path"),
            "both programs must lie side by side"
        );
    }

    #[test]
    fn the_newest_of_the_usual_folders() {
        let machine = Machine::new();
        machine.server("/usr/lib/postgresql/9.6/bin", "9.6.24");
        machine.server("/usr/lib/postgresql/13/bin", "13.2");
        machine.server("/usr/pgsql-16/bin", "16.1");
        machine.server("/opt/homebrew/opt/postgresql@14/bin", "14.9");
        assert_eq!(machine.found(), Path::new("usr/pgsql-16/bin"));
    }

    #[test]
    fn every_usual_folder_is_searched() {
        for folder in USUAL_FOLDERS {
            let machine = Machine::new();
            machine.server(&folder.replace('*', "17"), "17.2");
            assert_eq!(
                machine.dir(machine.found().to_str().unwrap()),
                machine.dir(&folder.replace('*', "17"))
            );
        }
    }

    #[test]
    fn no_server_says_where_it_looked() {
        let mut machine = Machine::new();
        machine.pg_config("client", "nowhere");
        machine.path(&["client"]);
        let error = machine.search.find().unwrap_err();
        let said = error.to_string();
        for place in ["PGBRAID_PG_BINDIR", "pg_config --bindir", "nowhere", "PATH"]
            .iter()
            .chain(&USUAL_FOLDERS)
        {
            assert!(said.contains(place), "{place} is missing in: {said}");
        }
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        for way_out in [
            "apt-get install postgresql",
            "dnf install postgresql-server",
            "brew install postgresql@17",
            "--database-url",
        ] {
            assert!(help.contains(way_out), "{way_out} is missing in: {help}");
        }
    }

    #[test]
    fn an_old_server_is_refused() {
        let mut machine = Machine::new();
        machine.server("/usr/lib/postgresql/13/bin", "13.22");
        assert!(matches!(machine.search.find(), Err(EmbeddedError::TooOld { version, .. }) if version.text == "13.22"));
        machine.search.bindir = Some(machine.dir("/usr/lib/postgresql/13/bin").into());
        assert!(matches!(machine.search.find(), Err(EmbeddedError::TooOld { .. })));
        machine.search.bindir = None;
        machine.server("/usr/local/pgsql/bin", "14.0");
        assert_eq!(
            machine.found(),
            Path::new("usr/local/pgsql/bin"),
            "a newer one elsewhere is taken"
        );
    }

    #[test]
    fn a_server_that_does_not_run_is_refused() {
        let mut machine = Machine::new();
        machine.script("broken", "postgres", "cannot load libpq.so.5");
        machine.script("broken", "initdb", "");
        machine.search.bindir = Some(machine.dir("broken").into());
        match machine.search.find() {
            Err(EmbeddedError::UnknownVersion { answer, .. }) => assert!(answer.contains("libpq.so.5"), "{answer}"),
            other => panic!("{other:?}"),
        }
    }
}
