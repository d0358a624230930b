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
mod to_scenario;
mod to_toml;
mod transcript;

pub use blocking::BlockingMonitor;
pub use error::{Mistake, SpecificationError};
pub use expected::{Expected, ExpectedError, Mismatch};
pub use reach::REGRESSION_DATABASE;
pub use specification::Specification;
pub use suite::{SuiteOptions, Tested, run_one, run_suite};
pub use tester::{DEFAULT_STEP_LIMIT, Options, TestError, run};
pub use to_toml::to_toml;
pub use transcript::{Standard, Transcript};
