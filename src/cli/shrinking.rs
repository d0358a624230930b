//! Making a failing schedule small and keeping it: the options that commands share, and the results.

use std::path::{Path, PathBuf};

use clap::Args;
use pgbraid::input::Reading;
use pgbraid::report::document::{Files, Pinned};
use pgbraid::schedule::{Expectation, PinnedFile, PinnedSchedule, relative_path};
use pgbraid::shrink::{ShrinkOptions, Shrunk};

use super::exit::CommandError;
use super::files::replace;
use super::output::{self, shell_word, unwritable};

#[derive(Debug, Args)]
pub struct Shrinking {
    /// Write the failing schedule to a file in this folder, for `pgbraid replay`
    #[arg(long, value_name = "DIR")]
    pub pin: Option<PathBuf>,

    /// Write the smallest scenario that still fails to this file, if steps or sessions can be dropped
    #[arg(long, value_name = "FILE")]
    pub smallest_scenario: Option<PathBuf>,

    /// How often the smallest schedule is replayed
    #[arg(long, value_name = "N", default_value_t = ShrinkOptions::CONFIRMATIONS, value_parser = clap::value_parser!(u32).range(1..))]
    pub confirm: u32,
}

impl Shrinking {
    /// The message if a smallest scenario was requested and there is none.
    pub fn nothing_smaller(&self, shrunk: &Shrunk) -> Option<String> {
        (self.smallest_scenario.is_some() && shrunk.scenario.is_none())
            .then(|| "no session and no step can be left out: there is no smaller scenario to be written".to_owned())
    }

    /// Whether the results can be written, as far as this can be known before there are any.
    ///
    /// # Errors
    /// When they cannot.
    pub fn check(&self, scenario_file: &Path) -> Result<(), CommandError> {
        if let Some(folder) = &self.pin {
            let scenario = scenario_file.canonicalize().unwrap_or_default();
            if scenario.to_str().is_none() {
                return Err(CommandError::Unpinnable(scenario));
            }
            if folder.extension().is_some_and(|extension| extension == "toml") || folder.is_file() {
                return Err(CommandError::Usage(
                    "--pin takes a folder: the file in it is named after the scenario".into(),
                ));
            }
            let there = folder.ancestors().find(|ancestor| ancestor.exists());
            output::check_folder(there.unwrap_or(Path::new(".")), folder)?;
        }
        output::check(self.smallest_scenario.as_deref())
    }

    /// Writes the files that the options request, and notes them in `files`. `seed` is the seed of the search.
    pub fn write(
        &self,
        shrunk: &Shrunk,
        scenario_file: &Path,
        reading: Reading,
        seed: Option<u64>,
        files: &mut Files,
    ) -> Result<(), CommandError> {
        if let Some(folder) = &self.pin {
            let smallest = &shrunk.smallest;
            let pinned = |scenario| PinnedSchedule {
                scenario,
                reading,
                expect: Expectation::Fails,
                violates: smallest.run.violated(),
                strict: false,
                order: smallest.schedule.clone(),
            };
            let path = pin(folder, scenario_file, pinned, &command_line(seed))?;
            let replay = format!("pgbraid replay {}", shell_word(path.as_os_str()));
            files.pinned = Some(Pinned { path, replay });
        }
        if let (Some(path), Some(smallest)) = (&self.smallest_scenario, &shrunk.scenario) {
            let text = smallest.scenario.to_toml();
            replace(path, text.as_bytes()).map_err(|cause| unwritable(path, cause))?;
            files.scenario = Some(path.clone());
        }
        Ok(())
    }
}

/// Writes a schedule into a folder, which is created if it is missing, and returns the file. It is named after the
/// scenario; if that file holds another schedule, a number is added.
fn pin(
    folder: &Path,
    scenario_file: &Path,
    pinned: impl FnOnce(PathBuf) -> PinnedSchedule,
    found_by: &str,
) -> Result<PathBuf, CommandError> {
    std::fs::create_dir_all(folder).map_err(|cause| unwritable(folder, cause))?;
    let scenario = relative_path(folder, scenario_file).map_err(|cause| unwritable(folder, cause))?;
    let pinned = pinned(scenario);
    let text = pinned.to_toml(Some(found_by));
    let stem = scenario_file
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut number = 1;
    loop {
        let name = match number {
            1 => format!("{stem}.toml"),
            _ => format!("{stem}-{number}.toml"),
        };
        let path = folder.join(name);
        match PinnedFile::read(&path) {
            Ok(file) if file.pinned == pinned => return Ok(path),
            Err(_) if !path.exists() => {
                replace(&path, text.as_bytes()).map_err(|cause| unwritable(&path, cause))?;
                return Ok(path);
            }
            _ => number += 1,
        }
    }
}

/// The command as given, without what only says where its result goes, and with the seed.
fn command_line(seed: Option<u64>) -> String {
    let mut words = vec!["pgbraid".to_owned()];
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        let option = text.split('=').next().unwrap_or_default();
        // a connection string may hold a password
        if [
            "--pin",
            "--smallest-scenario",
            "--database-url",
            "--output",
            "--format",
            "--jobs",
            "-j",
        ]
        .contains(&option)
        {
            if !text.contains('=') {
                arguments.next();
            }
            continue;
        }
        words.push(shell_word(&argument));
    }
    if let Some(seed) = seed.filter(|_| !words.iter().any(|word| word.starts_with("--seed"))) {
        words.extend(["--seed".to_owned(), seed.to_string()]);
    }
    words.join(" ")
}
