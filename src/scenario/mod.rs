//! The model of a scenario and its file format. Knows nothing of connections.

pub(crate) mod bounded;
mod builder;
mod closure;
pub mod error;
mod excerpt;
pub(crate) mod file;
mod located;
pub mod model;
pub mod program;
mod service;
pub mod source;
mod symmetry;
pub(crate) mod toml;
pub(crate) mod unique;

pub use crate::sql::Isolation;
pub use builder::{ScenarioBuilder, SessionBuilder};
pub use closure::{Closure, Doing};
pub use error::{Mistake, ScenarioError};
pub use located::Located;
pub use model::*;
pub use program::{ProgramCommand, SessionProgram};
pub use service::{RequestBody, Service, ServiceRequest};
pub(crate) use symmetry::SHOW_A_NAME;
pub use symmetry::Symmetry;
pub(crate) use toml::Remarks;
