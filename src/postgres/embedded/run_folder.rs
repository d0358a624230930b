//! The temporary folder of one server: its data, socket and log, and the lock that shows that its owner is alive.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path, PathBuf};
use std::process;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::statvfs::statvfs;

use super::account::{Account, act_as};
use super::directory::{Directory, Identity};
use super::error::EmbeddedError;
use super::log::Log;

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
const NEW_LOCK: &str = "owner.lock.new";
/// More descriptors than are needed at a time to stop a server and remove its folder.
const RESERVE: usize = 8;

const DATA: &str = "data";
const LOG: &str = "server.log";

/// How long a run folder may be without its lock: its owner needs less time to create one.
const LOCKLESS: Duration = Duration::from_secs(60);

/// Linux's file system in memory that anybody may write to.
const MEMORY: &str = "/dev/shm";

/// Free bytes that it must have (containers often give it 64 MiB; a server needs about 60).
const ROOM: u64 = 1 << 30;

/// A run folder with its owner's lock. What its owner does not remove is left for the next run's sweep.
#[derive(Debug)]
pub(super) struct RunFolder {
    path: PathBuf,
    account: Option<Account>,
    parent: Directory,
    folder: Directory,
    /// Missing, perhaps, in what a killed run leaves.
    data: Option<Directory>,
    _lock: File,
    /// Descriptors for tidying up, however many the run has used up.
    reserve: Mutex<Vec<File>>,
}

impl RunFolder {
    /// Makes a folder that only `account` can enter, in the first of the temporary folders that can hold it.
    pub fn create(account: Option<&Account>) -> Result<RunFolder, EmbeddedError> {
        let mut tried = Vec::new();
        for dir in temporary_dirs() {
            match RunFolder::create_in(&dir, account)? {
                Ok(folder) => return Ok(folder),
                Err(why) => tried.push(format!("{}: {why}", dir.display())),
            }
        }
        Err(EmbeddedError::NoRunFolder { tried })
    }

    fn create_in(dir: &Path, account: Option<&Account>) -> Result<io::Result<RunFolder>, EmbeddedError> {
        let prefix = format!("{PREFIX}{}-", process::id());
        if !socket_path_fits(dir, prefix.len() + RANDOM_BYTES) {
            return Ok(Err(io::Error::other("its path is too long for a Unix socket")));
        }
        let made = match (act_as(account, || make(dir, &prefix))?, account) {
            (Err(error), Some(account)) if denied(&error) => {
                if !only_root_writes(dir) {
                    let why = format!("the account {} cannot write to it", account.name);
                    return Ok(Err(io::Error::other(why)));
                }
                make(dir, &prefix).and_then(|made| {
                    made.folder.give_to(account)?;
                    Ok(made)
                })
            }
            (made, _) => made,
        };
        let Made { path, parent, folder } = match made {
            Ok(made) => made,
            Err(error) => return Ok(Err(error)),
        };
        let furnished = act_as(account, || {
            // by its path, which is how the server's programs find it
            Directory::open(&path)?;
            let lock = lock_new(&folder)?;
            let reserve = (0..RESERVE).map(|_| lock.try_clone()).collect::<Result<_, _>>()?;
            Ok((lock, folder.make(DATA.as_ref())?, reserve))
        })?;
        Ok(match furnished {
            Ok((lock, data, reserve)) => Ok(RunFolder {
                path,
                account: account.cloned(),
                parent,
                folder,
                data: Some(data),
                _lock: lock,
                reserve: Mutex::new(reserve),
            }),
            Err(error) => remove(account, &path, &parent, &folder)?.and(Err(match account {
                Some(account) if denied(&error) => {
                    io::Error::other(format!("the account {} cannot enter it", account.name))
                }
                _ => error,
            })),
        })
    }

    /// Takes over the folder `name` in `dir` if its owner has ended. `None` if the owner is alive or the folder is not
    /// one of pgbraid's, created by the account that this thread acts as.
    pub fn of_ended_owner(dir: &Path, name: &OsStr, account: Option<&Account>) -> io::Result<Option<RunFolder>> {
        let parent = Directory::open(dir)?;
        let folder = parent.folder(name)?;
        let metadata = folder.metadata()?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Ok(None);
        }
        let lock = match folder.file(LOCK) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if metadata.modified()?.elapsed().is_ok_and(|age| age > LOCKLESS) {
                    // its owner was killed before it had a lock, or after the lock was removed; it is empty then
                    folder.remove_file(NEW_LOCK)?;
                    parent.remove_folder(name, &folder)?;
                }
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match lock.try_lock() {
            Ok(()) => Ok(Some(RunFolder {
                path: dir.join(name),
                account: account.cloned(),
                parent,
                data: folder.folder(DATA.as_ref()).ok(),
                folder,
                _lock: lock,
                reserve: Mutex::default(),
            })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The account that the folder belongs to, where it is another than pgbraid's.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    pub fn data_path(&self) -> PathBuf {
        self.path.join(DATA)
    }

    pub fn data(&self) -> Option<&Directory> {
        self.data.as_ref()
    }

    /// Removes everything in the data folder.
    pub fn clear_data(&self) -> Result<(), EmbeddedError> {
        let cleared = self.data.as_ref().map_or(Ok(()), |data| data.clear(""));
        cleared.map_err(|source| EmbeddedError::File {
            path: self.data_path(),
            source,
        })
    }

    /// The folder and its data folder: the server's programs work in one of them.
    pub fn identities(&self) -> io::Result<Vec<Identity>> {
        let folders = std::iter::once(&self.folder).chain(&self.data);
        folders.map(Directory::identity).collect()
    }

    pub fn create_log(&self) -> Result<Log, EmbeddedError> {
        let file = self.folder.create_file(LOG);
        file.map(Log::new).map_err(|source| EmbeddedError::File {
            path: self.path.join(LOG),
            source,
        })
    }

    /// Releases the descriptors that were reserved for tidying up.
    pub fn begin_tidying(&self) {
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Removes the folder and everything in it; does nothing if it is gone.
    pub fn remove(&self) -> Result<(), EmbeddedError> {
        self.begin_tidying();
        remove(self.account(), &self.path, &self.parent, &self.folder)?.map_err(|source| EmbeddedError::File {
            path: self.path.clone(),
            source,
        })
    }
}

/// A new folder, still empty.
struct Made {
    path: PathBuf,
    parent: Directory,
    folder: Directory,
}

fn make(dir: &Path, prefix: &str) -> io::Result<Made> {
    let parent = Directory::open(dir)?;
    let (folder, path) = tempfile::Builder::new()
        .prefix(prefix)
        .rand_bytes(RANDOM_BYTES)
        .make_in(dir, |path| parent.make(path.file_name().unwrap_or_default()))?
        .keep()
        .map_err(|kept| kept.error)?;
    Ok(Made { path, parent, folder })
}

/// Removes a run folder, the lock file last: if this is interrupted, what is left can still be distinguished from the
/// folder of a living owner.
fn remove(
    account: Option<&Account>,
    path: &Path,
    parent: &Directory,
    folder: &Directory,
) -> Result<io::Result<()>, EmbeddedError> {
    let name = path.file_name().unwrap_or_default();
    let removed = act_as(account, || {
        folder.clear(LOCK)?;
        folder.remove_file(LOCK)?;
        parent.remove_folder(name, folder)
    })?;
    Ok(match (removed, path.parent()) {
        // the folder that it is in belongs to root
        (Err(error), Some(dir)) if account.is_some() && denied(&error) && only_root_writes(dir) => {
            parent.remove_folder(name, folder)
        }
        (removed, _) => removed,
    })
}

fn denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// Whether root alone decides what is in `dir` and where its path leads.
fn only_root_writes(dir: &Path) -> bool {
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let is_roots = |path: &Path, accepted: fn(u32) -> bool| {
        fs::symlink_metadata(path).is_ok_and(|found| found.uid() == 0 && (found.is_symlink() || accepted(found.mode())))
    };
    let Ok(real) = fs::canonicalize(dir) else {
        return false;
    };
    is_roots(&real, |mode| mode & OTHERS_WRITE == 0)
        && [dir, &real]
            .into_iter()
            .flat_map(Path::ancestors)
            .all(|above| is_roots(above, |mode| mode & OTHERS_WRITE == 0 || mode & STICKY != 0))
}

/// Where run folders are created, in this order: in memory, if there is plenty of it and `TMPDIR` is not set
/// (truncating a table, which every run does, takes a third of the time there); the system's temporary folder; `/tmp`.
fn temporary_dirs() -> Vec<PathBuf> {
    let mut dirs = swept_dirs();
    if env::var_os("TMPDIR").is_some() || !has_room(Path::new(MEMORY)) {
        dirs.retain(|dir| dir != Path::new(MEMORY));
    }
    dirs
}

/// All places where run folders may be.
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
fn lock_new(folder: &Directory) -> io::Result<File> {
    let lock = folder.create_file(NEW_LOCK)?;
    lock.try_lock()?;
    folder.rename(NEW_LOCK, LOCK)?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

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
        let refused = RunFolder::create_in(&long, None).unwrap().unwrap_err();
        assert!(refused.to_string().contains("too long"));
        assert_eq!(fs::read_dir(&long).unwrap().count(), 0);
    }

    #[test]
    fn a_dir_that_the_account_cannot_enter_is_refused() {
        let Ok(Some(account)) = Account::for_server() else {
            eprintln!("skipped: not root");
            return;
        };
        let root = tempfile::tempdir_in("/tmp").unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o700)).unwrap();
        let refused = RunFolder::create_in(root.path(), Some(&account)).unwrap().unwrap_err();
        assert!(refused.to_string().contains(&account.name), "{refused}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn root_makes_folders_of_the_account_only_where_nobody_else_writes() {
        let Ok(Some(account)) = Account::for_server() else {
            eprintln!("skipped: not root");
            return;
        };
        let root = tempfile::tempdir_in("/tmp").unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let folder = RunFolder::create_in(root.path(), Some(&account)).unwrap().unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().uid(), account.uid);
        folder.remove().unwrap();
        assert!(!folder.path().exists());

        assert!(only_root_writes(root.path()));
        let (own, anothers) = (root.path().join("own"), root.path().join("another's"));
        for dir in [&own, &anothers] {
            fs::create_dir(dir).unwrap();
            fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
        }
        std::os::unix::fs::chown(&anothers, Some(account.uid + 1), None).unwrap();
        std::os::unix::fs::symlink(&own, anothers.join("link")).unwrap();
        assert!(only_root_writes(&own));
        assert!(!only_root_writes(&anothers));
        assert!(!only_root_writes(&anothers.join("link")), "it may lead elsewhere soon");
        fs::set_permissions(&own, Permissions::from_mode(0o775)).unwrap();
        assert!(!only_root_writes(&own));
        assert!(RunFolder::create_in(&anothers, Some(&account)).unwrap().is_err());
    }

    fn ownerless(dir: &Path) -> Option<RunFolder> {
        let (parent, name) = (dir.parent().unwrap(), dir.file_name().unwrap());
        RunFolder::of_ended_owner(parent, name, None).unwrap()
    }

    #[test]
    fn the_owner_keeps_the_lock_until_the_folder_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create_in(root.path(), None).unwrap().unwrap();
        let path = folder.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(ownerless(&path).is_none());
        fs::write(folder.data_path().join("file"), "content").unwrap();
        folder.remove().unwrap();
        folder.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn an_ownerless_folder_can_be_locked_once() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(LOCK), "").unwrap();
        let taken = ownerless(root.path());
        assert!(taken.is_some());
        assert!(ownerless(root.path()).is_none());
    }

    #[test]
    fn a_lock_that_is_no_file_is_not_followed() {
        for plant in ["ln -s /dev/zero", "mkfifo"] {
            let root = tempfile::tempdir().unwrap();
            let planted = process::Command::new("sh")
                .args(["-c", &format!("{plant} \"$0\"")])
                .arg(root.path().join(LOCK))
                .status()
                .unwrap();
            assert!(planted.success());
            let (parent, name) = (root.path().parent().unwrap(), root.path().file_name().unwrap());
            assert!(RunFolder::of_ended_owner(parent, name, None).is_err(), "{plant}");
        }
    }

    #[test]
    fn an_old_folder_without_a_lock_goes_when_it_is_empty() {
        let root = tempfile::tempdir().unwrap();
        let old = std::time::SystemTime::now() - LOCKLESS * 2;
        let folder = |name: &str, files: &[&str], modified| {
            let path = root.path().join(name);
            fs::create_dir(&path).unwrap();
            for file in files {
                fs::write(path.join(file), "").unwrap();
            }
            File::open(&path).unwrap().set_modified(modified).unwrap();
            let _ = RunFolder::of_ended_owner(root.path(), name.as_ref(), None);
            path.exists()
        };
        assert!(!folder("empty", &[], old));
        assert!(!folder("begun", &[NEW_LOCK], old));
        assert!(folder("another's", &["notes"], old));
        assert!(folder("recent", &[NEW_LOCK], std::time::SystemTime::now()));
    }
}
