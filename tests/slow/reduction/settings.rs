//! What the environment says of a run: how many scenarios, which, and for how long.

use std::env;
use std::str::FromStr;

pub const SEED: u64 = 3;
pub const MOST_INTERLEAVINGS: u64 = 130;

pub fn setting<T: FromStr>(name: &str, default: T) -> T {
    env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Whether scenarios of a theme are drawn.
pub fn accepts(theme: &str) -> bool {
    env::var("PGBRAID_THEME").map_or(true, |only| only == theme)
}
