//! The output of a run of a specification, in order.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use crate::terminal::visible_lines;

/// Receives the lines that `isolationtester` writes. Their order is that of both streams together.
pub trait Transcript: Send {
    /// Bytes for standard output.
    fn out(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Bytes for standard error.
    fn err(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Nothing may follow for a while, so what was written should become visible.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard output and standard error. What would steer a terminal is escaped if it would reach one.
#[derive(Debug, Default)]
pub struct Standard {
    pending: Vec<u8>,
}

/// More bytes than this are written at once, so that memory does not grow with the output.
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
        let mut err = io::stderr().lock();
        // there is nowhere to report that this failed
        let _ = err.write_all(&for_stream(bytes, err.is_terminal()));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let on_terminal = out.is_terminal();
        out.write_all(&for_stream(&self.pending, on_terminal))?;
        self.pending.clear();
        out.flush()
    }
}

fn for_stream(bytes: &[u8], on_terminal: bool) -> Cow<'_, [u8]> {
    match on_terminal {
        true => visible_lines(&String::from_utf8_lossy(bytes)).into_bytes().into(),
        false => bytes.into(),
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
