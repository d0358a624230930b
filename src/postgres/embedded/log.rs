//! The output of the server's programs.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How many lines an error shows, and how many bytes are searched for them.
const LINES: usize = 20;
const BYTES: u64 = 64 << 10;

/// The log of a server. It is kept open, and not looked up by its name again.
#[derive(Debug)]
pub(super) struct Log(File);

impl Log {
    pub fn new(file: File) -> Log {
        Log(file)
    }

    /// Where a program writes.
    pub fn writer(&self) -> io::Result<File> {
        self.0.try_clone()
    }

    pub fn last_lines(&self) -> String {
        let mut end = Vec::new();
        // what cannot be read is not worth another error
        let _ = self.read_end(&mut end);
        let content = String::from_utf8_lossy(&end);
        let lines: Vec<_> = content.trim_end().lines().collect();
        match lines.len() {
            0 => "(the log is empty)".to_owned(),
            count => lines[count.saturating_sub(LINES)..].join("\n"),
        }
    }

    fn read_end(&self, end: &mut Vec<u8>) -> io::Result<()> {
        let length = self.0.metadata()?.len();
        let start = length.saturating_sub(BYTES);
        end.resize(usize::try_from(length - start).unwrap_or_default(), 0);
        self.0.read_exact_at(end, start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::Write;

    #[test]
    fn the_last_lines_are_shown() {
        let mut file = tempfile::tempfile().unwrap();
        let log = Log::new(file.try_clone().unwrap());
        assert_eq!(log.last_lines(), "(the log is empty)");
        for line in 0..50_000 {
            writeln!(file, "line {line}").unwrap();
        }
        let shown = log.last_lines();
        assert_eq!(shown.lines().count(), LINES);
        assert_eq!(shown.lines().last(), Some("line 49999"));
    }
}
