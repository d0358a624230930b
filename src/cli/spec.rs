//! `pgbraid spec`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use pgbraid::isolation::{self, BlockingMonitor, DEFAULT_STEP_LIMIT, Specification, Standard, TestError};

use super::exit::Failure;
use super::host::Host;

#[derive(Debug, Args)]
pub struct Spec {
    /// Specifications, folders of them, or `-` for standard input
    #[arg(value_name = "PATH", default_value = "-")]
    paths: Vec<PathBuf>,

    /// Print the permutations and run nothing
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Server to run on, as a URL or a connection string [default: an embedded server, started and stopped by pgbraid]
    #[arg(long, value_name = "URL", env = "PGBRAID_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

impl Spec {
    pub fn run(self) -> Result<ExitCode, Failure> {
        for path in &self.paths {
        let specification = if path.as_os_str() == "-" {
            Specification::from_reader("stdin", "standard input", std::io::stdin())?
        } else {
            Specification::from_file(path)?
        };
        if self.dry_run {
            for permutation in specification.permutations() {
                println!("{}", specification.written(&permutation));
            }
            return Ok(ExitCode::SUCCESS);
        }
        let host = Host::obtain(self.database_url.as_deref())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::Runtime)?;
        let result = runtime.block_on(async {
            let server = &host.server;
            let database = server.create_scratch(None).await?;
            let mut monitor = BlockingMonitor::connect(server).await?;
            let options = isolation::Options {
                server,
                database: &database,
                settings: &[],
                application: &format!("isolation/{}", specification.name),
                step_limit: DEFAULT_STEP_LIMIT,
            };
            let t = std::time::Instant::now();
            let r = isolation::run(&specification, &options, &mut monitor, &mut Standard).await;
            if std::env::var("T").is_ok() { eprintln!("time {:?}", t.elapsed()); }
            r
        });
        match result {
            Ok(()) => {}
            Err(TestError::GivenUp(_)) => return Ok(ExitCode::from(1)),
            Err(_) => return Err(Failure::Usage("x")),
        }
        }
        Ok(ExitCode::SUCCESS)
    }
}
