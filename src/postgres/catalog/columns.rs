//! Tables and their columns.

use std::collections::BTreeMap;

use super::rows::{is_t, numbers, rows};
use crate::postgres::PostgresError;
use crate::postgres::wire::Connection;

const TABLES: &str = "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')";

const COLUMNS: &str = "SELECT attrelid, attname, CASE WHEN atttypmod = -1 THEN atttypid ELSE 0 END, attnotnull, attnum
  FROM pg_catalog.pg_attribute
  WHERE attrelid >= 16384 AND attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// 0 where the type has a length or precision.
    pub type_oid: u32,
    pub not_null: bool,
    pub number: i16,
}

/// Schema and name of every table and view.
pub async fn read_tables(control: &mut Connection) -> Result<BTreeMap<u32, (String, String)>, PostgresError> {
    let mut tables = BTreeMap::new();
    for row in rows(control, TABLES).await? {
        if let [Some(_), Some(schema), Some(name)] = row.as_slice() {
            tables.insert(numbers(&row)[0], (schema.clone(), name.clone()));
        }
    }
    Ok(tables)
}

/// Every table's columns, in their order.
pub async fn read(control: &mut Connection) -> Result<BTreeMap<u32, Vec<Column>>, PostgresError> {
    let mut tables: BTreeMap<u32, Vec<Column>> = BTreeMap::new();
    for row in rows(control, COLUMNS).await? {
        let Some(name) = &row[1] else { continue };
        tables.entry(numbers(&row)[0]).or_default().push(Column {
            name: name.clone(),
            type_oid: numbers(&row)[2],
            not_null: is_t(&row[3]),
            number: row[4].as_deref().and_then(|text| text.parse().ok()).unwrap_or_default(),
        });
    }
    Ok(tables)
}
