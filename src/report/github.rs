//! Annotations that GitHub shows at the files.

use std::path::Path;

use super::document::{Document, ReplayedSchedule, Status};
use super::text::layout::visible;
use super::text::replays::headline;
use crate::schedule::relative_path;

/// One line for each pinned schedule that did not pass.
pub fn annotations(document: &Document) -> Vec<String> {
    match document {
        Document::Replays(replays) => replays.schedules.iter().filter_map(annotation).collect(),
        Document::Search(_) | Document::Shrink(_) | Document::Specifications(_) => Vec::new(),
    }
}

/// An error that GitHub shows at the file; `None` if it passed.
fn annotation(replayed: &ReplayedSchedule) -> Option<String> {
    let headline = headline(replayed).filter(|_| replayed.status != Status::Passed)?;
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(&visible(text)).replace(':', "%3A").replace(',', "%2C");
    let own = |line| (replayed.path.display().to_string(), line);
    let (file, line) = match &replayed.result {
        Ok(replay) => own(replay.file.line()),
        Err(error) => match &error.place {
            Some((file, line)) => (below_here(file), *line),
            None => own(1),
        },
    };
    let file = property(&file);
    Some(format!("::error file={file},line={line}::{}", data(&headline)))
}

/// A path without `..` where the file is below the working folder: GitHub knows files by such paths.
fn below_here(file: &str) -> String {
    match relative_path(Path::new(""), Path::new(file)) {
        Ok(path) if !path.starts_with("..") => path.display().to_string(),
        _ => file.to_owned(),
    }
}
