//! Judges a history.

pub mod outcome;
