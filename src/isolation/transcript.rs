//! What a run of a specification says, in order.

use std::io::{self, Write};

/// Takes the lines that `isolationtester` writes. Their order is that of both streams together.
pub trait Transcript: Send {
    /// Bytes for standard output.
    fn out(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Bytes for standard error.
    fn err(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Standard output and standard error, each line as it comes.
#[derive(Debug, Default)]
pub struct Standard;

impl Transcript for Standard {
    fn out(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    fn err(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::stderr().write_all(bytes)
    }
}

/// Both streams in one, as expected output files hold them.
impl Transcript for Vec<u8> {
    fn out(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn err(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}
