//! The program as scripts see it: exit codes, what is on which stream, and what it leaves behind.

mod copied_database;
mod exit_codes;
mod given_server;
mod hostile_server;
mod interruption;
mod pinned;
mod pooler;
mod reach;
mod reports;
mod streams;
