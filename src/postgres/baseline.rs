//! The state that every run starts from, and how to return to it.

use super::server::Server;
use super::wire::Connection;
use super::{PostgresError, expect, quote_identifier, quote_literal};

/// Beyond this many tables a new copy of the database is quicker than truncating and filling each: truncating costs 0.3
/// to 0.5 ms per table, a copy about 10 ms (PostgreSQL 15, fsync off).
const MOST_TABLES_TO_TRUNCATE: usize = 25;

/// The schema for pgbraid's own objects in a scratch database: the kept copies of the tables, and the view through
/// which invariants see how the sessions ended.
const OWN_SCHEMA: &str = "CREATE SCHEMA pgbraid;
CREATE VIEW pgbraid.sessions AS
  SELECT name, committed, sqlstate, variables, exit_code, stdout, status, body
  FROM jsonb_to_recordset(coalesce(nullif(current_setting('pgbraid.sessions', true), ''), '[]')::jsonb)
    AS session(name text, committed boolean, sqlstate text, variables jsonb, exit_code integer, stdout text,
      status integer, body text);
GRANT USAGE ON SCHEMA pgbraid TO PUBLIC;
GRANT SELECT ON pgbraid.sessions TO PUBLIC;";

/// Plain tables and leaf partitions that the scenario created, without foreign tables and those of extensions.
const TABLES: &str = "SELECT c.oid, n.nspname, c.relname,
    (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgbraid')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

/// Materialized views that the scenario created, and whether they can be read.
const MATERIALIZED_VIEWS: &str = "SELECT c.oid, n.nspname, c.relname, c.relispopulated
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'm' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

const SEQUENCES: &str =
    "SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename) FROM pg_catalog.pg_sequences
  WHERE schemaname <> 'pgbraid' ORDER BY 1";

/// Triggers and foreign keys: if the server does not permit silencing them, rows cannot be put back one table at a
/// time.
const HAS_TRIGGERS: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname NOT IN ('pg_catalog', 'information_schema'))";

/// Routines of the scenario that may change more than rows when a step (or a trigger) calls them, judging by their
/// bodies.
const ROUTINES_MAY_CHANGE_MORE: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgbraid')
    AND p.prosrc ~* '\\m(create|alter|drop|execute|comment|grant|revoke|refresh|reindex|cluster|analyze|analyse)\\M'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'))";

/// A table of the scenario.
#[derive(Debug, Clone)]
pub struct Table {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// Columns that can be written, as SQL writes them, separated by commas; `None` if there are none.
    pub writable: Option<String>,
}

impl Table {
    /// The name for reports: qualified where the schema is not `public`.
    pub fn display_name(&self) -> String {
        match self.schema.as_str() {
            "public" => self.name.clone(),
            schema => format!("{schema}.{}", self.name),
        }
    }

    /// The qualified name as SQL writes it.
    pub fn qualified(&self) -> String {
        format!("{}.{}", quote_identifier(&self.schema), quote_identifier(&self.name))
    }
}

/// A materialized view of the scenario.
#[derive(Debug, Clone)]
pub struct MaterializedView {
    pub table: Table,
    /// It can be read.
    pub populated: bool,
}

/// Tables that setup has analysed.
const ANALYSED: &str = "SELECT oid::regclass FROM pg_catalog.pg_class
  WHERE oid >= 16384 AND relkind = 'r' AND reltuples > 0";

/// How a scratch database returns to the state after setup.
#[derive(Debug, Clone)]
pub enum Reset {
    /// By this SQL: truncate every table, fill it from its kept copy, set the sequences. The tables are then identical
    /// to the byte before every run. That matters because plans, and with them the order of row locks and the predicate
    /// locks of SERIALIZABLE, depend on it.
    Truncate(String),
    /// By a new copy of the template database.
    Copy,
}

/// What setup created.
#[derive(Debug, Clone)]
pub struct Baseline {
    pub tables: Vec<Table>,
    pub materialized_views: Vec<MaterializedView>,
    pub reset: Reset,
}

impl Baseline {
    /// Examines what setup created in the database behind `control`, adds the schema `pgbraid` to it, and keeps a copy
    /// of every table there. `more_than_rows` says that steps may change more than rows and sequences.
    pub async fn take(
        control: &mut Connection,
        server: &Server,
        more_than_rows: bool,
    ) -> Result<Baseline, PostgresError> {
        let doing = "keeping the state after setup";
        expect(control.simple(OWN_SCHEMA).await?, doing)?;
        let analysed = expect(control.simple(ANALYSED).await?, doing)?;
        let tables = tables(control).await?;
        let materialized_views = materialized_views(control).await?;
        let has_triggers = is_true(control, HAS_TRIGGERS).await?;
        let routines_change_more = is_true(control, ROUTINES_MAY_CHANGE_MORE).await?;
        if more_than_rows
            || routines_change_more
            || (has_triggers && !server.replication_role)
            || tables.len() > MOST_TABLES_TO_TRUNCATE
        {
            return Ok(Baseline {
                tables,
                materialized_views,
                reset: Reset::Copy,
            });
        }
        let mut reset = String::from("BEGIN;");
        if server.replication_role {
            reset += "SET LOCAL session_replication_role = replica;";
        }
        if !tables.is_empty() {
            let names: Vec<String> = tables
                .iter()
                .map(|table| format!("ONLY {}", table.qualified()))
                .collect();
            reset += &format!("TRUNCATE {};", names.join(", "));
        }
        for (index, table) in tables.iter().enumerate() {
            let kept = format!("pgbraid.kept_{}", index + 1);
            let qualified = table.qualified();
            let keep = format!("CREATE TABLE {kept} AS SELECT * FROM ONLY {qualified}");
            expect(control.simple(&keep).await?, doing)?;
            let Some(columns) = &table.writable else { continue };
            if is_true(control, &format!("SELECT EXISTS (SELECT FROM {kept})")).await? {
                reset += &format!(
                    "INSERT INTO {qualified} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {kept};"
                );
            }
        }
        let sequences = expect(control.simple(SEQUENCES).await?, doing)?;
        for name in sequences.rows.iter().filter_map(|row| row.first()?.as_deref()) {
            let state = expect(
                control
                    .simple(&format!("SELECT last_value, is_called FROM {name}"))
                    .await?,
                doing,
            )?;
            if let Some([Some(last_value), Some(is_called)]) = state.rows.first().map(Vec::as_slice) {
                reset += &format!("SELECT setval({}, {last_value}, '{is_called}');", quote_literal(name));
            }
        }
        // TRUNCATE discards the size that ANALYZE found for a table, and with it the plan
        for name in analysed.rows.iter().filter_map(|row| row.first()?.as_deref()) {
            reset += &format!("ANALYZE {name};");
        }
        reset += "COMMIT";
        // what cannot be truncated (a foreign key from a partitioned table, say) shows here and not in a run
        if control.simple(&reset).await?.error.is_some() {
            control.simple("ROLLBACK").await?;
            return Ok(Baseline {
                tables,
                materialized_views,
                reset: Reset::Copy,
            });
        }
        Ok(Baseline {
            tables,
            materialized_views,
            reset: Reset::Truncate(reset),
        })
    }
}

/// The scenario's tables, by schema and name.
pub async fn tables(control: &mut Connection) -> Result<Vec<Table>, PostgresError> {
    let found = expect(control.simple(TABLES).await?, "looking for the scenario's tables")?;
    Ok(found
        .rows
        .into_iter()
        .filter_map(|row| match <[Option<String>; 4]>::try_from(row) {
            Ok([Some(oid), Some(schema), Some(name), writable]) => Some(Table {
                oid: oid.parse().ok()?,
                schema,
                name,
                writable,
            }),
            _ => None,
        })
        .collect())
}

/// The scenario's materialized views, by schema and name.
pub async fn materialized_views(control: &mut Connection) -> Result<Vec<MaterializedView>, PostgresError> {
    let doing = "looking for the scenario's materialized views";
    let found = expect(control.simple(MATERIALIZED_VIEWS).await?, doing)?;
    Ok(found
        .rows
        .into_iter()
        .filter_map(|row| match <[Option<String>; 4]>::try_from(row) {
            Ok([Some(oid), Some(schema), Some(name), Some(populated)]) => Some(MaterializedView {
                table: Table {
                    oid: oid.parse().ok()?,
                    schema,
                    name,
                    writable: None,
                },
                populated: populated == "t",
            }),
            _ => None,
        })
        .collect())
}

async fn is_true(control: &mut Connection, sql: &str) -> Result<bool, PostgresError> {
    let answer = expect(control.simple(sql).await?, "looking at what setup made")?;
    Ok(answer.scalar() == Some("t"))
}
