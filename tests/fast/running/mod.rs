//! The rules of running: what a turn is, who waits for whom, and what a run comes back to.

mod conditions;
mod deadlocks;
mod disconnects;
mod enumeration;
mod errors;
mod failures;
mod granularity;
mod outcomes;
mod resets;
mod timeouts;
mod turns;
mod values;
mod waits;

/// A scenario on a table `t (id, v)` with the rows 1, 2 and 3, where `v` is 0.
fn on_rows(rest: &str) -> String {
    let setup =
        "CREATE TABLE t (id integer PRIMARY KEY, v integer NOT NULL DEFAULT 0); INSERT INTO t VALUES (1), (2), (3)";
    format!("setup = \"{setup}\"\n{rest}")
}
