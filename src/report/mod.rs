//! The same result for people and for programs.
//!
//! The content is a [`Document`](document::Document), built once. Each format is a module here, and a pure function
//! from the document to its text. For people, turns are counted from 1.

pub mod diagnostic;
pub mod document;
pub mod github;
pub mod json;
pub mod junit;
#[cfg(test)]
pub(crate) mod sample;
pub mod text;
