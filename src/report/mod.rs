//! The same result for people and for programs.
//!
//! What is to be said is a [`Document`](document::Document), built once. A format is a module here, and a pure function from
//! the document to its text. A person is shown turns counted from 1.

pub mod diagnostic;
pub mod document;
pub mod github;
pub mod json;
pub mod junit;
#[cfg(test)]
pub(crate) mod sample;
pub mod text;
