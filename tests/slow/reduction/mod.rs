//! Partial-order reduction against full enumeration: on scenarios drawn at random and on every one that ever differed,
//! both must reach the same outcomes, and the schedules that the reduced run stands for must add up to all.
//!
//! What plain servers do when the sessions run freely must be among it.
//!
//! A longer run, or other scenarios: `PGBRAID_CASES=5000 PGBRAID_SEED=7 cargo test --release --test slow --
//! reduction::drawn --nocapture`; `PGBRAID_THEME` names one theme. A scenario that differs is printed as a file, made as small as it can
//! be; it goes to `tests/slow/reduction/counterexamples/`, where it stays.

mod compare;
mod counterexamples;
mod counts;
mod draw;
mod drawn;
mod host;
mod plain;
mod plan;
mod renamed;
mod schema;
mod settings;
mod theme;
mod themes;
