//! Executes one schedule, one step at a time, and returns its history.

pub mod history;
