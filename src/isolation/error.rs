//! A mistake in a specification, with its place in the file.

use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, SourceCode};

use crate::scenario::source::Source;

/// A mistake in a specification. As a [`Diagnostic`] it shows file, line, column and the line.
#[derive(Debug, thiserror::Error)]
#[error("{mistake}")]
pub struct SpecificationError {
    pub mistake: Mistake,
    pub(crate) place: Option<(Arc<Source>, Range<usize>)>,
}

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
    pub(crate) fn help(&self) -> Option<&'static str> {
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

impl SpecificationError {
    pub(super) fn new(mistake: Mistake) -> SpecificationError {
        SpecificationError { mistake, place: None }
    }

    pub(super) fn at(source: &Arc<Source>, mistake: Mistake, span: Range<usize>) -> SpecificationError {
        SpecificationError {
            mistake,
            place: Some((source.clone(), span)),
        }
    }
}

impl Diagnostic for SpecificationError {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        let help = self.mistake.help()?;
        Some(Box::new(help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        let (source, _) = self.place.as_ref()?;
        Some(&**source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (source, span) = self.place.as_ref()?;
        let label = LabeledSpan::new_primary_with_span(Some("here".to_owned()), visible(&source.text, span));
        Some(Box::new(std::iter::once(label)))
    }
}

/// A label on the end of a file is drawn nowhere; the last character that can be seen takes it.
fn visible(text: &str, span: &Range<usize>) -> Range<usize> {
    let seen = text.trim_end();
    match seen.char_indices().next_back() {
        Some((last, _)) if span.start >= seen.len() => last..seen.len(),
        _ => span.clone(),
    }
}
