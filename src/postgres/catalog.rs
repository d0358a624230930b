//! What the system catalogs say about the tables of a scratch database and their relations.

mod analysis;
mod columns;
mod foreign_keys;
mod keys;
mod routines;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

pub use analysis::{Analysis, Function, RelationLock, Volatility};
pub use columns::Column;
pub use foreign_keys::ForeignKey;
pub use keys::{KeyType, UniqueKey};
pub use routines::Routine;

use self::rows::{is_true, numbers, objects, rows};
use super::PostgresError;
use super::wire::Connection;

/// The first object number of what users make.
pub const FIRST_USER_OBJECT: u32 = 16_384;

const INHERITANCE: &str = "SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits";

/// A domain's default, and a sequence that is named in a text, cannot be seen elsewhere.
const SIDE_EFFECTS: &str = "SELECT attrelid FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  WHERE a.attrelid >= 16384 AND t.typtype = 'd'
    AND EXISTS (SELECT FROM pg_catalog.pg_type WHERE typtype = 'd' AND typdefaultbin IS NOT NULL)
 UNION SELECT adrelid FROM pg_catalog.pg_attrdef f WHERE pg_catalog.pg_get_expr(adbin, adrelid) ~ 'nextval'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
                    WHERE d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid)
 UNION SELECT adrelid FROM pg_catalog.pg_attrdef WHERE pg_catalog.pg_get_expr(adbin, adrelid) ~ 'pg_|setval|currval|lastval'
 UNION SELECT conrelid FROM pg_catalog.pg_constraint
  WHERE contype = 'c' AND pg_catalog.pg_get_constraintdef(oid) ~ 'pg_|nextval|setval|currval|lastval'
 UNION SELECT ev_class FROM pg_catalog.pg_rewrite WHERE ev_type <> '1' AND ev_class >= 16384";

const SEQUENCES: &str = "SELECT p.refobjid, p.objid
  FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_class s ON s.oid = p.objid AND s.relkind = 'S'
  WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass AND p.deptype IN ('a', 'i')
 UNION
 SELECT DISTINCT d.adrelid, p.refobjid
  FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_attrdef d ON d.oid = p.objid
  JOIN pg_catalog.pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'
  WHERE p.classid = 'pg_attrdef'::regclass AND p.refclassid = 'pg_class'::regclass";

const ALL_SEQUENCES: &str = "SELECT oid FROM pg_catalog.pg_class WHERE oid >= 16384 AND relkind = 'S'";

const OPAQUE: &str = "SELECT oid FROM pg_catalog.pg_class
  WHERE oid >= 16384 AND relkind NOT IN ('r', 'p', 'v', 'm', 'S', 'i', 'I', 't')";

const VIEWS: &str =
    "SELECT oid, pg_catalog.pg_get_viewdef(oid) FROM pg_catalog.pg_class WHERE oid >= 16384 AND relkind = 'v'";

const DEFERRABLE: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE condeferrable)
    OR EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgdeferrable AND NOT tgisinternal)";

const GENERATED: &str = "SELECT attrelid FROM pg_catalog.pg_attribute WHERE attrelid >= 16384 AND attgenerated <> ''";

/// What an UPDATE evaluates before it waits for the row.
const CHECKED: &str = "SELECT conrelid FROM pg_catalog.pg_constraint WHERE contype = 'c' AND conrelid >= 16384
 UNION SELECT attrelid FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  WHERE attrelid >= 16384 AND (attgenerated <> '' OR t.typtype = 'd')
 UNION SELECT oid FROM pg_catalog.pg_class WHERE oid >= 16384 AND relrowsecurity";

/// What row-level security adds to statements.
const POLICIES: &str = "SELECT polrelid, concat_ws(' ', pg_catalog.pg_get_expr(polqual, polrelid),
    pg_catalog.pg_get_expr(polwithcheck, polrelid)) FROM pg_catalog.pg_policy";

/// Whether a constraint, a unique index, a generated column or a partition key distinguishes times: date, time,
/// timestamp, timestamptz, interval, timetz, or a type of the scenario's own.
const COMPARES_TIMES: &str = "WITH timed AS (
  SELECT attrelid, attnum FROM pg_catalog.pg_attribute
  WHERE attrelid >= 16384 AND attnum > 0 AND (atttypid IN (1082, 1083, 1114, 1184, 1186, 1266) OR atttypid >= 16384))
 SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint c JOIN timed ON attrelid = conrelid WHERE contype IN ('c', 'x'))
  OR EXISTS (SELECT FROM pg_catalog.pg_index i JOIN timed ON attrelid = indrelid
             WHERE (indisunique OR indisexclusion) AND (attnum = ANY (indkey::int2[]) OR indexprs IS NOT NULL OR indpred IS NOT NULL))
  OR EXISTS (SELECT FROM pg_catalog.pg_attribute a JOIN timed USING (attrelid) WHERE a.attgenerated <> '')
  OR EXISTS (SELECT FROM pg_catalog.pg_class c JOIN timed ON attrelid = c.oid WHERE relkind = 'p')
  OR EXISTS (SELECT FROM pg_catalog.pg_policy JOIN timed ON attrelid = polrelid)";

/// What the system catalogs say of a scenario's tables.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pub foreign_keys: Vec<ForeignKey>,
    /// Child, parent.
    pub inheritance: Vec<(u32, u32)>,
    /// Tables with a unique index or an exclusion constraint.
    pub unique: BTreeSet<u32>,
    /// The definitions of each table's triggers.
    pub triggers: BTreeMap<u32, Vec<String>>,
    /// Tables with triggers that are not the scenario's own, with rules, or with defaults or checks that have side
    /// effects.
    pub side_effects: BTreeSet<u32>,
    pub all_sequences: BTreeSet<u32>,
    /// The conditions of each table's row-level security policies.
    pub policies: BTreeMap<u32, Vec<String>>,
    /// Something in the schema compares times.
    pub compares_times: bool,
    /// Functions that statements call, operators' and aggregates included, as far as they have been looked up.
    pub functions: BTreeMap<u32, Function>,
    /// Constants in parse trees are written as they are here: the server's processor is little-endian.
    pub reads_constants: bool,
    /// The sequences that a table's columns draw from.
    pub sequences: BTreeMap<u32, BTreeSet<u32>>,
    /// Foreign tables and whatever else is not a table of the scenario.
    pub opaque: BTreeSet<u32>,
    /// Views and their definitions.
    pub views: BTreeMap<u32, String>,
    /// Functions of the scenario's own.
    pub routines: Vec<Routine>,
    /// Schema and name of every table and view.
    pub tables: BTreeMap<u32, (String, String)>,
    /// Every table's columns, in their order.
    pub columns: BTreeMap<u32, Vec<Column>>,
    /// Tables with generated columns.
    pub generated: BTreeSet<u32>,
    /// Tables that check a new row for more than columns that must not be NULL.
    pub checked: BTreeSet<u32>,
    pub unique_keys: Vec<UniqueKey>,
    /// How many unique or exclusion indexes of any kind a table has.
    pub unique_indexes: BTreeMap<u32, u32>,
    /// Columns that occur in any of these.
    pub indexed_columns: BTreeMap<u32, BTreeSet<String>>,
    /// Functions of the scenario's own may run although no statement and no function names them: by a default, a check,
    /// a view, an operator, a cast, an index, a policy.
    pub unnamed_calls: bool,
    /// Functions of the scenario's own may change what later statements mean.
    pub changing_routines: bool,
    /// Some constraint or trigger may be deferred to the commit.
    pub deferrable: bool,
}

impl Catalog {
    /// Reads the catalogs of the database that `control` is connected to.
    ///
    /// # Errors
    /// When the connection is lost, or the server refuses a query.
    pub async fn read(control: &mut Connection) -> Result<Catalog, PostgresError> {
        let columns = columns::read(control).await?;
        let generated = objects(control, GENERATED).await?;
        let routines = routines::read(control).await?;
        let triggers = routines::read_triggers(control, &routines).await?;
        let mut side_effects = objects(control, SIDE_EFFECTS).await?;
        side_effects.extend(triggers.foreign);
        let indexes = keys::read_indexes(control, &columns, &generated).await?;
        Ok(Catalog {
            foreign_keys: foreign_keys::read(control).await?,
            inheritance: read_inheritance(control).await?,
            unique: keys::read_tables(control).await?,
            triggers: triggers.definitions,
            side_effects,
            all_sequences: objects(control, ALL_SEQUENCES).await?,
            policies: read_policies(control).await?,
            compares_times: is_true(control, COMPARES_TIMES).await?,
            functions: BTreeMap::new(),
            reads_constants: false,
            sequences: read_sequences(control).await?,
            opaque: objects(control, OPAQUE).await?,
            views: read_views(control).await?,
            routines,
            tables: columns::read_tables(control).await?,
            columns,
            generated,
            checked: objects(control, CHECKED).await?,
            unique_keys: keys::read_plain(control).await?,
            unique_indexes: indexes.iter().map(|one| (one.table, one.count)).collect(),
            indexed_columns: indexes.into_iter().map(|one| (one.table, one.columns)).collect(),
            unnamed_calls: routines::are_called_unnamed(control).await?,
            changing_routines: routines::change_meanings(control).await?,
            deferrable: is_true(control, DEFERRABLE).await?,
        })
    }
}

/// Child and parent.
async fn read_inheritance(control: &mut Connection) -> Result<Vec<(u32, u32)>, PostgresError> {
    let rows = rows(control, INHERITANCE).await?;
    Ok(rows.iter().map(|row| (numbers(row)[0], numbers(row)[1])).collect())
}

async fn read_views(control: &mut Connection) -> Result<BTreeMap<u32, String>, PostgresError> {
    let view = |row: rows::Row| (numbers(&row)[0], row[1].clone().unwrap_or_default());
    Ok(rows(control, VIEWS).await?.into_iter().map(view).collect())
}

async fn read_policies(control: &mut Connection) -> Result<BTreeMap<u32, Vec<String>>, PostgresError> {
    let mut policies: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for row in rows(control, POLICIES).await? {
        policies.entry(numbers(&row)[0]).or_default().extend(row[1].clone());
    }
    Ok(policies)
}

async fn read_sequences(control: &mut Connection) -> Result<BTreeMap<u32, BTreeSet<u32>>, PostgresError> {
    let mut sequences: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for row in rows(control, SEQUENCES).await? {
        sequences.entry(numbers(&row)[0]).or_default().insert(numbers(&row)[1]);
    }
    Ok(sequences)
}
