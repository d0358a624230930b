//! The same result for people and for programs.
//!
//! Everything here is a pure function from values to text or to serializable values. A person is shown turns counted
//! from 1.

pub mod anomaly;
mod difference;
pub mod json;
pub mod junit;
pub mod outcomes;
mod reply;
#[cfg(test)]
mod sample;
pub mod specifications;
mod sql_text;
pub mod summary;
pub mod text;
pub mod timeline;
pub mod violations;
