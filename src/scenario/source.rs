//! Where a piece of SQL stands in the file that it comes from.

use std::ops::Range;
use std::sync::Arc;

/// A file's name and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As the user wrote the path.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// A piece of SQL and where each of its bytes stands in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlText {
    /// The SQL.
    pub text: String,
    /// Where it stands; `None` where it stands in no file.
    pub origin: Option<Placement>,
}

/// The place of a piece of SQL in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The file.
    pub source: Arc<Source>,
    /// For each byte of the SQL, and one past the end, the byte offset in the source.
    pub offsets: Arc<[usize]>,
}

impl SqlText {
    /// The SQL of a whole source, without a byte order mark.
    pub fn whole(source: Arc<Source>) -> SqlText {
        let text = source.text.trim_start_matches('\u{feff}').to_owned();
        let offsets = (source.text.len() - text.len()..=source.text.len()).collect();
        SqlText {
            text,
            origin: Some(Placement { source, offsets }),
        }
    }

    /// SQL that is in no file.
    pub fn unplaced(text: impl Into<String>) -> SqlText {
        SqlText {
            text: text.into(),
            origin: None,
        }
    }

    /// The source, and the range in it that a range of the SQL's bytes maps to. SQL without a source is its own source.
    pub(crate) fn locate(&self, range: Range<usize>) -> (Arc<Source>, Range<usize>) {
        let start = range.start.min(self.text.len());
        let end = range.end.clamp(start, self.text.len());
        let Some(origin) = &self.origin else {
            return (
                Arc::new(Source {
                    name: "SQL".to_owned(),
                    text: self.text.clone(),
                }),
                start..end,
            );
        };
        let size = origin.source.text.len();
        let place = |index: usize| origin.offsets.get(index).copied().unwrap_or(size).min(size);
        let from = place(start);
        // what follows the last byte may be lines further down, after a backslash that ends a line of TOML
        let last = end.checked_sub(1).filter(|_| end > start).map(place);
        let to = match last.map(|last| (last, origin.source.text.as_bytes().get(last))) {
            Some((_, Some(b'\\'))) | None => place(end),
            Some((last, _)) => last + 1,
        };
        (origin.source.clone(), from..to.max(from))
    }

    /// The byte range of the first line that is not blank, without blank space around it.
    pub(crate) fn first_line(&self) -> Range<usize> {
        let start = self.text.len() - self.text.trim_start().len();
        let line = self.text[start..].lines().next().unwrap_or_default().trim_end();
        start..start + line.len()
    }
}
