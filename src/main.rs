//! The command line.

// these panic if the stream cannot be written; output::print and output::say do not
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
