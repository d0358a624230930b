//! The same result for people and for programs.
//!
//! What is to be said is a [`Document`], built once. A format is a module here, and a pure function from
//! the document to its text; [`Format`] lists them. A person is shown turns counted from 1.

pub mod diagnostic;
pub mod document;
pub mod github;
pub mod json;
pub mod junit;
#[cfg(test)]
pub(crate) mod sample;
pub mod text;

use self::document::Document;
use self::text::{Detail, TextOptions};

/// The formats of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Tables for people.
    Table,
    /// One JSON object.
    Json,
    /// A JUnit file.
    Junit,
}

/// A document could not be written in a format: the serializer's own error, which no document causes.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RenderError(#[from] quick_junit::SerializeError);

impl Format {
    /// Every format.
    pub const ALL: [Format; 3] = [Format::Table, Format::Json, Format::Junit];

    /// As it is chosen.
    pub fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Json => "json",
            Format::Junit => "junit",
        }
    }

    /// What it is for.
    pub fn about(self) -> &'static str {
        match self {
            Format::Table => "Tables for people",
            Format::Json => "One JSON object, for programs",
            Format::Junit => "JUnit XML, for CI services",
        }
    }

    /// The document in this format, without a newline at its end. `options` are for formats that people read on a terminal.
    ///
    /// # Errors
    /// When it cannot be serialized.
    pub fn render(self, document: &Document, options: &TextOptions) -> Result<String, RenderError> {
        Ok(match self {
            Format::Table => text::text(document, Detail::Whole, options),
            Format::Json => json::json(document),
            Format::Junit => junit::junit(document)?.trim_end().to_owned(),
        })
    }
}
