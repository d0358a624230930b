//! Reports a search.

use std::process::ExitCode;

use pgbraid::report::document::{Added, Document, Purpose};

use super::Common;
use super::exit::{self, CommandError};
use super::limits::Explored;
use super::output;

/// Writes the report, and returns the exit code of its verdict.
pub fn report(explored: Explored, purpose: Purpose, common: &Common) -> Result<ExitCode, CommandError> {
    let Explored {
        findings,
        files,
        notes,
        unwritten,
    } = explored;
    let added = Added { purpose, files, notes };
    let document = Document::of_search(&findings, added);
    let output = common.output.as_deref();
    output::write(&output::render(common.format, &document, output)?, output)?;
    match unwritten {
        Some(failure) => Err(failure),
        None => Ok(exit::code(findings.verdict())),
    }
}
