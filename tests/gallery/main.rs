//! Every scenario under `fixtures/` gives the verdict that it is there for.

mod cases;
mod check;
#[path = "../common/mod.rs"]
mod common;
mod repetition;
mod table;
