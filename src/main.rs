//! The command line.

// these panic if the stream cannot be written; output::print and output::say do not
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![deny(unsafe_code)]
#![warn(clippy::unwrap_used)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
