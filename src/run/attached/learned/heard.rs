//! What a session is told, as far as a program can tell one answer from another.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;

use super::met::Met;
use crate::history::{NOW, Volatile};
use crate::postgres::wire::FrameColumn;
use crate::proxy::readable;
use crate::run::attached::told::{MOST_ROWS, Told};

const DEADLOCK_DETECTED: &str = "40P01";

/// A hash of an answer. `None` where it holds something that cannot be followed to where it goes, or is
/// not known as a whole.
pub fn identity(told: &Told, volatile: &Volatile, met: &mut Met) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    for result in &told.results {
        if result.rows.len() >= MOST_ROWS {
            return None;
        }
        result.tag.hash(&mut hasher);
        let columns = result.columns.as_deref().unwrap_or_default();
        for column in columns {
            column.column.name.hash(&mut hasher);
        }
        for row in &result.rows {
            for (index, cell) in row.iter().enumerate() {
                match cell {
                    None => 0.hash(&mut hasher),
                    Some(bytes) => match columns.get(index) {
                        Some(column) => take_cell(column, bytes, volatile, met, &mut hasher),
                        None => take_text(&String::from_utf8_lossy(bytes), volatile, met, &mut hasher),
                    },
                }
            }
        }
    }
    if let Some(error) = &told.error {
        error.sqlstate.hash(&mut hasher);
        // it names processes
        if error.sqlstate != DEADLOCK_DETECTED
            && let Some(frame) = &told.error_frame
        {
            take_text(&String::from_utf8_lossy(&frame.bytes), volatile, met, &mut hasher);
        }
    }
    for notice in &told.notices {
        take_text(&String::from_utf8_lossy(&notice.bytes), volatile, met, &mut hasher);
    }
    (!met.is_unknown()).then(|| hasher.finish())
}

fn take_cell(column: &FrameColumn, bytes: &Bytes, volatile: &Volatile, met: &mut Met, hasher: &mut DefaultHasher) {
    let text = readable(column.column.type_oid, column.binary, bytes);
    let shown = volatile.show(&column.column, &Some(text.clone()));
    if shown.as_ref() == Some(&text) {
        text.hash(hasher);
        return;
    }
    shown.hash(hasher);
    let found = volatile.find(&text);
    if found.is_empty() {
        // an ignored column, or a number of the server's
        met.told_unknown();
    }
    for (range, placeholder) in found {
        let is_whole = range == (0..text.len());
        let binary = (column.binary && is_whole).then(|| bytes.clone());
        take_value(placeholder, &text[range], binary, met, hasher);
    }
}

fn take_text(text: &str, volatile: &Volatile, met: &mut Met, hasher: &mut DefaultHasher) {
    volatile.mask(text).hash(hasher);
    for (range, placeholder) in volatile.find(text) {
        take_value(placeholder, &text[range], None, met, hasher);
    }
}

/// A uuid may be one that the program knows, so it counts as it is. A part of a time may go anywhere.
fn take_value(placeholder: &str, text: &str, binary: Option<Bytes>, met: &mut Met, hasher: &mut DefaultHasher) {
    match placeholder {
        NOW => met.told_unknown(),
        _ => text.hash(hasher),
    }
    met.told(placeholder, text, binary).hash(hasher);
}
