//! Runs PostgreSQL's isolation specifications (`.spec` files) and prints what its `isolationtester` prints.

mod blocking;
mod error;
mod lexer;
mod link;
mod message;
mod pace;
mod parser;
mod permutations;
mod result_table;
pub mod specification;
mod tested_session;
mod tester;
mod transcript;

pub use blocking::BlockingMonitor;
pub use error::{Mistake, SpecificationError};
pub use specification::Specification;
pub use tester::{DEFAULT_STEP_LIMIT, Options, TestError, run};
pub use transcript::{Standard, Transcript};
