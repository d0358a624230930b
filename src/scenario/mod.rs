//! The model of a scenario and its file format. Knows nothing of connections.

mod builder;
pub mod error;
pub(crate) mod file;
mod located;
pub mod model;
pub mod source;
mod symmetry;
mod toml;

pub use crate::sql::Isolation;
pub use builder::{ScenarioBuilder, SessionBuilder};
pub use error::{Mistake, ScenarioError};
pub use file::Reading;
pub use located::Located;
pub use model::*;
pub use symmetry::Symmetry;
