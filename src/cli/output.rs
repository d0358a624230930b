//! Where a report is written and how it looks.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Write, stderr, stdout};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use pgbraid::report::Format;
use pgbraid::report::document::Document;
use pgbraid::report::text::TextOptions;
use pgbraid::terminal::visible;

use super::exit::CommandError;
use super::files::{behind_links, folder_of, replace};

/// The width of a report that is not printed on a terminal, in columns.
const DEFAULT_WIDTH: usize = 100;

/// The document in this format. `output` is the file that it is written to.
///
/// # Errors
/// When it cannot be serialized.
pub fn render(format: Format, document: &Document, output: Option<&Path>) -> Result<String, CommandError> {
    format
        .render(document, &text_options(output))
        .map_err(CommandError::Render)
}

/// The colours and width of the terminal, if the report is printed on one.
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

/// Whether a file can be written, as far as this can be known before there is anything to write.
///
/// # Errors
/// When it cannot.
pub fn check(file: Option<&Path>) -> Result<(), CommandError> {
    let Some(file) = file else { return Ok(()) };
    let Some(path) = behind_links(file).map_err(|cause| unwritable(file, cause))? else {
        return Ok(());
    };
    match fs::metadata(&path) {
        Ok(found) if found.is_file() || found.is_dir() => {
            let opened = OpenOptions::new().append(true).open(&path);
            opened.map(drop).map_err(|cause| unwritable(file, cause))
        }
        // a pipe's reader would see it end
        Ok(_) => Ok(()),
        Err(_) => check_folder(folder_of(&path), file),
    }
}

/// Whether files can be created in a folder; `wanted` is what is to be created there.
pub fn check_folder(folder: &Path, wanted: &Path) -> Result<(), CommandError> {
    match tempfile::tempfile_in(folder) {
        Ok(_) => Ok(()),
        Err(cause) => Err(unwritable(wanted, cause)),
    }
}

pub fn unwritable(path: &Path, cause: io::Error) -> CommandError {
    CommandError::Output {
        path: path.display().to_string(),
        cause,
    }
}

/// Writes a report to a file or to standard output.
pub fn write(report: &str, output: Option<&Path>) -> Result<(), CommandError> {
    let report = format!("{report}\n");
    match output {
        Some(path) => while_read(replace(path, report.as_bytes())).map_err(|cause| unwritable(path, cause)),
        None => print(&report),
    }
}

/// Writes to standard output.
pub fn print(text: &str) -> Result<(), CommandError> {
    let mut out = stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    while_read(written).map_err(CommandError::StandardOutput)
}

/// A pipe whose reader is gone is not a failure: the reader has read what it wanted.
pub fn while_read(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes a line to standard error. There is nowhere to report that this failed.
pub fn say(text: impl Display) {
    let _ = stderr().write_all(format!("{text}\n").as_bytes());
}

/// `text` as a word of a shell command, with nothing in it that would steer a terminal.
pub fn shell_word(text: &OsStr) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    match text.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
        Some(text) if visible(text) == text => format!("'{}'", text.replace('\'', "'\\''")),
        _ => format!("$'{}'", escaped(text.as_bytes())),
    }
}

/// Bytes in the form that bash reads in `$'…'`.
fn escaped(bytes: &[u8]) -> String {
    let byte = |byte: u8| format!("\\x{byte:02x}");
    let character = |c: char| -> Cow<'static, str> {
        match c {
            '\'' | '\\' => format!("\\{c}").into(),
            _ if visible(c.encode_utf8(&mut [0; 4])).chars().eq([c]) => c.to_string().into(),
            _ => c.encode_utf8(&mut [0; 4]).bytes().map(byte).collect::<String>().into(),
        }
    };
    let chunk = |chunk: std::str::Utf8Chunk<'_>| {
        let valid = chunk.valid().chars().map(character);
        let invalid = chunk.invalid().iter().map(|&one| byte(one).into());
        valid.chain(invalid).collect::<String>()
    };
    bytes.utf8_chunks().map(chunk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell_command() {
        let word = |bytes: &[u8]| shell_word(OsStr::from_bytes(bytes));
        assert_eq!(word(b"schedules/a-1.toml"), "schedules/a-1.toml");
        assert_eq!(word(b"it's"), r"'it'\''s'");
        assert_eq!(word("é\\".as_bytes()), "'é\\'");
        assert_eq!(word(b"a\n'\x1b\\\xff\xc2\x9b"), r"$'a\x0a\'\x1b\\\xff\xc2\x9b'");
    }
}
