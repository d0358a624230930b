//! The same result for people and for programs.
