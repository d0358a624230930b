//! Writes files in such a way that a failure leaves the old content in place.

use std::fs::{self, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::sys::signal::{SigSet, Signal};

/// The most links that are followed to a file, as many as Linux follows.
const MOST_LINKS: usize = 40;

/// Makes a write beyond the limit on the size of files an error. Otherwise it would end the process, and leave a
/// temporary file behind. Must be called before other threads start.
pub fn survive_size_limit() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    // if this fails, the process ends there, as it would anyway
    let _ = signals.thread_block();
}

/// Replaces the content of a file: `content` is written to another file beside it, which then takes its place. The file
/// keeps its permissions, and a link stays a link. Something that is not a file, such as a pipe or a terminal, is
/// written to directly.
///
/// # Errors
/// When it cannot be written. The old content is then still there, and no other file is.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let Some(path) = behind_links(path)? else {
        return write_into(path, content);
    };
    let old = match fs::metadata(&path) {
        Ok(old) => Some(old),
        Err(cause) if cause.kind() == ErrorKind::NotFound => None,
        Err(cause) => return Err(cause),
    };
    match old {
        Some(old) if old.is_file() => {
            // without permission to write the file there is none to replace it either
            OpenOptions::new().write(true).open(&path)?;
            match put_beside(&path, content, Some(&old)) {
                // the folder accepts no other file, or the file is a mount of its own, as in containers
                Err(cause) if is_refusal(&cause) => write_into(&path, content),
                result => result,
            }
        }
        Some(_) => write_into(&path, content),
        None => put_beside(&path, content, None),
    }
}

fn is_refusal(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::ResourceBusy
    )
}

/// The file that a path leads to, which need not exist. `None` if a link leads to an open file of this process, as
/// `/dev/stdout` does: that file is to be written to, whatever its name.
///
/// # Errors
/// When links form a cycle.
pub fn behind_links(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if path.starts_with("/proc") || path.starts_with("/dev/fd") {
            return Ok(None);
        }
        match fs::read_link(&path) {
            Ok(link) => path = folder_of(&path).join(link),
            // not a link, or missing
            Err(_) => return Ok(Some(path)),
        }
    }
    Err(io::Error::other("too many levels of links"))
}

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) => Path::new("."),
        None => path,
    }
}

fn write_into(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(content)
}

fn put_beside(path: &Path, content: &[u8], old: Option<&Metadata>) -> io::Result<()> {
    const RIGHTS: u32 = 0o777;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".pgbraid-").suffix(".tmp");
    // without what the umask removes
    builder.permissions(Permissions::from_mode(0o666));
    // removed if anything below fails
    let mut file = builder.tempfile_in(folder_of(path))?;
    file.write_all(content)?;
    if let Some(old) = old {
        // only root can give a file away; other users own the file afterwards
        let _ = fchown(file.as_file(), Some(old.uid()), Some(old.gid()));
        file.as_file()
            .set_permissions(Permissions::from_mode(old.mode() & RIGHTS))?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn another_file_takes_its_place_with_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        replace(&path, b"old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let before = fs::metadata(&path).unwrap();
        replace(&path, b"new").unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(after.mode() & 0o777, 0o640);
        assert_ne!(after.ino(), before.ino());
        assert_eq!(names(folder.path()), ["a.toml"]);
    }

    #[test]
    fn a_link_keeps_leading_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        let link = folder.path().join("link");
        symlink("deep/next", &link).unwrap();
        symlink("file", folder.path().join("deep/next")).unwrap();
        // the second time the file exists
        for content in ["one", "two"] {
            replace(&link, content.as_bytes()).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new("deep/next"));
            assert!(!folder.path().join("deep/file").is_symlink());
            assert_eq!(fs::read_to_string(folder.path().join("deep/file")).unwrap(), content);
        }
        let circle = folder.path().join("circle");
        symlink("circle", &circle).unwrap();
        assert!(replace(&circle, b"").is_err());
    }

    #[test]
    fn what_is_no_file_is_written_to() {
        replace(Path::new("/dev/null"), b"text").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let full = replace(Path::new("/dev/full"), b"text").unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            replace(folder.path(), b"text").unwrap_err().kind(),
            ErrorKind::IsADirectory
        );
        assert!(names(folder.path()).is_empty());
    }
}
