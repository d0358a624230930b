//! As text, for people.

mod anomaly;
pub(super) mod difference;
mod failure;
pub mod layout;
mod outcomes;
mod printed;
pub(super) mod replays;
mod reply;
mod shrunk;
pub mod specifications;
pub(crate) mod statement;
pub(super) mod summary;
pub mod timeline;
pub mod violations;

pub use layout::TextOptions;

use super::document::{Document, Replays, Search, Shrink, Specifications};
use crate::terminal::visible_lines;
use failure::failure;
use outcomes::outcomes;
use shrunk::{files, shrunk};
use summary::summary;

/// How much of a document is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    Whole,
    /// The last lines of a test run, whose entries have been printed as they finished.
    Summary,
    /// What a failing test prints of a search: the failure and the verdict, without the list of outcomes and what the
    /// search cost and covered.
    Failure,
}

/// The document. The last line has no line break.
pub fn text(document: &Document, detail: Detail, options: &TextOptions) -> String {
    let parts = match document {
        Document::Search(search) => searched(search, detail, options),
        Document::Shrink(report) => {
            let mut parts = vec![failure(&report.failure, options)];
            parts.extend(made_small(&report.shrink, options));
            parts
        }
        Document::Replays(replays) => replayed(replays, options),
        Document::Specifications(run) => return specifications_run(run, detail, options),
    };
    parts.join("\n\n")
}

fn searched(search: &Search, detail: Detail, options: &TextOptions) -> Vec<String> {
    let mut parts: Vec<String> = search.failure.iter().map(|found| failure(found, options)).collect();
    parts.extend(search.shrink.iter().flat_map(|shrink| made_small(shrink, options)));
    if detail == Detail::Whole {
        parts.push(outcomes(&search.outcomes, options));
    }
    parts.push(summary(search, detail, options));
    parts
}

fn made_small(shrink: &Shrink, options: &TextOptions) -> Vec<String> {
    let mut parts = vec![shrunk(shrink, options)];
    parts.extend(files(&shrink.files));
    parts
}

fn replayed(replays: &Replays, options: &TextOptions) -> Vec<String> {
    let parts = [
        visible_lines(replays.changes.trim_end()),
        replays::lines(&replays.schedules, options),
        replays::details(&replays.schedules, options),
        replays::summary(replays, options),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect()
}

fn specifications_run(run: &Specifications, detail: Detail, options: &TextOptions) -> String {
    let entries = run.compared.iter().map(|one| specifications::entry(one, options));
    let mut lines: Vec<String> = match detail {
        Detail::Summary => vec![String::new()],
        Detail::Whole | Detail::Failure => entries.collect(),
    };
    lines.push(specifications::summary(run, options));
    lines.join("\n")
}
