//! SQLSTATEs in the file.

use super::Document;
use super::raw::Text;
use crate::scenario::error::{Mistake, ScenarioError};
use crate::suggest;

/// Conditions that concurrent transactions meet, to help users who write the name instead of the code.
const CONDITIONS: &[(&str, &str)] = &[
    ("not_null_violation", "23502"),
    ("foreign_key_violation", "23503"),
    ("unique_violation", "23505"),
    ("check_violation", "23514"),
    ("exclusion_violation", "23P01"),
    ("serialization_failure", "40001"),
    ("deadlock_detected", "40P01"),
    ("lock_not_available", "55P03"),
    ("query_canceled", "57014"),
    ("raise_exception", "P0001"),
];

/// SQLSTATEs that concurrent transactions meet.
pub(crate) fn concurrency_errors() -> impl Iterator<Item = &'static str> {
    CONDITIONS.iter().map(|(_, code)| *code)
}

/// The SQLSTATEs of a list. Each must be five digits or capitals and stand for an error.
pub(super) fn read(document: &Document, values: Vec<Text>) -> Result<Vec<String>, ScenarioError> {
    values
        .into_iter()
        .map(|value| check(document, &value).map(|()| value.into_inner()))
        .collect()
}

fn check(document: &Document, value: &Text) -> Result<(), ScenarioError> {
    let code = value.get_ref();
    if is_error(code) {
        return Ok(());
    }
    let condition = suggest::one_of(code, CONDITIONS.iter().map(|(name, _)| *name));
    let upper = code.to_uppercase();
    let hint = match CONDITIONS.iter().find(|(name, _)| Some(*name) == condition) {
        Some((name, code)) => format!("{name} is \"{code}\""),
        None if is_error(&upper) => format!("did you mean \"{upper}\"?"),
        None => "an SQLSTATE is five digits or capitals, such as \"23505\"".to_owned(),
    };
    Err(document
        .error(Mistake::BadSqlstate(code.clone()), value.span(), "here")
        .hint(hint))
}

fn is_error(code: &str) -> bool {
    let well_formed = code.len() == 5
        && code
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    // class 00 is success
    well_formed && !code.starts_with("00")
}
