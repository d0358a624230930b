//! A mistake in a file, with its place there and a hint.

use std::error::Error;
use std::fmt::{self, Debug, Display};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use miette::{Diagnostic, LabeledSpan, SourceCode};

use crate::scenario::excerpt::Excerpt;
use crate::scenario::source::{Source, SqlText};

/// A mistake and where it is. As a [`Diagnostic`] it shows file, line, column, the offending line and a hint.
#[derive(Debug)]
pub struct Located<M> {
    /// What is wrong.
    pub mistake: Box<M>,
    place: Option<Box<Place>>,
    hint: Option<String>,
}

/// Where a mistake is. The first label marks the mistake itself, the others explain it.
#[derive(Debug)]
struct Place {
    source: Arc<Source>,
    labels: Vec<(Range<usize>, String)>,
    /// Created when the error is shown.
    excerpt: OnceLock<Excerpt>,
}

/// The most labels shown for one error.
const MOST_LABELS: usize = 10;

impl Place {
    fn excerpt(&self) -> &Excerpt {
        self.excerpt.get_or_init(|| {
            let labels: Vec<Range<usize>> = self.labels.iter().map(|(range, _)| range.clone()).collect();
            Excerpt::new(&self.source, &labels)
        })
    }
}

impl<M> Located<M> {
    pub(crate) fn new(mistake: M) -> Located<M> {
        Located {
            mistake: Box::new(mistake),
            place: None,
            hint: None,
        }
    }

    /// Adds a label on the first line of `span`, unless there are too many. All labels of an error are in one source.
    pub(crate) fn at(mut self, source: &Arc<Source>, span: Range<usize>, label: impl Into<String>) -> Located<M> {
        let span = visible(&source.text, span);
        let place = self.place.get_or_insert_with(|| {
            Box::new(Place {
                source: source.clone(),
                labels: Vec::new(),
                excerpt: OnceLock::new(),
            })
        });
        if place.labels.len() < MOST_LABELS {
            place.labels.push((span, label.into()));
        }
        self
    }

    /// Adds a label on a range of the SQL's bytes.
    pub(crate) fn at_sql(self, sql: &SqlText, range: Range<usize>, label: impl Into<String>) -> Located<M> {
        let (source, span) = sql.locate(range);
        self.at(&source, span, label)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Located<M> {
        self.hint = Some(hint.into());
        self
    }

    /// The file's name and the line, counted from 1, of the mistake; `None` where it has no place.
    pub fn place(&self) -> Option<(String, usize)> {
        let place = self.place.as_ref()?;
        let (span, _) = place.labels.first()?;
        let ahead = place.source.text.get(..span.start)?;
        Some((place.source.name.clone(), ahead.matches('\n').count() + 1))
    }

    /// The same place and hint with another description of the mistake.
    pub(crate) fn map<N>(self, describe: impl FnOnce(M) -> N) -> Located<N> {
        Located {
            mistake: Box::new(describe(*self.mistake)),
            place: self.place,
            hint: self.hint,
        }
    }
}

impl<M: Display> Display for Located<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mistake.fmt(formatter)
    }
}

impl<M: Error> Error for Located<M> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.mistake.source()
    }
}

impl<M: Error> Diagnostic for Located<M> {
    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|place| place.excerpt() as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.place.as_ref()?;
        let shown = place.labels.iter().zip(&place.excerpt().labels);
        Some(Box::new(shown.enumerate().map(|(index, ((_, label), range))| {
            let (label, span) = (Some(label.clone()), range.clone());
            if index == 0 {
                LabeledSpan::new_primary_with_span(label, span)
            } else {
                LabeledSpan::new_with_span(label, span)
            }
        })))
    }
}

/// A label at the end of a file would not be drawn, so it moves to the last visible character.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    let seen = text.trim_end();
    match seen.char_indices().next_back() {
        Some((last, _)) if span.start >= seen.len() => last..seen.len(),
        _ => first_line(text, span),
    }
}

/// The part of a range that is on its first line.
pub(crate) fn first_line(text: &str, span: Range<usize>) -> Range<usize> {
    let boundary = |offset: usize| {
        (0..=offset.min(text.len()))
            .rfind(|&at| text.is_char_boundary(at))
            .unwrap_or(0)
    };
    let start = boundary(span.start);
    let end = boundary(span.end).max(start);
    let line = text[start..end].lines().next().unwrap_or_default();
    start..start + line.len()
}
