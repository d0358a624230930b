//! The model of a scenario and its file format. Knows nothing of connections.

mod builder;
pub mod error;
mod excerpt;
pub(crate) mod file;
pub(crate) mod input;
mod located;
pub mod model;
pub mod source;
pub mod sql;
mod symmetry;
pub(crate) mod toml;
pub(crate) mod unique;

pub use builder::{ScenarioBuilder, SessionBuilder};
pub use error::{Mistake, ScenarioError};
pub use file::Reading;
pub use located::Located;
pub use model::*;
pub use symmetry::Symmetry;
