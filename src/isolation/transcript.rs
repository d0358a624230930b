//! What a run of a specification says, in order.

use std::io::{self, Write};

/// Takes the lines that `isolationtester` writes. Their order is that of both streams together.
pub trait Transcript: Send {
    /// Bytes for standard output.
    fn out(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Bytes for standard error.
    fn err(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Nothing may come for a while: what was said is to be seen.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard output and standard error.
#[derive(Debug, Default)]
pub struct Standard {
    pending: Vec<u8>,
}

/// Bytes that are not kept any longer, so that memory does not grow with the output.
const PENDING: usize = 64 * 1024;

impl Transcript for Standard {
    fn out(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        match self.pending.len() > PENDING {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn err(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.flush()?;
        io::stderr().write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(&self.pending)?;
        self.pending.clear();
        out.flush()
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
