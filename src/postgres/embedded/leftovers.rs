//! What a killed run left behind.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio_util::sync::CancellationToken;

use super::account::{Account, act_as};
use super::backoff::Backoff;
use super::postmaster::{SHUTDOWN_LIMIT, clear_remains};
use super::processes::{server_processes, signal_all};
use super::run_folder::{self, PREFIX, RunFolder};

/// How long leftovers may delay a start. The rest are left to the next run.
const LIMIT: Duration = Duration::from_secs(30);

/// Stops the servers and removes the folders of runs that were killed, and returns those folders.
///
/// A run folder is a leftover when its owner's lock is free. Folders of other users are left alone (root's servers run as
/// another account; it looks after those), and so is what cannot be removed.
pub fn sweep_leftovers() -> Vec<PathBuf> {
    match Account::for_server() {
        Ok(account) => sweep(account.as_ref(), &CancellationToken::new()),
        Err(_no_server_can_have_run) => Vec::new(),
    }
}

/// Sweeps as `account` until it is interrupted.
pub(super) fn sweep(account: Option<&Account>, interrupt: &CancellationToken) -> Vec<PathBuf> {
    let dirs = run_folder::swept_dirs();
    let leftovers = dirs.iter().flat_map(|dir| sweep_dir(dir, account, interrupt));
    leftovers.collect()
}

fn sweep_dir(dir: &Path, account: Option<&Account>, interrupt: &CancellationToken) -> Vec<PathBuf> {
    let begun = Instant::now();
    run_folder_names(dir)
        .take_while(|_| !interrupt.is_cancelled() && begun.elapsed() < LIMIT)
        .filter_map(|name| {
            let stopped = act_as(account, || -> io::Result<Option<RunFolder>> {
                let Some(folder) = RunFolder::of_ended_owner(dir, &name, account)? else {
                    return Ok(None);
                };
                Ok(stop_server(&folder, interrupt)?.then_some(folder))
            });
            let folder = stopped.ok()?.ok()??;
            folder.remove().ok().map(|()| folder.path().to_owned())
        })
        .collect()
}

fn run_folder_names(dir: &Path) -> impl Iterator<Item = OsString> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name())
        .filter(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
}

/// Stops the server of a leftover. Its processes are searched for, since the id in `postmaster.pid` may belong to
/// another process by now, or be forged. Returns false if interrupted.
fn stop_server(folder: &RunFolder, interrupt: &CancellationToken) -> io::Result<bool> {
    let processes = server_processes(folder)?;
    signal_all(&processes, Signal::SIGQUIT);
    signal_all(&processes, Signal::SIGCONT);
    let mut backoff = Backoff::new(SHUTDOWN_LIMIT);
    while !server_processes(folder)?.is_empty() && !interrupt.is_cancelled() && backoff.wait() {}
    if interrupt.is_cancelled() {
        return Ok(false);
    }
    clear_remains(folder)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::File;
    use std::os::unix::fs::PermissionsExt;

    fn sweep(dir: &Path) -> Vec<PathBuf> {
        sweep_dir(dir, None, &CancellationToken::new())
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

        assert_eq!(sweep(dir.path()), std::slice::from_ref(&leftover));
        assert!(!leftover.exists());
        for kept in [&owned, &unlike, &without_lock, &file] {
            assert!(kept.exists(), "{}", kept.display());
        }

        drop(lock);
        assert_eq!(sweep(dir.path()), [owned]);
    }

    #[test]
    fn folders_of_others_are_left_alone() {
        let Ok(Some(account)) = Account::for_server() else {
            eprintln!("skipped: not root");
            return;
        };
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let roots = run_folder_in(dir.path(), "pgbraid-1-aaaaaa");
        let anothers = run_folder_in(dir.path(), "pgbraid-1-bbbbbb");
        fs::set_permissions(&anothers, fs::Permissions::from_mode(0o777)).unwrap();
        std::os::unix::fs::chown(&anothers, Some(account.uid + 1), None).unwrap();
        let swept = sweep_dir(dir.path(), Some(&account), &CancellationToken::new());
        assert_eq!(swept, Vec::<PathBuf>::new());
        for folder in [roots, anothers] {
            assert!(folder.join("data/base/1").exists());
        }
    }

    #[test]
    fn an_interrupted_sweep_ends() {
        let dir = tempfile::tempdir().unwrap();
        let leftover = run_folder_in(dir.path(), "pgbraid-1-aaaaaa");
        let interrupt = CancellationToken::new();
        interrupt.cancel();
        assert_eq!(sweep_dir(dir.path(), None, &interrupt), Vec::<PathBuf>::new());
        assert!(leftover.exists());
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let target = run_folder_in(elsewhere.path(), "target");
        std::os::unix::fs::symlink(&target, dir.path().join("pgbraid-1-aaaaaa")).unwrap();
        assert_eq!(sweep(dir.path()), Vec::<PathBuf>::new());
        assert!(target.join("data/base/1").exists());
    }

    #[test]
    fn a_dir_that_is_absent_is_no_error() {
        assert_eq!(sweep(Path::new("/absent")), Vec::<PathBuf>::new());
    }
}
