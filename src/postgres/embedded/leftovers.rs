//! What a killed run left behind.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use super::account::Account;
use super::backoff::Backoff;
use super::postmaster::{SHUTDOWN_LIMIT, clear_remains};
use super::processes::{server_processes, signal_all};
use super::run_folder::{self, PREFIX};

/// Stops the servers and removes the folders of runs that were killed, and returns those folders.
///
/// A run folder is a leftover when its owner's lock is free. Folders of other users are left alone, and so is what
/// cannot be removed.
pub fn sweep_leftovers() -> Vec<PathBuf> {
    let mut owners = vec![geteuid().as_raw()];
    owners.extend(Account::for_server().ok().flatten().map(|account| account.uid));
    run_folder::swept_dirs()
        .iter()
        .flat_map(|dir| sweep(dir, &owners))
        .collect()
}

fn sweep(dir: &Path, owners: &[u32]) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()))
        .filter(|entry| {
            entry
                .metadata()
                .is_ok_and(|found| found.is_dir() && owners.contains(&found.uid()))
        })
        .map(|entry| entry.path())
        .filter(|folder| matches!(remove_leftover(folder), Ok(true)))
        .collect()
}

/// Whether `folder` was a leftover; then it is gone.
fn remove_leftover(folder: &Path) -> io::Result<bool> {
    let Some(_lock) = run_folder::lock_ownerless(folder)? else {
        return Ok(false);
    };
    stop_server(folder)?;
    run_folder::remove(folder)?;
    Ok(true)
}

/// Stops the server of a leftover. It is found by its command line, never by the process id that `postmaster.pid` has:
/// that may have passed to another process.
fn stop_server(folder: &Path) -> io::Result<()> {
    let processes = server_processes(folder);
    signal_all(&processes, Signal::SIGQUIT);
    signal_all(&processes, Signal::SIGCONT);
    let mut backoff = Backoff::new(SHUTDOWN_LIMIT);
    while !server_processes(folder).is_empty() && backoff.wait() {}
    clear_remains(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::File;

    fn own() -> Vec<u32> {
        vec![geteuid().as_raw()]
    }

    fn run_folder_in(dir: &Path, name: &str) -> PathBuf {
        let folder = dir.join(name);
        fs::create_dir_all(folder.join("data/base")).unwrap();
        fs::write(folder.join("data/base/1"), "content").unwrap();
        fs::write(folder.join("owner.lock"), "").unwrap();
        folder
    }

    #[test]
    fn only_folders_without_an_owner_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let leftover = run_folder_in(dir.path(), "pgbraid-1-aaaaaa");
        let owned = run_folder_in(dir.path(), "pgbraid-1-bbbbbb");
        let lock = File::open(owned.join("owner.lock")).unwrap();
        lock.try_lock().unwrap();
        let unlike = run_folder_in(dir.path(), "another-1-cccccc");
        let without_lock = dir.path().join("pgbraid-1-dddddd");
        fs::create_dir(&without_lock).unwrap();
        let file = dir.path().join("pgbraid-file");
        fs::write(&file, "").unwrap();

        assert_eq!(sweep(dir.path(), &own()), std::slice::from_ref(&leftover));
        assert!(!leftover.exists());
        for kept in [&owned, &unlike, &without_lock, &file] {
            assert!(kept.exists(), "{}", kept.display());
        }

        drop(lock);
        assert_eq!(sweep(dir.path(), &own()), [owned]);
    }

    #[test]
    fn folders_of_others_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = run_folder_in(dir.path(), "pgbraid-1-aaaaaa");
        let another = geteuid().as_raw().wrapping_add(1);
        assert_eq!(sweep(dir.path(), &[another]), Vec::<PathBuf>::new());
        assert!(folder.exists());
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let target = run_folder_in(elsewhere.path(), "target");
        std::os::unix::fs::symlink(&target, dir.path().join("pgbraid-1-aaaaaa")).unwrap();
        assert_eq!(sweep(dir.path(), &own()), Vec::<PathBuf>::new());
        assert!(target.join("data/base/1").exists());
    }

    #[test]
    fn a_dir_that_is_absent_is_no_error() {
        assert_eq!(sweep(Path::new("/absent"), &own()), Vec::<PathBuf>::new());
    }
}
