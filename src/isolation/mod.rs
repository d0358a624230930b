//! Runs PostgreSQL's isolation specifications (`.spec` files) and prints what its `isolationtester` prints.

mod blocking;
mod error;
mod expected;
mod lexer;
mod link;
mod message;
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
mod transcript;

pub use blocking::BlockingMonitor;
pub use error::{Mistake, SpecificationError};
pub use expected::{Expected, ExpectedError, Mismatch};
pub use reach::REGRESSION_DATABASE;
pub use specification::Specification;
pub use suite::{SuiteOptions, Tested, run_suite, run_one};
pub use tester::{DEFAULT_STEP_LIMIT, Options, TestError, run};
pub use transcript::{Standard, Transcript};
