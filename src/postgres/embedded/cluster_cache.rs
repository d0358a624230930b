//! What `initdb` has made, kept in the cache folder of the account that the server runs as. The next server starts from
//! a copy, which takes a tenth of the time.
//!
//! A cluster is one file, which gets its name when it is complete. The cache only saves time: where there is none, or
//! it cannot be used, `initdb` is run.

use std::env;
use std::fmt::Write;
use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, BufReader, BufWriter};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::geteuid;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::account::Account;
use super::binaries::Binaries;
use super::command::server_command;
use super::directory::Directory;

/// Turns the cache off.
const OFF_VARIABLE: &str = "PGBRAID_NO_CACHE";

const SUFFIX: &str = ".tar";

/// What is being written starts with this.
const UNFINISHED: &str = "unfinished-";

/// How long a cluster is kept that no server was started from.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

const BUFFER: usize = 256 << 10;

/// The place of one kind of cluster: what certain programs make with certain arguments on this system.
pub(super) struct ClusterCache {
    path: PathBuf,
    folder: Directory,
    name: String,
}

impl ClusterCache {
    /// The place of what `initdb` makes with `arguments`. `account` is the one that the calling thread acts as, if that
    /// is another than pgbraid's.
    ///
    /// # Errors
    /// The cache is turned off, there is no folder for it, or somebody else could write to that.
    pub fn open(binaries: &Binaries, arguments: &[&str], account: Option<&Account>) -> io::Result<ClusterCache> {
        if env::var_os(OFF_VARIABLE).is_some_and(|value| !value.is_empty()) {
            return Err(io::Error::other("turned off"));
        }
        let path = cache_folder(account).ok_or(io::ErrorKind::NotFound)?.join("pgbraid");
        ClusterCache::open_in(path, &key(binaries, arguments)?)
    }

    fn open_in(path: PathBuf, key: &str) -> io::Result<ClusterCache> {
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let folder = Directory::open(&path)?;
        only_this_account_writes(&folder.metadata()?)?;
        let name = format!("{key}{SUFFIX}");
        Ok(ClusterCache { path, folder, name })
    }

    /// Fills the data folder `data`, which is empty.
    ///
    /// # Errors
    /// There is no such cluster, or it cannot be copied. `data` may have some of it then.
    pub fn copy_to(&self, data: &Path) -> io::Result<()> {
        let file = self.folder.file(&self.name)?;
        only_this_account_writes(&file.metadata()?)?;
        is_whole(&file)?;
        // for `remove_old`
        let _ = file.set_modified(SystemTime::now());
        let mut archive = tar::Archive::new(BufReader::with_capacity(BUFFER, file));
        archive.set_preserve_mtime(false);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = data.join(entry.path()?);
            // the archive's own way looks up where each path leads, which takes longer than the rest
            match entry.header().entry_type().is_dir() {
                // folders come before what is in them, and `data` itself is there
                true if path.is_dir() => {}
                true => DirBuilder::new().mode(0o700).create(path)?,
                false => drop(entry.unpack(path)?),
            }
        }
        Ok(())
    }

    /// Writes the data folder `data`, as `initdb` has made it. It is in the cache when [`Unfinished::finish`] is called.
    pub fn write(self, data: &Path) -> io::Result<Unfinished> {
        self.remove_old();
        let file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.path)?;
        let mut archive = tar::Builder::new(BufWriter::with_capacity(BUFFER, file));
        archive.append_dir_all("", data)?;
        let file = archive.into_inner()?.into_inner()?;
        Ok(Unfinished {
            file,
            path: self.path.join(self.name),
        })
    }

    /// Removes the cluster.
    pub fn forget(self) {
        // if it stays, the next server fails to start from it as well, and says so
        let _ = self.folder.remove_file(&self.name);
    }

    fn remove_old(&self) {
        let is_ours = |name: &str| name.ends_with(SUFFIX) || name.starts_with(UNFINISHED);
        let is_old = |metadata: &Metadata| {
            let unused = metadata.modified().ok().and_then(|used| used.elapsed().ok());
            unused.is_some_and(|unused| unused > KEPT)
        };
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if let Some(name) = entry.file_name().to_str()
                && is_ours(name)
                && entry.metadata().is_ok_and(|metadata| is_old(&metadata))
            {
                let _ = self.folder.remove_file(name);
            }
        }
    }
}

/// A cluster that is not in the cache yet.
pub(super) struct Unfinished {
    file: NamedTempFile,
    path: PathBuf,
}

impl Unfinished {
    pub fn finish(self) -> io::Result<()> {
        // or its name could survive a crash of the system, and its content not
        self.file.as_file().sync_all()?;
        self.file.persist(self.path)?;
        Ok(())
    }
}

/// Root's variables say nothing of the account that the server runs as.
fn cache_folder(account: Option<&Account>) -> Option<PathBuf> {
    let in_home = |home: PathBuf| home.join(".cache");
    let folder = match account {
        Some(account) => in_home(account.home.clone()),
        None => {
            let named = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
            named("XDG_CACHE_HOME").or_else(|| named("HOME").map(in_home))?
        }
    };
    Some(folder)
}

fn only_this_account_writes(found: &Metadata) -> io::Result<()> {
    const OTHERS_WRITE: u32 = 0o022;
    if found.uid() == geteuid().as_raw() && found.mode() & OTHERS_WRITE == 0 {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// An archive ends with two empty blocks. To unpack one that was cut off between two files is no error.
fn is_whole(archive: &File) -> io::Result<()> {
    let mut end = [1; 1024];
    let start = archive.metadata()?.len().checked_sub(end.len() as u64);
    archive.read_exact_at(&mut end, start.ok_or(io::ErrorKind::UnexpectedEof)?)?;
    match end.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Names what the content of a new cluster depends on: the programs and their libraries, the arguments, and the locales of
/// the system, which are collations of the cluster.
fn key(binaries: &Binaries, arguments: &[&str]) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    };
    for argument in arguments {
        add(argument.as_bytes());
    }
    add(binaries.version().text.as_bytes());
    for file in [vec![binaries.postgres(), binaries.initdb()], libraries(binaries)?].concat() {
        let found = fs::metadata(&file)?;
        add(file.as_os_str().as_encoded_bytes());
        add(&found.len().to_le_bytes());
        add(&found.mtime().to_le_bytes());
        add(&found.mtime_nsec().to_le_bytes());
    }
    // as initdb asks for them; without the program it finds none
    let locales = server_command(Path::new("locale"), Path::new("/")).arg("-a").output();
    add(&locales.map(|output| output.stdout).unwrap_or_default());
    let hash = hash.finalize();
    Ok(hash.iter().take(16).fold(String::new(), |mut key, byte| {
        let _ = write!(key, "{byte:02x}");
        key
    }))
}

/// The libraries that the server would be loaded with, as the dynamic linker of Linux lists them. Elsewhere none are
/// known, and the programs have to do.
fn libraries(binaries: &Binaries) -> io::Result<Vec<PathBuf>> {
    let mut command = server_command(&binaries.postgres(), Path::new("/"));
    // a system without that variable prints the version
    let listed = command.arg("--version").env("LD_TRACE_LOADED_OBJECTS", "1").output()?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let words = listed.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    /// A cache, and a data folder to fill from it.
    fn place() -> (TempDir, ClusterCache, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        fs::create_dir(&data).unwrap();
        let cache = ClusterCache::open_in(root.path().join("cache/pgbraid"), "key").unwrap();
        (root, cache, data)
    }

    /// A data folder as `initdb` might make one.
    fn cluster(root: &Path) -> PathBuf {
        let made = root.join("made");
        fs::create_dir_all(made.join("base/1")).unwrap();
        fs::create_dir(made.join("pg_twophase")).unwrap();
        fs::write(made.join("base/1/1259"), [0, 1, 255]).unwrap();
        fs::write(made.join("PG_VERSION"), "17\n").unwrap();
        made
    }

    fn again(root: &Path) -> ClusterCache {
        ClusterCache::open_in(root.join("cache/pgbraid"), "key").unwrap()
    }

    #[test]
    fn a_copy_is_what_was_kept() {
        let (root, cache, data) = place();
        assert!(cache.copy_to(&data).is_err());
        cache.write(&cluster(root.path())).unwrap().finish().unwrap();
        again(root.path()).copy_to(&data).unwrap();
        assert_eq!(fs::read(data.join("base/1/1259")).unwrap(), [0, 1, 255]);
        assert_eq!(fs::read(data.join("PG_VERSION")).unwrap(), b"17\n");
        assert!(data.join("pg_twophase").is_dir());
        again(root.path()).forget();
        assert!(again(root.path()).copy_to(&data).is_err());
    }

    #[test]
    fn what_is_not_finished_is_not_there() {
        let (root, cache, data) = place();
        let unfinished = cache.write(&cluster(root.path())).unwrap();
        assert!(again(root.path()).copy_to(&data).is_err());
        drop(unfinished);
        assert_eq!(fs::read_dir(root.path().join("cache/pgbraid")).unwrap().count(), 0);
    }

    #[test]
    fn what_was_cut_off_is_not_used() {
        let (root, cache, data) = place();
        cache.write(&cluster(root.path())).unwrap().finish().unwrap();
        let kept = File::options()
            .write(true)
            .open(root.path().join("cache/pgbraid/key.tar"))
            .unwrap();
        for missing in [1024, 2048, kept.metadata().unwrap().len()] {
            kept.set_len(kept.metadata().unwrap().len().saturating_sub(missing))
                .unwrap();
            assert!(again(root.path()).copy_to(&data).is_err(), "{missing}");
        }
    }

    #[test]
    fn what_others_may_have_written_is_not_used() {
        let (root, cache, data) = place();
        cache.write(&cluster(root.path())).unwrap().finish().unwrap();
        let folder = root.path().join("cache/pgbraid");
        let kept = folder.join("key.tar");
        let allow = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        allow(&kept, 0o620);
        assert!(again(root.path()).copy_to(&data).is_err());
        allow(&kept, 0o600);
        allow(&folder, 0o770);
        assert!(ClusterCache::open_in(folder.clone(), "key").is_err());
        allow(&folder, 0o700);
        if geteuid().is_root() {
            std::os::unix::fs::chown(&kept, Some(1), None).unwrap();
            assert!(again(root.path()).copy_to(&data).is_err());
            std::os::unix::fs::chown(&kept, Some(0), None).unwrap();
        }
        fs::rename(&kept, root.path().join("elsewhere")).unwrap();
        symlink(root.path().join("elsewhere"), &kept).unwrap();
        assert!(again(root.path()).copy_to(&data).is_err());
        fs::remove_file(&kept).unwrap();
        fs::rename(root.path().join("elsewhere"), &kept).unwrap();
        again(root.path()).copy_to(&data).unwrap();
    }

    #[test]
    fn what_no_server_was_started_from_for_long_is_removed() {
        let (root, cache, data) = place();
        let folder = root.path().join("cache/pgbraid");
        let old = SystemTime::now() - KEPT - Duration::from_secs(60);
        for name in ["old.tar", "unfinished-old", "another's", "key.tar"] {
            fs::write(folder.join(name), [0; 1024]).unwrap();
            File::open(folder.join(name)).unwrap().set_modified(old).unwrap();
        }
        File::create(folder.join("unfinished-new")).unwrap();
        cache.copy_to(&data).unwrap();
        cache.remove_old();
        let mut left: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["another's", "key.tar", "unfinished-new"]);
    }
}
