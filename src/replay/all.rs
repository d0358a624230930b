//! Many pinned schedules, several at a time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use super::{Replay, ReplayError, ReplayOptions, replay};
use crate::postgres::Server;
use crate::run::RunError;
use crate::schedule::PinnedFile;

/// The files of pinned schedules that `paths` name: files themselves, and every `.toml` file in and below folders,
/// ordered by name. Each file occurs once.
///
/// # Errors
/// When a path cannot be read.
pub fn find_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ReplayError> {
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    for path in paths {
        let about = |cause| ReplayError::Unreadable {
            path: path.clone(),
            cause,
        };
        if std::fs::metadata(path).map_err(about)?.is_dir() {
            add_folder(path, &mut seen, &mut files)?;
        } else if is_new(path, &mut seen) {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// Whether a file or folder is met for the first time, under any name.
fn is_new(path: &Path, seen: &mut BTreeSet<PathBuf>) -> bool {
    seen.insert(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
}

fn add_folder(folder: &Path, seen: &mut BTreeSet<PathBuf>, files: &mut Vec<PathBuf>) -> Result<(), ReplayError> {
    if !is_new(folder, seen) {
        return Ok(());
    }
    let about = |cause| ReplayError::Unreadable {
        path: folder.to_owned(),
        cause,
    };
    let mut entries = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
        .map_err(about)?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            add_folder(&path, seen, files)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") && is_new(&path, seen) {
            files.push(path);
        }
    }
    Ok(())
}

/// Runs pinned schedules, `options.jobs` at a time. Returns the results in the order of `files`; `progress` is told how
/// many are finished.
pub fn replay_all(
    server: &Arc<Server>,
    files: &[PathBuf],
    options: &ReplayOptions,
    progress: &mut dyn FnMut(usize),
) -> Vec<Result<Replay, ReplayError>> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<Option<Result<Replay, ReplayError>>> = files.iter().map(|_| None).collect();
    thread::scope(|scope| {
        let (sender, replays) = channel();
        for _ in 0..options.jobs.clamp(1, files.len().max(1)) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some((index, path)) = take(next, files) {
                    let result = match options.interrupt.is_cancelled() {
                        true => Err(RunError::Interrupted.into()),
                        false => PinnedFile::read(path)
                            .map_err(ReplayError::from)
                            .and_then(|file| replay(server, file, options)),
                    };
                    if sender.send((index, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (over, (index, result)) in replays.into_iter().enumerate() {
            results[index] = Some(result);
            progress(over + 1);
        }
    });
    // a thread that panicked has taken the scope with it
    let missing = || Err(RunError::Interrupted.into());
    results
        .into_iter()
        .map(|result| result.unwrap_or_else(missing))
        .collect()
}

fn take<'a>(next: &AtomicUsize, files: &'a [PathBuf]) -> Option<(usize, &'a PathBuf)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    files.get(index).map(|path| (index, path))
}
