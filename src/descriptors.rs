//! Whether this process may open as many files as it needs.

use std::fs::File;
use std::io;

/// The fewest files that a run opens: sockets, pipes, what tokio polls with.
const NEEDED: usize = 32;

/// Checks before the first runtime starts, because tokio panics if it gets no descriptors for its signals.
///
/// # Errors
/// When this many more files cannot be opened.
pub fn check() -> io::Result<()> {
    let files: io::Result<Vec<File>> = (0..NEEDED).map(|_| File::open("/dev/null")).collect();
    files.map(drop)
}
