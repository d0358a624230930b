//! What the tests share: servers, the program, and runs in this process.

// each test binary uses a part of it
#![allow(dead_code)]

pub mod given;
pub mod lab;
pub mod program;
pub mod server;
pub mod transcript;
