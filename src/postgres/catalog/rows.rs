//! Reading rows of the system catalogs.

use std::collections::BTreeSet;

use crate::postgres::wire::Connection;
use crate::postgres::{PostgresError, expect};

pub type Row = Vec<Option<String>>;

/// Stands between names in a list of them.
pub const SEPARATOR: char = '\u{1}';

/// Names in pairs, from a list of all.
pub fn pairs(names: &str) -> Vec<(String, String)> {
    let mut names = names.split(SEPARATOR).map(str::to_owned);
    std::iter::from_fn(|| Some((names.next()?, names.next()?))).collect()
}

/// A row's values as numbers; 0 where one is none.
pub fn numbers(row: &[Option<String>]) -> Vec<u32> {
    row.iter()
        .map(|value| value.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default())
        .collect()
}

/// Object numbers.
pub async fn objects(control: &mut Connection, sql: &str) -> Result<BTreeSet<u32>, PostgresError> {
    let rows = rows(control, sql).await?;
    Ok(rows.iter().map(|row| numbers(row)[0]).collect())
}

pub async fn is_true(control: &mut Connection, sql: &str) -> Result<bool, PostgresError> {
    let rows = rows(control, sql).await?;
    Ok(rows.iter().any(|row| row[0].as_deref() == Some("t")))
}

pub async fn rows(control: &mut Connection, sql: &str) -> Result<Vec<Row>, PostgresError> {
    let result = expect(control.simple(sql).await?, "reading the system catalogs")?;
    let width = result.columns.map_or(0, |columns| columns.len());
    Ok(result.rows.into_iter().filter(|row| row.len() == width).collect())
}

/// Whether a value is true.
pub fn is_t(value: &Option<String>) -> bool {
    value.as_deref() == Some("t")
}
