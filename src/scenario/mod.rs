//! The model of a scenario and its file format. Knows nothing of connections.

pub mod model;
pub mod source;
pub mod sql;

pub use model::*;
