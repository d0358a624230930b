//! A test run of specifications.

use std::path::PathBuf;
use std::time::Duration;

use super::Document;
use crate::isolation::Mismatch;

/// The report of a test run.
#[derive(Debug, Clone)]
pub struct Specifications {
    pub compared: Vec<Compared>,
    pub elapsed: Duration,
}

/// A specification that was compared with its expected output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    pub name: String,
    pub elapsed: Duration,
    pub outcome: Comparison,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    Passed,
    Differs(Mismatch),
    /// It was run, but there is nothing to compare it with: this file does not exist.
    NothingExpected(PathBuf),
    /// It could not be run.
    Error(String),
}

impl Document {
    pub fn of_specifications(compared: Vec<Compared>, elapsed: Duration) -> Document {
        Document::Specifications(Specifications { compared, elapsed })
    }
}
