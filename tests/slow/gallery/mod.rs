//! Every scenario under `fixtures/` gives the verdict that it is there for.

mod cases;
mod check;
mod repetition;
mod table;
