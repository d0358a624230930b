//! PostgreSQL's isolation specifications (`.spec` files): read, run, and printed as its `isolationtester` prints them.
//!
//! A [`Specification`] has a setup, sessions of named steps, and permutations of these steps. [`run`] runs its
//! permutations in a database that it may change freely, [`run_one`] and [`run_suite`] in scratch databases. A
//! [`Transcript`] receives the output, which is byte for byte that of PostgreSQL 15's reference tester, and
//! [`Expected`] compares it with expected outputs.
//!
//! The reference tester gives a step 10 ms before it checks whether the step is blocked. [`run`] checks at once, and
//! accepts the answer if one picture of the lock table shows that no running session could end the wait. Otherwise it
//! waits for the running sessions, and checks again.
//!
//! ```
//! use pgbraid::isolation::Specification;
//!
//! # fn main() -> Result<(), pgbraid::isolation::SpecificationError> {
//! let text = "session s1 step a { SELECT 1 } step b { SELECT 2 } session s2 step c { SELECT 3 }";
//! let specification = Specification::parse("example", "example.spec", text.to_owned())?;
//! let permutations = specification.permutations();
//! let written: Vec<String> = permutations.map(|each| specification.written(&each).to_string()).collect();
//! assert_eq!(written[1], r#"permutation "a" "c" "b""#);
//! assert_eq!(written.len(), 3);
//! # Ok(())
//! # }
//! ```

mod blocking;
mod error;
mod expected;
mod lexer;
mod link;
pub(crate) mod message;
mod pace;
mod parser;
mod permutations;
mod reach;
mod result_table;
pub mod settings;
pub mod specification;
mod suite;
mod tested_session;
mod tester;
mod to_scenario;
mod transcript;

pub use blocking::BlockingMonitor;
pub use error::{Mistake, SpecificationError};
pub use expected::{Expected, ExpectedError, Mismatch};
pub use reach::REGRESSION_DATABASE;
pub use specification::Specification;
pub use suite::{SuiteOptions, Tested, run_one, run_suite};
pub use tester::{DEFAULT_STEP_LIMIT, Options, TestError, run};
pub use transcript::{Standard, Transcript};
