//! Internals that the fuzz targets in `fuzz/` call.

use crate::isolation::message::{Severity, in_full};
use crate::postgres::wire::MessageFields;
use crate::report::text::statement::one_line;
use crate::scenario::error::token_at;
use crate::sql::lexer::tokens;

pub use crate::postgres::wire::fuzzing::{Talk, hear};
pub use crate::proxy::RequestEnd;
pub use crate::proxy::fuzzing::{Heard, listen};

/// Checks that the tokens make up the whole text.
pub fn lex(sql: &str) {
    let mut end = 0;
    for token in tokens(sql) {
        assert_eq!(token.offset, end, "a gap or an overlap in {sql:?}");
        end = token.end();
    }
    assert_eq!(end, sql.len(), "the end of {sql:?} is missing");
    let _ = one_line(sql);
}

/// Shows an error at a position that a server named, which may be any position.
pub fn point_at(sql: &str, position: u32) {
    let range = token_at(sql, position);
    let _ = &sql[range];
    let report = MessageFields {
        severity: "ERROR".to_owned(),
        position: Some(position as usize),
        ..MessageFields::default()
    };
    let _ = in_full(&report, sql, Severity::Error);
}
