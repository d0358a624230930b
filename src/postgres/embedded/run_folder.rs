//! The temporary folder of one server: its data, socket and log, and the lock that tells that its owner lives.

use std::env;
use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{self, Path, PathBuf};
use std::process;

use nix::sys::statvfs::statvfs;

use super::account::Account;
use super::error::EmbeddedError;

/// What the name of every run folder starts with.
pub(super) const PREFIX: &str = "pgbraid-";

/// The server's port. It only names the socket, which lies in a folder of its own.
pub(super) const PORT: u16 = 5432;

/// The longest path of a Unix socket in bytes, without the closing NUL.
const MAX_SOCKET_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) {
    107
} else {
    103
};

/// The length of the random part of the folder's name.
const RANDOM_BYTES: usize = 6;

const LOCK: &str = "owner.lock";

/// Linux's file system in memory that anybody may write to.
const MEMORY: &str = "/dev/shm";

/// Free bytes that it must have (containers often give it 64 MiB; a server needs about 60).
const ROOM: u64 = 1 << 30;

/// A run folder with its owner's lock, held until the folder is removed. Removed when dropped.
#[derive(Debug)]
pub(super) struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// Makes a folder that only `account` can enter, in the first of the temporary folders that can hold it.
    pub fn create(account: Option<&Account>) -> Result<RunFolder, EmbeddedError> {
        let mut tried = Vec::new();
        for dir in temporary_dirs() {
            match RunFolder::create_in(&dir, account) {
                Ok(folder) => return Ok(folder),
                Err(why) => tried.push(format!("{}: {why}", dir.display())),
            }
        }
        Err(EmbeddedError::NoRunFolder { tried })
    }

    fn create_in(dir: &Path, account: Option<&Account>) -> io::Result<RunFolder> {
        let prefix = format!("{PREFIX}{}-", process::id());
        if !socket_path_fits(dir, prefix.len() + RANDOM_BYTES) {
            return Err(io::Error::other("its path is too long for a Unix socket"));
        }
        if let Some(account) = account
            && !account.can_enter(dir)?
        {
            return Err(io::Error::other(format!(
                "the account {} cannot enter it",
                account.name
            )));
        }
        let path = tempfile::Builder::new()
            .prefix(&prefix)
            .rand_bytes(RANDOM_BYTES)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(dir)?
            .keep();
        let lock = match lock_new(&path) {
            Ok(lock) => lock,
            Err(error) => {
                remove(&path)?;
                return Err(error);
            }
        };
        let folder = RunFolder { path, _lock: lock };
        if let Some(account) = account {
            chown(&folder.path, Some(account.uid), Some(account.gid))?;
        }
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn data(&self) -> PathBuf {
        data(&self.path)
    }

    pub fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    /// Removes the folder and all that is in it; nothing happens when it is gone.
    pub fn remove(&self) -> Result<(), EmbeddedError> {
        remove(&self.path).map_err(|source| EmbeddedError::File {
            path: self.path.clone(),
            source,
        })
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // What cannot be removed now is left for the next run's sweep.
        let _ = self.remove();
    }
}

/// The data folder within a run folder.
pub(super) fn data(run_folder: &Path) -> PathBuf {
    run_folder.join("data")
}

/// Where run folders are made, in this order: in memory, where there is plenty of it and `TMPDIR` asks for nothing else
/// (truncating a table, which every run does, takes a third of the time there); the system's temporary folder; `/tmp`.
fn temporary_dirs() -> Vec<PathBuf> {
    let mut dirs = swept_dirs();
    if env::var_os("TMPDIR").is_some() || !has_room(Path::new(MEMORY)) {
        dirs.retain(|dir| dir != Path::new(MEMORY));
    }
    dirs
}

/// Everywhere that run folders may lie.
pub(super) fn swept_dirs() -> Vec<PathBuf> {
    let mut dirs = vec![PathBuf::from(MEMORY)];
    dirs.extend(path::absolute(env::temp_dir()));
    let fallback = PathBuf::from("/tmp");
    if !dirs.contains(&fallback) {
        dirs.push(fallback);
    }
    dirs
}

/// Whether a folder is on a file system with room for a server's files several times over.
// the types differ between systems, so on some the conversion is to the same type
#[allow(clippy::useless_conversion)]
fn has_room(dir: &Path) -> bool {
    statvfs(dir).is_ok_and(|room| u64::from(room.blocks_available()) * u64::from(room.fragment_size()) >= ROOM)
}

fn socket_path_fits(dir: &Path, name_length: usize) -> bool {
    let socket = format!(".s.PGSQL.{PORT}");
    dir.as_os_str().as_bytes().len() + 1 + name_length + 1 + socket.len() <= MAX_SOCKET_PATH
}

/// Makes the lock file of a new run folder. It gets its name only when it is locked, so that a run folder whose lock
/// file can be locked by another process has lost its owner.
fn lock_new(run_folder: &Path) -> io::Result<File> {
    let unnamed = run_folder.join("owner.lock.new");
    let lock = File::create_new(&unnamed)?;
    lock.try_lock()?;
    fs::rename(&unnamed, run_folder.join(LOCK))?;
    Ok(lock)
}

/// Takes over the run folder of an owner that has ended: the lock, or none when the owner lives or the folder is not
/// one of pgbraid's.
pub(super) fn lock_ownerless(run_folder: &Path) -> io::Result<Option<File>> {
    let path = run_folder.join(LOCK);
    // Anything but a plain file (a link, a pipe) was not made by pgbraid.
    if !fs::symlink_metadata(&path)?.is_file() {
        return Ok(None);
    }
    let lock = File::open(&path)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes a run folder, the lock file last: what is left of it when this is interrupted can still be told from the
/// folder of a living owner.
pub(super) fn remove(run_folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(run_folder) {
        Ok(entries) => entries,
        Err(error) => return unless_gone(Err(error)),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name() == LOCK {
            continue;
        }
        unless_gone(match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path()),
            false => fs::remove_file(entry.path()),
        })?;
    }
    unless_gone(fs::remove_file(run_folder.join(LOCK)))?;
    unless_gone(fs::remove_dir(run_folder))
}

fn unless_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_has_a_limit() {
        let name_length = "pgbraid-12345-abcdef".len();
        let socket_length = "//.s.PGSQL.5432".len();
        let longest = MAX_SOCKET_PATH - name_length - socket_length;
        let dir_of = |length: usize| PathBuf::from(format!("/{}", "x".repeat(length - 1)));
        assert!(socket_path_fits(&dir_of(longest), name_length));
        assert!(!socket_path_fits(&dir_of(longest + 1), name_length));
    }

    #[test]
    fn a_dir_with_a_long_path_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let long = root.path().join("x".repeat(MAX_SOCKET_PATH));
        fs::create_dir(&long).unwrap();
        assert!(
            RunFolder::create_in(&long, None)
                .unwrap_err()
                .to_string()
                .contains("too long")
        );
        assert_eq!(fs::read_dir(&long).unwrap().count(), 0);
    }

    #[test]
    fn a_dir_that_the_account_cannot_enter_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o700)).unwrap();
        let stranger = Account {
            name: "stranger".to_owned(),
            uid: 4_000_000,
            gid: 4_000_000,
        };
        let refused = RunFolder::create_in(root.path(), Some(&stranger)).unwrap_err();
        assert!(refused.to_string().contains("stranger"), "{refused}");
    }

    #[test]
    fn the_owner_keeps_the_lock_until_the_folder_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create_in(root.path(), None).unwrap();
        let path = folder.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(lock_ownerless(&path).unwrap().is_none());
        fs::create_dir(folder.data()).unwrap();
        fs::write(folder.data().join("file"), "content").unwrap();
        folder.remove().unwrap();
        folder.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn an_ownerless_folder_can_be_locked_once() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(LOCK), "").unwrap();
        let taken = lock_ownerless(root.path()).unwrap();
        assert!(taken.is_some());
        assert!(lock_ownerless(root.path()).unwrap().is_none());
    }

    #[test]
    fn a_lock_that_is_no_file_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        assert!(lock_ownerless(root.path()).is_err());
        std::os::unix::fs::symlink("/dev/null", root.path().join(LOCK)).unwrap();
        assert!(lock_ownerless(root.path()).unwrap().is_none());
    }
}
