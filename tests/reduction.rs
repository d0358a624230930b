//! Partial-order reduction against full enumeration: on scenarios drawn at random and on every one that ever differed,
//! both must reach the same outcomes, and the schedules that the reduced run stands for must add up to all.
//!
//! What plain servers do when the sessions run freely must be among it.
//!
//! A longer run, or other scenarios: `PGBRAID_CASES=5000 PGBRAID_SEED=7 cargo test --release --test reduction drawn --
//! --nocapture`; `PGBRAID_THEME` names one theme. A scenario that differs is printed as a file, made as small as it can
//! be; it goes to `tests/reduction/counterexamples/`, where it stays.

#[path = "common/mod.rs"]
mod common;
#[path = "reduction/compare.rs"]
mod compare;
#[path = "reduction/counterexamples.rs"]
mod counterexamples;
#[path = "reduction/counts.rs"]
mod counts;
#[path = "reduction/draw.rs"]
mod draw;
#[path = "reduction/drawn.rs"]
mod drawn;
#[path = "reduction/host.rs"]
mod host;
#[path = "reduction/plain.rs"]
mod plain;
#[path = "reduction/plan.rs"]
mod plan;
#[path = "reduction/renamed.rs"]
mod renamed;
#[path = "reduction/schema.rs"]
mod schema;
#[path = "reduction/settings.rs"]
mod settings;
#[path = "reduction/theme.rs"]
mod theme;
#[path = "reduction/themes/mod.rs"]
mod themes;
