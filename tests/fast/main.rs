//! Tests that take seconds each. They run in this process, on one server where they can share it.

mod analysis;
mod api;
mod cli;
mod closures;
#[path = "../common/mod.rs"]
mod common;
mod programs;
#[cfg(feature = "proptest")]
mod property;
mod replay;
mod running;
mod shrink;
