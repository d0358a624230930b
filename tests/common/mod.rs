//! What the tests against a real server share.

// each test binary uses a part of it
#![allow(dead_code)]

pub mod lab;
pub mod server;
pub mod transcript;
