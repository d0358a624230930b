//! Expected output: which files hold it, and how the actual output differs.

use std::io;
use std::path::{Path, PathBuf};

use similar::TextDiff;

use crate::scenario::bounded;

/// The most variants that a specification can have besides the file of its own name.
const VARIANTS: u32 = 9;

/// Lines around a difference.
const CONTEXT: usize = 3;

/// The acceptable outputs, by PostgreSQL's convention: `NAME.out`, `NAME_1.out`, `NAME_2.out`, …
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// The actual output differs from every expected output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The most similar file.
    pub closest: PathBuf,
    /// A unified diff from that file to the actual output.
    pub difference: String,
    pub lines_added: usize,
    pub lines_removed: usize,
}

/// Why there is no expected output.
#[derive(Debug, thiserror::Error)]
pub enum ExpectedError {
    #[error("there is no expected output {0}")]
    Missing(PathBuf),
    #[error("cannot read {path}: {cause}")]
    Unreadable { path: PathBuf, cause: io::Error },
}

impl Expected {
    /// Reads the expected outputs of the specification `name` in `folder`.
    ///
    /// # Errors
    ///
    /// There is none, or one cannot be read.
    pub fn read(folder: &Path, name: &str) -> Result<Expected, ExpectedError> {
        let variants = (1..=VARIANTS).map(|variant| format!("{name}_{variant}.out"));
        let names = std::iter::once(format!("{name}.out")).chain(variants);
        let mut files = Vec::new();
        for path in names.map(|name| folder.join(name)) {
            match bounded::read(&path) {
                Ok(content) => files.push((path, content)),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(ExpectedError::Unreadable { path, cause }),
            }
        }
        match files.is_empty() {
            true => Err(ExpectedError::Missing(folder.join(format!("{name}.out")))),
            false => Ok(Expected { files }),
        }
    }

    /// How `actual` differs from the closest expected output; `None` if it equals one byte for byte.
    pub fn mismatch(&self, actual: &[u8]) -> Option<Mismatch> {
        if self.files.iter().any(|(_, expected)| expected == actual) {
            return None;
        }
        let actual_text = String::from_utf8_lossy(actual);
        let mismatches = self.files.iter().map(|(path, expected)| {
            let expected = String::from_utf8_lossy(expected);
            let diff = TextDiff::from_lines(expected.as_ref(), actual_text.as_ref());
            let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
            let mut unified = diff.unified_diff();
            let unified = unified
                .context_radius(CONTEXT)
                .header(&path.display().to_string(), "actual");
            Mismatch {
                closest: path.clone(),
                difference: unified.to_string(),
                lines_added: count(similar::ChangeTag::Insert),
                lines_removed: count(similar::ChangeTag::Delete),
            }
        });
        mismatches.min_by_key(|mismatch| mismatch.lines_added + mismatch.lines_removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_variant_may_match_and_the_closest_is_compared() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("a.out", "1\n2\n3\n");
        write("a_2.out", "1\n2\n4\n5\n");
        write("a_x.out", "9\n");
        let expected = Expected::read(folder.path(), "a").unwrap();
        assert_eq!(expected.mismatch(b"1\n2\n3\n"), None);
        assert_eq!(expected.mismatch(b"1\n2\n4\n5\n"), None);
        let mismatch = expected.mismatch(b"1\n2\n4\n6\n").unwrap();
        assert_eq!(mismatch.closest, folder.path().join("a_2.out"));
        assert_eq!((mismatch.lines_added, mismatch.lines_removed), (1, 1));
        assert!(mismatch.difference.contains("\n-5\n+6\n"), "{}", mismatch.difference);
    }

    #[test]
    fn an_expected_output_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = Expected::read(folder.path(), "a").unwrap_err();
        assert!(matches!(error, ExpectedError::Missing(path) if path.ends_with("a.out")));
    }
}
