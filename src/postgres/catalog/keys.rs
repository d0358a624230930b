//! Unique indexes and exclusion constraints.

use std::collections::{BTreeMap, BTreeSet};

use super::columns::Column;
use super::rows::{SEPARATOR, is_t, numbers, objects, rows};
use crate::postgres::PostgresError;
use crate::postgres::wire::Connection;

const UNIQUE: &str = "SELECT DISTINCT indrelid FROM pg_catalog.pg_index WHERE indrelid >= 16384
    AND (indisunique OR indisexclusion)";

/// Unique indexes on plain columns that are checked at once, and the columns' types.
const UNIQUE_KEYS: &str = "SELECT i.indrelid, i.indexrelid, string_agg(a.attname, E'\\x01' ORDER BY k.place),
    string_agg(CASE WHEN a.atttypmod = -1 THEN a.atttypid ELSE 0 END::text, ',' ORDER BY k.place),
    bool_and(i.indclass[(k.place - 1)::int] < 16384
             AND coalesce(i.indcollation[(k.place - 1)::int] = 0 OR (SELECT collisdeterministic FROM pg_catalog.pg_collation
                                                              WHERE oid = i.indcollation[(k.place - 1)::int]), true))
  FROM pg_catalog.pg_index i
  CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
  WHERE i.indrelid >= 16384 AND i.indisunique AND i.indisvalid AND i.indimmediate
    AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
  GROUP BY i.indrelid, i.indexrelid";

/// How many unique or exclusion indexes each table has, and the columns that occur in any of them.
const UNIQUE_COLUMNS: &str = "SELECT i.indrelid, count(DISTINCT i.indexrelid),
    coalesce(string_agg(DISTINCT a.attname, E'\\x01'), ''),
    bool_or(i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)
  FROM pg_catalog.pg_index i
  LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
  LEFT JOIN pg_catalog.pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid
    AND (a.attnum = ANY (i.indkey::int2[]) OR a.attnum = d.refobjsubid OR a.attnum = ANY (c.conkey))
    AND a.attnum > 0
  WHERE i.indrelid >= 16384 AND (i.indisunique OR i.indisexclusion)
  GROUP BY i.indrelid";

/// A unique index on plain columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueKey {
    pub table: u32,
    pub index: u32,
    pub columns: Vec<(String, KeyType)>,
}

/// Types whose equal values can be recognised by their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    Integer,
    Text,
    Uuid,
    Other,
}

impl KeyType {
    /// `usual` says that the index compares values as `=` does.
    fn of(type_oid: &str, usual: bool) -> KeyType {
        // src/include/catalog/pg_type.dat: int8, int2, int4; text, varchar; uuid
        match type_oid {
            _ if !usual => KeyType::Other,
            "20" | "21" | "23" => KeyType::Integer,
            "25" | "1043" => KeyType::Text,
            "2950" => KeyType::Uuid,
            _ => KeyType::Other,
        }
    }
}

/// Tables with a unique index or an exclusion constraint.
pub async fn read_tables(control: &mut Connection) -> Result<BTreeSet<u32>, PostgresError> {
    objects(control, UNIQUE).await
}

/// The unique indexes on plain columns that are checked at once.
pub async fn read_plain(control: &mut Connection) -> Result<Vec<UniqueKey>, PostgresError> {
    let mut keys = Vec::new();
    for row in rows(control, UNIQUE_KEYS).await? {
        let [_, _, Some(names), Some(types), usual] = row.as_slice() else {
            continue;
        };
        let columns = names.split(SEPARATOR).zip(types.split(','));
        let column = |(name, oid): (&str, &str)| (name.to_owned(), KeyType::of(oid, is_t(usual)));
        keys.push(UniqueKey {
            table: numbers(&row)[0],
            index: numbers(&row)[1],
            columns: columns.map(column).collect(),
        });
    }
    Ok(keys)
}

/// All indexes of a table that are unique or exclude rows.
pub struct Indexes {
    pub table: u32,
    pub count: u32,
    /// The columns that they may look at.
    pub columns: BTreeSet<String>,
}

/// All of them, given the tables' columns and the tables with generated ones.
pub async fn read_indexes(
    control: &mut Connection,
    columns: &BTreeMap<u32, Vec<Column>>,
    generated: &BTreeSet<u32>,
) -> Result<Vec<Indexes>, PostgresError> {
    let mut all = Vec::new();
    for row in rows(control, UNIQUE_COLUMNS).await? {
        let table = numbers(&row)[0];
        let named = row[2].as_deref().unwrap_or_default().split(SEPARATOR);
        let mut looked_at: BTreeSet<String> = named.map(str::to_owned).collect();
        // an expression, a predicate or a generated column may look at any column
        if is_t(&row[3]) || generated.contains(&table) {
            let others = columns.get(&table).into_iter().flatten();
            looked_at.extend(others.map(|column| column.name.clone()));
        }
        all.push(Indexes {
            table,
            count: numbers(&row)[1],
            columns: looked_at,
        });
    }
    Ok(all)
}
