//! Where a piece of SQL stands in the file that it came from.

use std::sync::Arc;

/// A file's name and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As the user wrote the path.
    pub name: String,
    pub text: String,
}

/// A piece of SQL and where each of its bytes stands in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlText {
    pub text: String,
    pub origin: Option<Origin>,
}

/// The place of a piece of SQL in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub source: Arc<Source>,
    /// For each byte of the SQL, and one past the end, the byte offset in the source.
    pub offsets: Arc<[usize]>,
}
