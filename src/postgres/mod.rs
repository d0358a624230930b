//! The server to run on, scratch databases and their reset, and who waits for whom.

pub mod embedded;
