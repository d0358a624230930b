//! Where a report goes and how it looks.

use std::fs;
use std::io::{IsTerminal, Write, stdout};
use std::path::Path;

use clap::ValueEnum;
use pgbraid::report::text::TextOptions;

use super::exit::Failure;

/// Columns of a report that does not go to a terminal.
const DEFAULT_WIDTH: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables for people
    Table,
    /// One JSON object
    Json,
}

/// Colour and width of the terminal, where the report goes to one.
pub fn text_options(output: Option<&Path>) -> TextOptions {
    let terminal = console::Term::stdout();
    if output.is_some() || !stdout().is_terminal() {
        return TextOptions {
            width: DEFAULT_WIDTH,
            colour: false,
        };
    }
    let width = terminal
        .size_checked()
        .map_or(DEFAULT_WIDTH, |(_, columns)| usize::from(columns));
    TextOptions {
        width: width.max(40),
        colour: console::colors_enabled(),
    }
}

/// Whether a file can be written, as far as can be told before there is anything to write.
///
/// # Errors
/// When it cannot.
pub fn check(file: Option<&Path>) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    if file.exists() {
        return fs::OpenOptions::new()
            .append(true)
            .open(file)
            .map(drop)
            .map_err(|cause| unwritable(file, cause));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    check_folder(folder.unwrap_or(Path::new(".")), file)
}

/// Whether files can be made in a folder; `wanted` is what is to be made there.
pub fn check_folder(folder: &Path, wanted: &Path) -> Result<(), Failure> {
    match tempfile::tempfile_in(folder) {
        Ok(_) => Ok(()),
        Err(cause) => Err(unwritable(wanted, cause)),
    }
}

pub fn unwritable(path: &Path, cause: std::io::Error) -> Failure {
    Failure::Output {
        path: path.display().to_string(),
        cause,
    }
}

/// Writes a report to a file or to standard output.
pub fn write(report: &str, output: Option<&Path>) -> Result<(), Failure> {
    let result = match output {
        Some(path) => fs::write(path, format!("{report}\n")),
        None => writeln!(stdout(), "{report}"),
    };
    result.map_err(|cause| Failure::Output {
        path: output.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string()),
        cause,
    })
}

/// `text` as a word of a shell command.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
