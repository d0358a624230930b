//! Whether a scratch database is as setup left it: tables down to the place of every row, sequences, and system
//! catalogs.

use std::collections::BTreeMap;

use super::wire::Connection;
use super::{PostgresError, expect, quote_identifier, quote_literal};

/// Columns of system catalogs that do not affect what a statement can find, and change when a table is truncated,
/// analysed or vacuumed.
const PHYSICAL: &str = "{relfilenode,relpages,reltuples,relallvisible,relallfrozen,relfrozenxid,relminmxid,\
                        relhastriggers,relhasindex,relhasrules,relhassubclass,indcheckxmin}";

/// The readable catalogs of a database, without what the server itself changes in the background.
const CATALOGS: &str = "SELECT relname FROM pg_catalog.pg_class
  WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared
    AND has_table_privilege(oid, 'SELECT') AND relname NOT IN ('pg_statistic', 'pg_statistic_ext_data')
  ORDER BY relname";

/// Other relations with rows of the database.
const RELATIONS: &str = "SELECT c.relkind, n.nspname, c.relname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'pgbraid') AND c.relpersistence <> 't'
    AND (c.relkind IN ('r', 'S') OR c.relkind = 'm' AND c.relispopulated)
    AND has_table_privilege(c.oid, 'SELECT')
  ORDER BY 2, 3";

/// The number of the next transaction, in the form that rows hold.
const NEXT_TRANSACTION: &str = "SELECT txid_current() % 4294967296";

/// The most queries in one statement.
const MOST_AT_ONCE: usize = 200;

/// Takes fingerprints of a database and its copies.
#[derive(Debug, Clone)]
pub struct Probe {
    queries: Vec<String>,
    expected: BTreeMap<String, String>,
}

/// Must be called before setup: what is written from this transaction on may belong to setup.
pub async fn next_transaction(control: &mut Connection) -> Result<String, PostgresError> {
    let found = expect(
        control.simple(NEXT_TRANSACTION).await?,
        "asking for the next transaction",
    )?;
    Ok(found.scalar().unwrap_or("3").to_owned())
}

impl Probe {
    /// Takes the fingerprint of the state after setup. `since` comes from [`next_transaction`].
    pub async fn new(control: &mut Connection, since: &str) -> Result<Probe, PostgresError> {
        let doing = "looking for what a run may change";
        let mut queries = Vec::new();
        for row in expect(control.simple(CATALOGS).await?, doing)?.rows {
            let Some(name) = row.into_iter().next().flatten() else {
                continue;
            };
            // most rows are the same in every database; for those only the number is taken, since a changed row is a
            // new one
            queries.push(format!(
                "SELECT {}, concat(count(*), ' ', sum(hashtextextended((to_jsonb(r) - '{PHYSICAL}'::text[])::text, 0))
                   FILTER (WHERE age(r.xmin) <= age('{since}'::xid))) FROM pg_catalog.{} AS r",
                quote_literal(&name),
                quote_identifier(&name)
            ));
        }
        for row in expect(control.simple(RELATIONS).await?, doing)?.rows {
            let Ok([Some(kind), Some(schema), Some(name)]) = <[Option<String>; 3]>::try_from(row) else {
                continue;
            };
            let relation = format!("{}.{}", quote_identifier(&schema), quote_identifier(&name));
            let (what, state, only) = match kind.as_str() {
                "S" => ("sequence", "concat(min(last_value), ' ', bool_and(is_called))", ""),
                // a row's text contains its place, so the sum depends on the order, too
                _ => (
                    "table",
                    "concat(count(*), ' ', sum(hashtextextended(concat(\"a row\".ctid, \"a row\"), 0)))",
                    "ONLY ",
                ),
            };
            queries.push(format!(
                "SELECT {}, {state} FROM {only}{relation} AS \"a row\"",
                quote_literal(&format!("{what} {schema}.{name}"))
            ));
        }
        let mut probe = Probe {
            queries,
            expected: BTreeMap::new(),
        };
        probe.expected = probe.take(control).await?.into_iter().collect();
        Ok(probe)
    }

    /// The names of what differs from the state after setup.
    pub async fn differences(&self, control: &mut Connection) -> Result<Vec<String>, PostgresError> {
        let found = self.take(control).await?;
        let differs = |(name, state): &(String, String)| self.expected.get(name) != Some(state);
        Ok(found.into_iter().filter(differs).map(|(name, _)| name).collect())
    }

    async fn take(&self, control: &mut Connection) -> Result<Vec<(String, String)>, PostgresError> {
        let doing = "comparing the state before a run with that after setup";
        let mut states = Vec::with_capacity(self.queries.len());
        for queries in self.queries.chunks(MOST_AT_ONCE) {
            let found = expect(control.simple(&queries.join(" UNION ALL ")).await?, doing)?;
            states.extend(
                found
                    .rows
                    .into_iter()
                    .filter_map(|row| match <[Option<String>; 2]>::try_from(row) {
                        Ok([Some(name), Some(state)]) => Some((name, state)),
                        _ => None,
                    }),
            );
        }
        Ok(states)
    }
}
