//! A schedule that is kept in a file, and what it is expected to lead to.

use std::path::PathBuf;

use super::Schedule;
use crate::input::Reading;
use crate::scenario::toml::text;
use crate::terminal::visible;

/// A schedule, the scenario that it is for, and what it is expected to lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedSchedule {
    /// The scenario's file; relative to the folder of the schedule's own file.
    pub scenario: PathBuf,
    /// How that file is read.
    pub reading: Reading,
    /// What the order is expected to lead to.
    pub expect: Expectation,
    /// Names of what it violates when it fails: invariants, `deadlock`, `not serializable`, `error 23505 in worker-1`,
    /// `exit code 1 of import-1`, `signal 9 of import-1`, `status 500 of create-1`, `no answer to create-1`.
    /// Empty if any violation will do.
    pub violates: Vec<String>,
    /// Whether leaving the order is an error.
    pub strict: bool,
    /// Who runs when.
    pub order: Schedule,
}

/// What a pinned schedule is expected to lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// The run violates something.
    Fails,
    /// The run violates nothing.
    Holds,
}

impl Expectation {
    /// The word for it in files.
    pub fn word(self) -> &'static str {
        match self {
            Expectation::Fails => "fails",
            Expectation::Holds => "holds",
        }
    }
}

impl PinnedSchedule {
    /// The text of a file for it. `found_by` is the command that found it.
    pub fn to_toml(&self, found_by: Option<&str>) -> String {
        let mut lines = Vec::new();
        if let Some(command) = found_by {
            lines.push(format!("# found by: {}", visible(command)));
        }
        lines.push(format!("scenario = {}", text(&self.scenario.to_string_lossy())));
        if let Some(permutation) = self.reading.permutation {
            lines.push(format!("permutation = {permutation}"));
        }
        if self.reading.serializable {
            lines.push("serializable = true".to_owned());
        }
        lines.push(format!("expect = {}", text(self.expect.word())));
        if !self.violates.is_empty() {
            lines.push(array("violates", self.violates.iter().map(|name| text(name)).collect()));
        }
        if self.strict {
            lines.push("strict = true".to_owned());
        }
        lines.push(array("order", self.order.entries.iter().map(entry).collect()));
        lines.join("\n") + "\n"
    }
}

/// The longest line that is written to a file, in characters.
const LINE_WIDTH: usize = 110;

fn array(key: &str, items: Vec<String>) -> String {
    let line = format!("{key} = [{}]", items.join(", "));
    if line.chars().count() <= LINE_WIDTH {
        return line;
    }
    let items: String = items.iter().map(|item| format!("  {item},\n")).collect();
    format!("{key} = [\n{items}]")
}

fn entry(entry: &super::Entry) -> String {
    use super::Extent;

    if entry.is_plain() {
        return text(&entry.to_string());
    }
    let session = text(&entry.session);
    match &entry.extent {
        Extent::OneStep => format!("{{ session = {session} }}"),
        Extent::Until(step) => format!("{{ session = {session}, until = {} }}", text(step)),
        Extent::Before(step) => format!("{{ session = {session}, before = {} }}", text(step)),
        Extent::ToEnd => format!("{{ session = {session}, to_end = true }}"),
        Extent::Resumes => format!("{{ session = {session}, resumes = true }}"),
        Extent::TimesOut => format!("{{ session = {session}, times_out = true }}"),
    }
}
