//! Files of pinned schedules: TOML, with mistakes shown in their place.

mod raw;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fit::{Misfit, fit};
use super::{Expectation, FittedSchedule, PinnedSchedule, Schedule};
use crate::input::Reading;
use crate::scenario::bounded;
use crate::scenario::file::Document;
use crate::scenario::source::Source;
use crate::scenario::{Located, Scenario};
use crate::suggest;
use raw::{RawPinned, Text};

/// A mistake in a pinned schedule. As a [`Diagnostic`](miette::Diagnostic) it shows file, line, column, the offending
/// line and a hint.
pub type ScheduleError = Located<Mistake>;

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Mistake {
    /// The file cannot be read.
    #[error("cannot read {path}: {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The file is not TOML, or does not have the right form.
    #[error(transparent)]
    File(crate::scenario::Mistake),
    /// `expect` is neither `fails` nor `holds`.
    #[error("`expect` is \"{0}\"")]
    BadExpectation(String),
    /// `scenario` is missing.
    #[error("the name of the scenario's file is empty")]
    NoScenario,
    /// The scenario's file cannot be read.
    #[error("the scenario {path} cannot be read: {cause}")]
    UnreadableScenario {
        /// The file.
        path: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// An entry names no session.
    #[error("an entry names no session")]
    NoSession,
    /// An entry says twice how far the session runs.
    #[error("an entry goes to two places")]
    TwoExtents,
    /// The order names something that the scenario does not have.
    #[error("the order does not fit scenario {scenario}: {}", .problems.join("; "))]
    DoesNotFit {
        /// The scenario by its name.
        scenario: String,
        /// What it does not have.
        problems: Vec<String>,
    },
    /// `violates` names something that the scenario cannot violate.
    #[error("scenario {scenario} has no invariant `{name}`")]
    UnknownViolation {
        /// The scenario by its name.
        scenario: String,
        /// What the file names.
        name: String,
    },
}

/// A pinned schedule and the file that it was read from.
#[derive(Debug, Clone)]
pub struct PinnedFile {
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub pinned: PinnedSchedule,
    source: Arc<Source>,
    places: Places,
}

/// Byte offsets of the parts of the file.
#[derive(Debug, Clone)]
struct Places {
    scenario: Range<usize>,
    expect: Range<usize>,
    violates: Vec<Range<usize>>,
    order: Vec<Range<usize>>,
}

impl PinnedFile {
    /// Reads a pinned schedule.
    ///
    /// # Errors
    /// The first mistake in the file, or a file that cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<PinnedFile, ScheduleError> {
        let path = path.as_ref();
        let text = bounded::read_text(path).map_err(|cause| {
            Located::new(Mistake::Unreadable {
                path: path.display().to_string(),
                cause,
            })
        })?;
        PinnedFile::from_toml(path, &text)
    }

    /// Reads a pinned schedule from the text of its file.
    ///
    /// # Errors
    /// The first mistake in the text.
    pub fn from_toml(path: &Path, text: &str) -> Result<PinnedFile, ScheduleError> {
        let document = Document::new(&path.display().to_string(), text);
        let raw: RawPinned = document.parse().map_err(|error| error.map(Mistake::File))?;
        let error = |mistake, span: Range<usize>, label: &str| {
            Located::new(mistake).at(&document.source, document.first_line(span), label)
        };
        if raw.scenario.get_ref().trim().is_empty() {
            return Err(error(Mistake::NoScenario, raw.scenario.span(), "here")
                .hint("it is relative to the folder of this file: \"../fixtures/counter.toml\""));
        }
        let expect = match raw.expect.get_ref().as_str() {
            "fails" => Expectation::Fails,
            "holds" => Expectation::Holds,
            other => {
                let mistake = Mistake::BadExpectation(other.to_owned());
                return Err(error(mistake, raw.expect.span(), "here").hint(suggest::word(other, ["fails", "holds"])));
            }
        };
        let mut entries = Vec::new();
        let mut order_places = Vec::new();
        for entry in raw.order {
            let span = entry.span();
            entries.push(entry.into_inner().read().map_err(|mistake| {
                let hint = "an entry is \"worker-1\" (one step), \"worker-1 until STEP\", \"worker-1 before STEP\", \
                            \"worker-1 to end\", \"worker-1 resumes\" or \"worker-1 times out\", or a table with \
                            `session` and one of `until`, `before`, `to_end`, `resumes` and `times_out`";
                error(mistake, span.clone(), "here").hint(hint)
            })?);
            order_places.push(document.first_line(span));
        }
        let line = |text: &Text| document.first_line(text.span());
        let places = Places {
            scenario: line(&raw.scenario),
            expect: line(&raw.expect),
            violates: raw.violates.iter().map(line).collect(),
            order: order_places,
        };
        Ok(PinnedFile {
            path: path.to_owned(),
            pinned: PinnedSchedule {
                scenario: PathBuf::from(raw.scenario.into_inner()),
                reading: Reading {
                    serializable: raw.serializable,
                    permutation: raw.permutation,
                },
                expect,
                violates: raw.violates.into_iter().map(Text::into_inner).collect(),
                strict: raw.strict,
                order: Schedule { entries },
            },
            source: document.source.clone(),
            places,
        })
    }

    /// The line of `expect`, counted from 1.
    pub fn line(&self) -> usize {
        self.source.text[..self.places.expect.start].matches('\n').count() + 1
    }

    /// The text that was read.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// The scenario's file.
    ///
    /// # Errors
    /// When it cannot be read; its content is not checked.
    pub fn scenario_path(&self) -> Result<PathBuf, ScheduleError> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let path = folder.join(&self.pinned.scenario);
        match std::fs::File::open(&path) {
            Ok(_) => Ok(path),
            Err(cause) => {
                let path = path.display().to_string();
                let error = Located::new(Mistake::UnreadableScenario { path, cause });
                Err(error
                    .at(&self.source, self.places.scenario.clone(), "named here")
                    .hint("`scenario` is relative to the folder of this file"))
            }
        }
    }

    /// Looks up the names of the schedule in its scenario.
    ///
    /// # Errors
    /// When the scenario lacks some of them; the error lists all of these.
    pub fn fit(&self, scenario: &Scenario) -> Result<FittedSchedule, ScheduleError> {
        let plan = fit(&self.pinned.order, scenario).map_err(|misfits| {
            let mut error = does_not_fit(scenario, &misfits);
            for misfit in &misfits {
                if let Some(place) = self.places.order.get(misfit.entry) {
                    error = error.at(&self.source, place.clone(), misfit.hint.clone());
                }
            }
            error
                .hint("a schedule goes by the names of sessions and steps: change them here as they were changed there")
        })?;
        let unknown = |name: &&String| !can_violate(scenario, name);
        if let Some((name, place)) = self
            .pinned
            .violates
            .iter()
            .zip(&self.places.violates)
            .find(|(name, _)| unknown(name))
        {
            let mistake = Mistake::UnknownViolation {
                scenario: scenario.name.clone(),
                name: name.clone(),
            };
            let names = scenario.invariants.iter().map(|invariant| invariant.name.as_str());
            let hint = match suggest::one_of(name, names) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None if name.starts_with("error ") => {
                    let sessions: Vec<&str> = scenario.sessions.iter().map(|session| session.name.as_str()).collect();
                    format!(
                        "an error is \"error SQLSTATE in SESSION\"; the sessions are {}",
                        sessions.join(", ")
                    )
                }
                None => {
                    "`violates` names invariants, \"deadlock\", \"not serializable\", an error as in \"error 23505 in \
                     worker-1\", or an end as in \"exit code 1 of import-1\""
                        .to_owned()
                }
            };
            return Err(Located::new(mistake).at(&self.source, place.clone(), "here").hint(hint));
        }
        Ok(plan)
    }
}

impl Schedule {
    /// Looks up the names of the schedule in a scenario.
    ///
    /// # Errors
    /// When the scenario lacks some of them; the error lists all of these.
    pub fn fit(&self, scenario: &Scenario) -> Result<FittedSchedule, ScheduleError> {
        fit(self, scenario).map_err(|misfits| {
            let error = does_not_fit(scenario, &misfits);
            match misfits.into_iter().next() {
                Some(misfit) => error.hint(misfit.hint),
                None => error,
            }
        })
    }
}

fn does_not_fit(scenario: &Scenario, misfits: &[Misfit]) -> ScheduleError {
    let mut problems: Vec<String> = Vec::new();
    for misfit in misfits {
        if !problems.contains(&misfit.problem) {
            problems.push(misfit.problem.clone());
        }
    }
    Located::new(Mistake::DoesNotFit {
        scenario: scenario.name.clone(),
        problems,
    })
}

fn can_violate(scenario: &Scenario, name: &str) -> bool {
    let of_session = |name: &str| {
        let behind = |prefix: &str, word: &str| Some(name.strip_prefix(prefix)?.split_once(word)?.1);
        let ends = ["exit code ", "signal ", "status "];
        let session = behind("error ", " in ")
            .or_else(|| ends.iter().find_map(|prefix| behind(prefix, " of ")))
            .or_else(|| name.strip_prefix("no answer to "));
        let is_known = |session: &str| {
            let mut sessions = scenario.sessions.iter();
            sessions.any(|other| other.name == session || other.program_name() == session)
        };
        session.is_some_and(is_known)
    };
    name == "deadlock"
        || name == "not serializable"
        || scenario.invariants.iter().any(|invariant| invariant.name == name)
        || of_session(name)
}
