//! Whether this process may open as many files as it needs.

use std::fs::File;
use std::io;

/// Files that a run opens at least: sockets, pipes, what tokio polls with.
const NEEDED: usize = 32;

/// Asks ahead of the first runtime, because tokio panics where it gets no descriptors for its signals.
///
/// # Errors
/// When so many files more cannot be open.
pub fn check() -> io::Result<()> {
    let files: io::Result<Vec<File>> = (0..NEEDED).map(|_| File::open("/dev/null")).collect();
    files.map(drop)
}
