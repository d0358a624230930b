//! Foreign keys.

use super::rows::{is_t, numbers, pairs, rows};
use crate::postgres::PostgresError;
use crate::postgres::wire::Connection;

const FOREIGN_KEYS: &str =
    "SELECT conrelid, confrelid, confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd'), conindid,
    confdeltype = 'd' OR confupdtype = 'd',
    (SELECT string_agg(a.attname || E'\\x01' || b.attname, E'\\x01')
     FROM unnest(conkey, confkey) AS pair (own, others)
     JOIN pg_catalog.pg_attribute a ON a.attrelid = conrelid AND a.attnum = own
     JOIN pg_catalog.pg_attribute b ON b.attrelid = confrelid AND b.attnum = others)
  FROM pg_catalog.pg_constraint WHERE contype = 'f'";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    pub referencing: u32,
    pub referenced: u32,
    /// A change of a referenced row changes those that reference it.
    pub cascades: bool,
    /// It may give them the defaults of their columns, whatever these are.
    pub sets_default: bool,
    /// The unique index of the referenced table.
    pub index: u32,
    /// The referencing table's columns and those that they reference.
    pub columns: Vec<(String, String)>,
}

pub async fn read(control: &mut Connection) -> Result<Vec<ForeignKey>, PostgresError> {
    let foreign_keys = rows(control, FOREIGN_KEYS).await?.into_iter().map(|row| ForeignKey {
        referencing: numbers(&row)[0],
        referenced: numbers(&row)[1],
        cascades: is_t(&row[2]),
        index: numbers(&row)[3],
        sets_default: is_t(&row[4]),
        columns: pairs(row[5].as_deref().unwrap_or_default()),
    });
    Ok(foreign_keys.collect())
}
