//! Strategies: which schedules to run.
