use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use super::binaries::{BINDIR_VARIABLE, ServerVersion};
use crate::postgres::server::OLDEST_MAJOR;

/// Why there is no embedded server.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum EmbeddedError {
    #[error("no PostgreSQL server was found on this machine; looked at\n{}", bulleted(.looked))]
    #[diagnostic(help(
        "install one: `apt-get install postgresql` (Debian, Ubuntu), `dnf install postgresql-server` (Fedora), \
         `brew install postgresql@17` (macOS); or set {BINDIR_VARIABLE} to the folder that holds `postgres` and \
         `initdb`; or name a running server with --database-url"
    ))]
    NoBinaries {
        /// The places that were searched, in order, each with what was wrong there.
        looked: Vec<String>,
    },

    #[error("{} has no executable {}", .dir.display(), .missing.join(" and no executable "))]
    #[diagnostic(help("{BINDIR_VARIABLE} must name a folder that holds both `postgres` and `initdb`"))]
    IncompleteBinaries { dir: PathBuf, missing: Vec<&'static str> },

    #[error("`{command}` does not tell a PostgreSQL version: {answer}")]
    #[diagnostic(help("set {BINDIR_VARIABLE} to the folder of a PostgreSQL server that runs on this machine"))]
    UnknownVersion { command: String, answer: String },

    #[error("the server in {} is PostgreSQL {}, which is too old", .dir.display(), .version.text)]
    #[diagnostic(help(
        "PostgreSQL {OLDEST_MAJOR} or newer is needed; {BINDIR_VARIABLE} chooses among several, --database-url names a \
         running server"
    ))]
    TooOld { dir: PathBuf, version: ServerVersion },

    #[error("PostgreSQL does not run as root, and this machine has no other account to run it as")]
    #[diagnostic(help("add an account named postgres, or run pgbraid as an ordinary user"))]
    NoAccount,

    #[error("on this system pgbraid does not start a server as root")]
    #[diagnostic(help(
        "PostgreSQL does not run as root, and only Linux lets a part of a program act as another account; run pgbraid as \
         an ordinary user"
    ))]
    RootWithoutThreads,

    #[error("the account {account}, which the server is to run as, cannot execute {}", .program.display())]
    #[diagnostic(help(
        "PostgreSQL does not run as root; copy its installation to a folder that {account} can read and set \
         {BINDIR_VARIABLE}, or run pgbraid as an ordinary user"
    ))]
    UnreachableBinaries { program: PathBuf, account: String },

    #[error("cannot run the server as the account {account}")]
    #[diagnostic(help(
        "PostgreSQL does not run as root, and this root may not change to another account; run pgbraid as an ordinary \
         user"
    ))]
    SwitchAccount {
        account: String,
        #[source]
        source: io::Error,
    },

    #[error("no temporary folder can hold the server; tried\n{}", bulleted(.tried))]
    #[diagnostic(help("set TMPDIR to a folder with a short path that the server's account can write to"))]
    NoRunFolder {
        /// The folders that were tried, in order, each with what was wrong there.
        tried: Vec<String>,
    },

    #[error("cannot use {}", .path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },

    #[error("cannot run `{command}`")]
    Run {
        command: String,
        #[source]
        source: io::Error,
    },

    #[error("initdb failed ({status}):\n{output}")]
    #[diagnostic(help("the command was: {command}"))]
    Initdb {
        command: String,
        status: ExitStatus,
        output: String,
    },

    #[error("the server ended while it started ({status}):\n{log}")]
    #[diagnostic(help("the command was: {command}"))]
    EndedAtStart {
        command: String,
        status: ExitStatus,
        log: String,
    },

    #[error("the server was not ready after {seconds} seconds:\n{log}")]
    #[diagnostic(help("the command was: {command}"))]
    NotReady { command: String, seconds: u64, log: String },

    #[error("interrupted while the server started")]
    Interrupted,

    #[error("the thread that keeps the server failed")]
    Keeper(#[source] io::Error),

    #[error("the server (process {pid}) could not be stopped")]
    Stop {
        pid: u32,
        #[source]
        source: io::Error,
    },
}

fn bulleted(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("  - {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
