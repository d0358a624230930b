//! The program as scripts see it: exit codes, what is on which stream, and what it leaves behind.

#[path = "../common/mod.rs"]
mod common;
mod exit_codes;
mod given_server;
mod hostile_server;
mod interruption;
mod pinned;
mod pooler;
mod program;
mod reach;
mod reports;
mod streams;
