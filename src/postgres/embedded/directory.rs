//! Folders that are accessed through open handles. A name is resolved within the folder alone and never through a link,
//! so swapping one for another meanwhile leads nowhere else.

use std::ffi::{CStr, OsStr};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, fchown, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::account::Account;

/// Far deeper than the data of a server. Anything deeper is not removed.
const DEEPEST: usize = 32;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open folder.
#[derive(Debug)]
pub(super) struct Directory(File);

/// Distinguishes a folder from every other for as long as it exists, or is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub device: u64,
    pub inode: u64,
}

impl Identity {
    pub fn of(metadata: &Metadata) -> Identity {
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

impl Directory {
    /// Opens a folder that a user named, following links.
    pub fn open(path: &Path) -> io::Result<Directory> {
        Ok(Directory(openat(CWD, path, FOLDER, Mode::empty())?.into()))
    }

    pub fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata()
    }

    pub fn identity(&self) -> io::Result<Identity> {
        Ok(Identity::of(&self.metadata()?))
    }

    /// Creates a folder that only its owner can enter.
    pub fn make(&self, name: &OsStr) -> io::Result<Directory> {
        mkdirat(&self.0, name, Mode::RWXU)?;
        self.folder(name)
    }

    pub fn folder(&self, name: &OsStr) -> io::Result<Directory> {
        let opened = openat(&self.0, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Directory(opened.into()))
    }

    /// Creates a file, which must not exist yet, to be read and appended to.
    pub fn create_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Opens a plain file for reading. A pipe or a device is an error at once.
    pub fn file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&self.0, name, flags, Mode::empty())?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"))
        }
    }

    /// The start of a plain file, at most `limit` bytes.
    pub fn start_of_file(&self, name: &str, limit: u64) -> io::Result<String> {
        let mut start = Vec::new();
        self.file(name)?.take(limit).read_to_end(&mut start)?;
        Ok(String::from_utf8_lossy(&start).into_owned())
    }

    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    pub fn give_to(&self, account: &Account) -> io::Result<()> {
        let (uid, gid) = (
            rustix::fs::Uid::from_raw(account.uid),
            rustix::fs::Gid::from_raw(account.gid),
        );
        Ok(fchown(&self.0, Some(uid), Some(gid))?)
    }

    /// Removes a file or link. It is no error if it is gone.
    pub fn remove_file(&self, name: &str) -> io::Result<()> {
        Ok(unless_gone(unlinkat(&self.0, name, AtFlags::empty()))?)
    }

    /// Removes the empty folder `name` if it is `folder` and not another that has taken its name.
    pub fn remove_folder(&self, name: &OsStr, folder: &Directory) -> io::Result<()> {
        let expected = folder.metadata()?;
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if found.st_ino == expected.ino() => {
                Ok(unless_gone(unlinkat(&self.0, name, AtFlags::REMOVEDIR))?)
            }
            Ok(_) => Ok(()),
            Err(errno) => Ok(unless_gone(Err(errno))?),
        }
    }

    /// Removes everything in the folder except `kept`.
    pub fn clear(&self, kept: &str) -> io::Result<()> {
        let entries = Dir::read_from(&self.0).and_then(|entries| clear(entries, kept.as_bytes(), DEEPEST));
        Ok(unless_gone(entries)?)
    }
}

fn clear(mut entries: Dir, kept: &[u8], depth: usize) -> Result<(), Errno> {
    if depth == 0 {
        return Err(Errno::NAMETOOLONG);
    }
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let name = entry.file_name();
        if [b".".as_slice(), b"..", kept].contains(&name.to_bytes()) {
            continue;
        }
        let folder = entries.fd()?;
        unless_gone(match unlinkat(folder, name, AtFlags::empty()) {
            // it is a folder, as Linux and POSIX report it
            Err(Errno::ISDIR | Errno::PERM) => remove_tree(folder, name, depth - 1),
            other => other,
        })?;
    }
    Ok(())
}

fn remove_tree(parent: BorrowedFd<'_>, name: &CStr, depth: usize) -> Result<(), Errno> {
    let folder = openat(parent, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    // one descriptor for each level
    clear(Dir::new(folder)?, b".", depth)?;
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

fn unless_gone(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;
    use std::os::unix::fs::symlink;

    fn opened() -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        let folder = Directory::open(root.path()).unwrap();
        (root, folder)
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let (outside, _) = opened();
        fs::write(outside.path().join("precious"), "").unwrap();
        let (root, folder) = opened();
        fs::create_dir(root.path().join("inner")).unwrap();
        symlink(outside.path(), root.path().join("inner/link")).unwrap();
        symlink(outside.path(), root.path().join("link")).unwrap();
        fs::write(root.path().join("kept"), "").unwrap();
        assert!(folder.folder("link".as_ref()).is_err());
        folder.clear("kept").unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        assert!(outside.path().join("precious").exists());
    }

    #[test]
    fn a_folder_that_was_swapped_is_left_alone() {
        let (root, parent) = opened();
        let ours = parent.make("ours".as_ref()).unwrap();
        fs::write(root.path().join("ours/file"), "").unwrap();
        fs::rename(root.path().join("ours"), root.path().join("moved")).unwrap();
        fs::create_dir(root.path().join("ours")).unwrap();
        fs::write(root.path().join("precious"), "").unwrap();
        ours.clear("").unwrap();
        parent.remove_folder("ours".as_ref(), &ours).unwrap();
        assert!(root.path().join("ours").exists(), "it is another's");
        assert!(root.path().join("precious").exists());
        assert_eq!(fs::read_dir(root.path().join("moved")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_plain_file_is_not_read() {
        let (root, folder) = opened();
        let pipe = root.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        symlink("/dev/zero", root.path().join("endless")).unwrap();
        fs::write(root.path().join("long"), "x".repeat(10_000)).unwrap();
        assert!(folder.start_of_file("pipe", 10).is_err());
        assert!(folder.start_of_file("endless", 10).is_err());
        assert_eq!(folder.start_of_file("long", 10).unwrap(), "x".repeat(10));
        assert!(folder.create_file("endless").is_err());
    }

    #[test]
    fn what_is_too_deep_to_be_a_servers_is_an_error() {
        let (root, folder) = opened();
        let deep = root.path().join("d/".repeat(DEEPEST + 1));
        fs::create_dir_all(deep).unwrap();
        assert!(folder.clear("").is_err());
    }
}
