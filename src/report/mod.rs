//! The same result for people and for programs.
//!
//! Everything here is a pure function from values to text or to serializable values. A person is shown turns counted
//! from 1.

pub mod anomaly;
pub mod diagnostic;
mod difference;
pub mod failure;
pub mod json;
pub mod junit;
pub mod outcomes;
pub mod replay;
mod reply;
#[cfg(test)]
pub(crate) mod sample;
pub mod shrunk;
pub mod specifications;
pub(crate) mod sql_text;
pub mod summary;
pub mod text;
pub mod timeline;
pub mod violations;
