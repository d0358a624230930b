//! PostgreSQL's isolationtester and pgbraid on the same specifications and the same server, one after the other.
//!
//! Both are given a fresh database for each specification, and both are timed from connecting to the last teardown: the
//! reference tester as a process, pgbraid in this one. The best of several rounds counts.
//!
//! Environment:
//! - `ISOLATIONTESTER`: the reference tester [default: the one that `pg_config` leads to]
//! - `PGBRAID_BENCH_SPECS`: a folder of specifications [default: those of the tests]
//! - `PGBRAID_BENCH_ROUNDS`: how often [default: 3]

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgbraid::isolation::{self, BlockingMonitor, DEFAULT_STEP_LIMIT, Options, Specification, TestError};
use pgbraid::postgres::Server;
use pgbraid::postgres::embedded::{Binaries, EmbeddedServer};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::config::Config;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let tester = reference_tester()?;
    let folder = match std::env::var_os("PGBRAID_BENCH_SPECS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slow/isolation/specs"),
    };
    let rounds = std::env::var("PGBRAID_BENCH_ROUNDS").map_or(Ok(3), |rounds| rounds.parse::<u32>())?;
    let mut bench = Bench::start()?;
    let mut total = (Duration::ZERO, Duration::ZERO);
    let mut slower = 0;
    println!("{:>12} {:>10} {:>7}", "reference", "pgbraid", "ratio");
    for path in specifications(&folder)? {
        let specification = Specification::from_file(&path)?;
        let mut best = (Duration::MAX, Duration::MAX);
        for _ in 0..rounds {
            best.0 = best.0.min(bench.reference(&tester, &path)?);
            best.1 = best.1.min(bench.pgbraid(&specification)?);
        }
        total = (total.0 + best.0, total.1 + best.1);
        slower += u32::from(best.1 > best.0);
        print_row(best, &specification.name);
    }
    print_row(total, "total");
    println!("slower than the reference on {slower} of them");
    Ok(())
}

fn print_row((reference, pgbraid): (Duration, Duration), name: &str) {
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let ratio = reference.as_secs_f64() / pgbraid.as_secs_f64();
    let (reference, pgbraid) = (milliseconds(reference), milliseconds(pgbraid));
    println!("{reference:>9.1} ms {pgbraid:>7.1} ms {ratio:>6.2}x  {name}");
}

struct Bench {
    runtime: Runtime,
    server: Server,
    monitor: BlockingMonitor,
    embedded: EmbeddedServer,
}

impl Bench {
    fn start() -> Result<Bench> {
        let embedded = EmbeddedServer::start(&Binaries::find()?)?;
        let mut config = Config::new();
        config
            .host_path(embedded.socket_dir())
            .port(embedded.port())
            .user(embedded.user())
            .dbname("postgres");
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let server = runtime.block_on(Server::connect(config, false))?;
        let monitor = runtime.block_on(BlockingMonitor::connect(&server))?;
        Ok(Bench {
            runtime,
            server,
            monitor,
            embedded,
        })
    }

    fn reference(&mut self, tester: &Path, specification: &Path) -> Result<Duration> {
        let database = self.runtime.block_on(self.server.create_scratch_of_server())?;
        let connection = format!(
            "host={} port={} user={} dbname={database}",
            self.embedded.socket_dir().display(),
            self.embedded.port(),
            self.embedded.user()
        );
        let mut command = Command::new(tester);
        command.arg(connection).stdin(File::open(specification)?);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let started = Instant::now();
        // it fails where the specification is meant to
        command.status()?;
        let elapsed = started.elapsed();
        self.runtime.block_on(self.server.drop_scratch(&database))?;
        Ok(elapsed)
    }

    fn pgbraid(&mut self, specification: &Specification) -> Result<Duration> {
        let database = self.runtime.block_on(self.server.create_scratch_of_server())?;
        let options = Options {
            server: &self.server,
            database: &database,
            settings: &[],
            application: &format!("isolation/{}", specification.name),
            step_limit: DEFAULT_STEP_LIMIT,
        };
        let mut transcript = Vec::new();
        let started = Instant::now();
        let running = isolation::run(specification, &options, &mut self.monitor, &mut transcript);
        let result = self.runtime.block_on(running);
        let elapsed = started.elapsed();
        self.runtime.block_on(self.server.drop_scratch(&database))?;
        match result {
            Ok(()) | Err(TestError::GivenUp(_)) => Ok(elapsed),
            Err(error) => Err(error.into()),
        }
    }
}

fn specifications(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension() == Some(OsStr::new("spec")));
    paths.sort();
    Ok(paths)
}

/// Debian's package postgresql-server-dev-15 has it beside the build files that `pg_config` names.
fn reference_tester() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ISOLATIONTESTER") {
        return Ok(PathBuf::from(path));
    }
    let output = Command::new("pg_config").arg("--pgxs").output()?;
    let makefile = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    let folder = makefile.parent().ok_or("pg_config names no build files")?;
    let tester = folder.join("../test/isolation/isolationtester");
    match tester.is_file() {
        true => Ok(tester),
        false => Err(format!("no isolationtester at {}; set ISOLATIONTESTER", tester.display()).into()),
    }
}
