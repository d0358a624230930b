//! Tests that take minutes, or much of the machine.

#[cfg(target_os = "linux")]
mod apps;
#[path = "../common/mod.rs"]
mod common;
mod embedded_server;
// what is looked at lies in /proc
#[cfg(target_os = "linux")]
mod faults;
mod gallery;
#[cfg(target_os = "linux")]
mod hostile_account;
mod isolation;
mod reduction;
mod serializability;
