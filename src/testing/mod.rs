//! For tests written in Rust: search a scenario for failing schedules, and run schedules one by one.
//!
//! ```
//! use pgbraid::Scenario;
//!
//! // as the body of a #[test]
//! Scenario::from_file("fixtures/seats-for-update.toml").unwrap().prove().assert_holds();
//! ```
//!
//! A [`Search`] is begun by [`Scenario::prove`](crate::Scenario::prove) or
//! [`Scenario::explore`](crate::Scenario::explore), and what it finds is a value, [`Found`]:
//!
//! ```
//! use pgbraid::{Scenario, Verdict};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let found = Scenario::from_file("fixtures/counter.toml")?.explore().jobs(2).run()?;
//! assert_eq!(found.verdict(), Verdict::Fails);
//!
//! let failure = found.failure().expect("it fails");
//! assert_eq!(failure.violated(), ["no update is lost"]);
//! let schedule = found.schedule().expect("it fails");
//! assert_eq!(schedule.to_string(), "worker-1 until read, worker-2 to end, worker-1 to end");
//! # Ok(())
//! # }
//! ```
//!
//! A search can be awaited as well; [`Bench`] runs schedules of one's own choice.
//!
//! Sessions can be closures of the test itself, which is how code of an application is searched:
//! [`attach`](crate::scenario::ScenarioBuilder::attach).
//!
//! # The server
//!
//! All of a process share one embedded server, which the first search starts and which is stopped when the process
//! exits. `cargo test` runs the tests of a file in one process, `cargo nextest` each in its own; both work. Where
//! `PGBRAID_DATABASE_URL` names a server, it is used instead. Each search works in scratch databases of its own.

mod bench;
mod found;
#[cfg(feature = "proptest")]
mod schedules;
mod search;

pub use bench::Bench;
pub use found::Found;
#[cfg(feature = "proptest")]
pub use schedules::schedules;
pub use search::{DEFAULT_STEP_TIMEOUT, Search};

use crate::postgres::host::HostError;
use crate::run::RunError;
use crate::scenario::ScenarioError;
use crate::schedule::ScheduleError;

/// Why there is no result.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum TestError {
    /// There is no server to run on.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Host(#[from] HostError),
    /// The server rejects a statement of the scenario.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Scenario(ScenarioError),
    /// A run came to no result.
    #[error(transparent)]
    Run(RunError),
    /// A schedule does not fit the scenario.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Schedule(#[from] ScheduleError),
}

impl From<RunError> for TestError {
    fn from(error: RunError) -> TestError {
        match error {
            RunError::Scenario(error) => TestError::Scenario(error),
            other => TestError::Run(other),
        }
    }
}
