//! Real programs, with real drivers, as sessions: those under `fixtures/apps/`.

mod drivers;
mod folder;
mod pinned;
mod programs;
mod recorded;
mod suites;
