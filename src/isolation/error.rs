//! A mistake in a specification.

use crate::scenario::{self, Located, ScenarioError};

/// A mistake in a specification. As a [`Diagnostic`](miette::Diagnostic) it shows file, line, column and the line.
pub type SpecificationError = Located<Mistake>;

impl From<SpecificationError> for ScenarioError {
    fn from(error: SpecificationError) -> ScenarioError {
        error.map(|mistake| scenario::Mistake::Format(mistake.to_string()))
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    #[error("cannot read {path}: {cause}")]
    Unreadable { path: String, cause: String },
    #[error("{0} is not UTF-8")]
    NotUtf8(String),
    #[error("unexpected character {0:?}")]
    Character(char),
    #[error("a quoted name does not end on its line")]
    OpenQuote,
    #[error("SQL does not end: a `}}` is missing")]
    OpenSql,
    #[error("the number is too large")]
    LargeNumber,
    #[error("expected {wanted}, found {found}")]
    Unexpected { wanted: &'static str, found: String },
    #[error("two steps have the name `{0}`")]
    DuplicateStep(String),
    #[error("unknown step `{0}`")]
    UnknownStep(String),
    #[error("a marker names step `{0}`, which is not in this permutation")]
    UnknownMarker(String),
    #[error("step `{0}` cannot wait for a step of its own session")]
    OwnSession(String),
}

impl Mistake {
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Mistake::OpenSql => Some("SQL begins with `{` and ends with the next `}`, even inside a string"),
            Mistake::DuplicateStep(_) => Some("names of steps are unique in the file, not only in their session"),
            Mistake::UnknownMarker(_) => Some("a step can wait only for a step of the same permutation"),
            Mistake::Unexpected { wanted, .. } if wanted.contains("name") => {
                Some("a name that is a keyword of the format is written in double quotes")
            }
            _ => None,
        }
    }
}
