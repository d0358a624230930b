//! What the system catalogs say about the tables of a scratch database and their relations.

use std::collections::{BTreeMap, BTreeSet};

use super::node_tree::{Node, Struct};
use super::wire::{Connection, Value};
use super::{PostgresError, expect};

/// The first object number of what users make.
pub const FIRST_USER_OBJECT: u32 = 16_384;

const FOREIGN_KEYS: &str =
    "SELECT conrelid, confrelid, confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd'), conindid,
    confdeltype = 'd' OR confupdtype = 'd',
    (SELECT string_agg(a.attname || E'\\x01' || b.attname, E'\\x01')
     FROM unnest(conkey, confkey) AS pair (own, others)
     JOIN pg_catalog.pg_attribute a ON a.attrelid = conrelid AND a.attnum = own
     JOIN pg_catalog.pg_attribute b ON b.attrelid = confrelid AND b.attnum = others)
  FROM pg_catalog.pg_constraint WHERE contype = 'f'";
const INHERITANCE: &str = "SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits";
const UNIQUE: &str = "SELECT DISTINCT indrelid FROM pg_catalog.pg_index WHERE indrelid >= 16384
    AND (indisunique OR indisexclusion)";
const TRIGGERS: &str = "SELECT tgrelid, tgfoid, pg_catalog.pg_get_triggerdef(oid)
  FROM pg_catalog.pg_trigger WHERE NOT tgisinternal";
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
/// The defaults of a function's parameters run with it.
const ROUTINES: &str = "SELECT p.oid, p.proname, p.prorettype = 'trigger'::regtype, l.lanname,
    coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)
      || coalesce(' ' || pg_catalog.pg_get_expr(p.proargdefaults, 0), '')
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  WHERE p.oid >= 16384 AND p.prorettype <> 'event_trigger'::regtype
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')";
/// Anything that calls a function without being a statement or the text of a function depends on it: the server records
/// this, since it then does not permit dropping the function.
const UNNAMED_CALLS: &str = "SELECT EXISTS (
  SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
  WHERE d.refclassid = 'pg_proc'::regclass AND p.oid >= 16384
    AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                    WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e'))";
/// A function that changes what names mean, or that changes the schema, affects later statements that do not call it. A
/// body that is not a text (BEGIN ATOMIC) is not examined.
const CHANGING_ROUTINES: &str = "SELECT EXISTS (
  SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE p.oid >= 16384 AND n.nspname <> 'pgbraid'
    AND (p.prosrc = '' OR p.prosrc ~* '\\m(set_config|search_path|create|alter|drop|execute)\\M'
      OR p.prosrc ~* '(^|;|\\m(begin|then|else|loop))\\s*(set|reset)\\M')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'))
 OR EXISTS (SELECT FROM pg_catalog.pg_trigger
             WHERE NOT tgisinternal AND pg_catalog.pg_get_triggerdef(oid) ~* 'set_config')
 OR EXISTS (SELECT FROM pg_catalog.pg_policy WHERE coalesce(pg_catalog.pg_get_expr(polqual, polrelid), '')
             || coalesce(pg_catalog.pg_get_expr(polwithcheck, polrelid), '') ~* 'set_config')
 OR EXISTS (SELECT FROM pg_catalog.pg_attrdef WHERE pg_catalog.pg_get_expr(adbin, adrelid) ~* 'set_config')";
const DEFERRABLE: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE condeferrable)
    OR EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgdeferrable AND NOT tgisinternal)";

const TABLES: &str = "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')";

const GENERATED: &str = "SELECT attrelid FROM pg_catalog.pg_attribute WHERE attrelid >= 16384 AND attgenerated <> ''";

/// What an UPDATE evaluates before it waits for the row.
const CHECKED: &str = "SELECT conrelid FROM pg_catalog.pg_constraint WHERE contype = 'c' AND conrelid >= 16384
 UNION SELECT attrelid FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  WHERE attrelid >= 16384 AND (attgenerated <> '' OR t.typtype = 'd')
 UNION SELECT oid FROM pg_catalog.pg_class WHERE oid >= 16384 AND relrowsecurity";

const COLUMNS: &str = "SELECT attrelid, attname, CASE WHEN atttypmod = -1 THEN atttypid ELSE 0 END, attnotnull, attnum
  FROM pg_catalog.pg_attribute
  WHERE attrelid >= 16384 AND attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum";

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

const FUNCTIONS: &str =
    "SELECT oid, proname, provolatile, proleakproof FROM pg_catalog.pg_proc WHERE oid = ANY ($1::oid[])";

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

/// Locks on relations that the transaction of this connection holds.
const OWN_LOCKS: &str = "SELECT relation, mode FROM pg_catalog.pg_locks
  WHERE locktype = 'relation' AND pid = pg_catalog.pg_backend_pid()
    AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())";

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

/// What the server says of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub volatility: Volatility,
    /// It reveals nothing about its arguments except by its result, so it raises no error either.
    pub leakproof: bool,
    /// It came with the server.
    pub is_built_in: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volatility {
    Immutable,
    Stable,
    Volatile,
}

/// A function, procedure or trigger function of the scenario's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routine {
    pub oid: u32,
    pub name: String,
    pub is_for_trigger: bool,
    /// Its text, where it is in SQL or PL/pgSQL.
    pub body: Option<String>,
}

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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// 0 where the type has a length or precision.
    pub type_oid: u32,
    pub not_null: bool,
    pub number: i16,
}

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

impl Catalog {
    pub async fn read(control: &mut Connection) -> Result<Catalog, PostgresError> {
        let foreign_keys = rows(control, FOREIGN_KEYS).await?;
        let mut catalog = Catalog {
            foreign_keys: foreign_keys
                .iter()
                .map(|row| ForeignKey {
                    referencing: numbers(row)[0],
                    referenced: numbers(row)[1],
                    cascades: row[2].as_deref() == Some("t"),
                    index: numbers(row)[3],
                    sets_default: row[4].as_deref() == Some("t"),
                    columns: pairs(row[5].as_deref().unwrap_or_default()),
                })
                .collect(),
            inheritance: rows(control, INHERITANCE)
                .await?
                .iter()
                .map(|row| (numbers(row)[0], numbers(row)[1]))
                .collect(),
            unique: objects(control, UNIQUE).await?,
            generated: objects(control, GENERATED).await?,
            checked: objects(control, CHECKED).await?,
            side_effects: objects(control, SIDE_EFFECTS).await?,
            opaque: objects(control, OPAQUE).await?,
            views: rows(control, VIEWS)
                .await?
                .iter()
                .map(|row| (numbers(row)[0], row[1].clone().unwrap_or_default()))
                .collect(),
            routines: rows(control, ROUTINES)
                .await?
                .iter()
                .filter_map(|row| {
                    let readable = matches!(row[3].as_deref(), Some("sql" | "plpgsql"));
                    Some(Routine {
                        oid: numbers(row)[0],
                        name: row[1].clone()?,
                        is_for_trigger: row[2].as_deref() == Some("t"),
                        body: row[4].clone().filter(|body| readable && !body.is_empty()),
                    })
                })
                .collect(),
            deferrable: is_true(control, DEFERRABLE).await?,
            changing_routines: is_true(control, CHANGING_ROUTINES).await?,
            unnamed_calls: is_true(control, UNNAMED_CALLS).await?,
            compares_times: is_true(control, COMPARES_TIMES).await?,
            all_sequences: objects(control, ALL_SEQUENCES).await?,
            ..Catalog::default()
        };
        for row in rows(control, TABLES).await? {
            if let [Some(_), Some(schema), Some(name)] = row.as_slice() {
                catalog.tables.insert(numbers(&row)[0], (schema.clone(), name.clone()));
            }
        }
        for row in rows(control, TRIGGERS).await? {
            let (table, function) = (numbers(&row)[0], numbers(&row)[1]);
            let known = catalog.routines.iter().any(|routine| routine.oid == function);
            if function >= FIRST_USER_OBJECT && !known {
                catalog.side_effects.insert(table);
            }
            let definitions = catalog.triggers.entry(table).or_default();
            definitions.extend(row[2].clone());
        }
        for row in rows(control, COLUMNS).await? {
            if let Some(name) = &row[1] {
                let columns = catalog.columns.entry(numbers(&row)[0]).or_default();
                columns.push(Column {
                    name: name.clone(),
                    type_oid: numbers(&row)[2],
                    not_null: row[3].as_deref() == Some("t"),
                    number: row[4].as_deref().and_then(|text| text.parse().ok()).unwrap_or_default(),
                });
            }
        }
        for row in rows(control, UNIQUE_KEYS).await? {
            let [_, _, Some(names), Some(types), usual] = row.as_slice() else {
                continue;
            };
            let usual = usual.as_deref() == Some("t");
            let columns = names.split(SEPARATOR).zip(types.split(','));
            let columns = columns
                .map(|(name, oid)| (name.to_owned(), KeyType::of(oid, usual)))
                .collect();
            catalog.unique_keys.push(UniqueKey {
                table: numbers(&row)[0],
                index: numbers(&row)[1],
                columns,
            });
        }
        for row in rows(control, UNIQUE_COLUMNS).await? {
            let table = numbers(&row)[0];
            let named = row[2].as_deref().unwrap_or_default().split(SEPARATOR);
            let mut columns: BTreeSet<String> = named.map(str::to_owned).collect();
            // an expression, a predicate or a generated column may look at any column
            if row[3].as_deref() == Some("t") || catalog.generated.contains(&table) {
                let all = catalog.columns.get(&table).into_iter().flatten();
                columns.extend(all.map(|column| column.name.clone()));
            }
            catalog.unique_indexes.insert(table, numbers(&row)[1]);
            catalog.indexed_columns.insert(table, columns);
        }
        for row in rows(control, POLICIES).await? {
            let policies = catalog.policies.entry(numbers(&row)[0]).or_default();
            policies.extend(row[1].clone());
        }
        for row in rows(control, SEQUENCES).await? {
            catalog
                .sequences
                .entry(numbers(&row)[0])
                .or_default()
                .insert(numbers(&row)[1]);
        }
        Ok(catalog)
    }
}

/// Stands between names in a list of them.
const SEPARATOR: char = '\u{1}';

/// Names in pairs, from a list of all.
fn pairs(names: &str) -> Vec<(String, String)> {
    let mut names = names.split(SEPARATOR).map(str::to_owned);
    std::iter::from_fn(|| Some((names.next()?, names.next()?))).collect()
}

fn numbers(row: &[Option<String>]) -> Vec<u32> {
    row.iter()
        .map(|value| value.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default())
        .collect()
}

/// Object numbers.
async fn objects(control: &mut Connection, sql: &str) -> Result<BTreeSet<u32>, PostgresError> {
    let rows = rows(control, sql).await?;
    Ok(rows.iter().map(|row| numbers(row)[0]).collect())
}

async fn is_true(control: &mut Connection, sql: &str) -> Result<bool, PostgresError> {
    let rows = rows(control, sql).await?;
    Ok(rows.iter().any(|row| row[0].as_deref() == Some("t")))
}

async fn rows(control: &mut Connection, sql: &str) -> Result<Vec<Vec<Option<String>>>, PostgresError> {
    let result = expect(control.simple(sql).await?, "reading the system catalogs")?;
    let width = result.columns.map_or(0, |columns| columns.len());
    Ok(result.rows.into_iter().filter(|row| row.len() == width).collect())
}

/// How a statement locks a table while the server analyses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationLock {
    Read,
    RowLock,
    Write,
    Other,
}

/// The server's analysis of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// The tables that it names, including those behind views, by the locks that the analysis takes; without those of
    /// the system catalogs.
    pub relations: Vec<(u32, RelationLock)>,
    /// The queries that remain when views are expanded and rules and policies applied: usually one.
    pub queries: Vec<Struct>,
}

impl Analysis {
    /// The functions that it calls, operators' and aggregates included.
    pub fn functions(&self) -> BTreeSet<u32> {
        functions(&self.queries)
    }
}

fn functions(queries: &[Struct]) -> BTreeSet<u32> {
    let mut called = BTreeSet::new();
    for query in queries {
        query.walk(&mut |node| {
            for field in ["funcid", "opfuncid", "aggfnoid", "winfnoid"] {
                called.insert(node.number::<u32>(field));
            }
        });
    }
    called.remove(&0);
    called
}

impl Catalog {
    /// Has the server analyse a statement with parameters of these types, in a transaction of its own, without running it.
    /// `None` where the server does not take it.
    ///
    /// The parse tree comes by `debug_print_rewritten` as a message to the client; where `quiet`, the server is told not to
    /// write it to its log.
    ///
    /// # Errors
    /// When the connection is lost, or a query of pgbraid's own fails.
    pub async fn analyse(
        &mut self,
        control: &mut Connection,
        sql: &str,
        types: &[u32],
        quiet: bool,
    ) -> Result<Option<Analysis>, PostgresError> {
        let log = if quiet {
            "; SET LOCAL log_min_messages = fatal"
        } else {
            ""
        };
        let begin = format!(
            "BEGIN{log}; SET LOCAL client_min_messages = log; SET LOCAL debug_pretty_print = off; \
             SET LOCAL debug_print_rewritten = on"
        );
        expect(control.simple(&begin).await?, "preparing to analyse a statement")?;
        let described = control.describe(sql, types).await?;
        let locks = match described.error {
            Some(_) => None,
            None => {
                expect(
                    control.simple("SET LOCAL debug_print_rewritten = off").await?,
                    "analysing a statement",
                )?;
                Some(expect(
                    control.query(OWN_LOCKS, &[]).await?,
                    "asking for a statement's tables",
                )?)
            }
        };
        control.simple("ROLLBACK").await?;
        let Some(locks) = locks else { return Ok(None) };
        let mut relations = Vec::new();
        for row in &locks.rows {
            let [Some(relation), Some(mode)] = row.as_slice() else {
                continue;
            };
            let Ok(relation) = relation.parse::<u32>() else {
                continue;
            };
            let lock = match mode.as_str() {
                "AccessShareLock" => RelationLock::Read,
                "RowShareLock" => RelationLock::RowLock,
                "RowExclusiveLock" => RelationLock::Write,
                _ => RelationLock::Other,
            };
            if relation >= FIRST_USER_OBJECT {
                relations.push((relation, lock));
            }
        }
        let queries = match described.parse_trees.as_slice() {
            [tree] => queries(tree),
            _ => Vec::new(),
        };
        self.look_up_functions(control, &queries).await?;
        Ok(Some(Analysis { relations, queries }))
    }

    /// Finds out whether constants in parse trees can be read.
    ///
    /// # Errors
    /// As [`Catalog::analyse`].
    pub async fn try_constants(&mut self, control: &mut Connection, quiet: bool) -> Result<(), PostgresError> {
        let analysis = self.analyse(control, "SELECT 1", &[], quiet).await?;
        let mut found = None;
        for query in analysis.iter().flat_map(|analysis| &analysis.queries) {
            query.walk(&mut |node| {
                if node.tag == "CONST" {
                    found = Some(node.field("constvalue").clone());
                }
            });
        }
        self.reads_constants = found == Some(Node::Bytes(vec![1, 0, 0, 0, 0, 0, 0, 0]));
        Ok(())
    }

    async fn look_up_functions(&mut self, control: &mut Connection, queries: &[Struct]) -> Result<(), PostgresError> {
        let mut called = functions(queries);
        called.retain(|function| !self.functions.contains_key(function));
        if called.is_empty() {
            return Ok(());
        }
        let numbers: Vec<String> = called.iter().map(u32::to_string).collect();
        let values = [Value::text(format!("{{{}}}", numbers.join(",")))];
        let found = expect(
            control.query(FUNCTIONS, &values).await?,
            "asking for a statement's functions",
        )?;
        for row in &found.rows {
            let [Some(oid), Some(name), Some(volatility), Some(leakproof)] = row.as_slice() else {
                continue;
            };
            let Ok(oid) = oid.parse::<u32>() else { continue };
            let function = Function {
                name: name.clone(),
                volatility: match volatility.as_str() {
                    "i" => Volatility::Immutable,
                    "s" => Volatility::Stable,
                    _ => Volatility::Volatile,
                },
                leakproof: leakproof == "t",
                is_built_in: oid < FIRST_USER_OBJECT,
            };
            self.functions.insert(oid, function);
        }
        Ok(())
    }
}

/// The queries of a parse tree; none where it is not understood.
fn queries(tree: &str) -> Vec<Struct> {
    let Some(Node::List(queries)) = Node::parse(tree) else {
        return Vec::new();
    };
    let structs: Option<Vec<Struct>> = queries.iter().map(|query| query.as_struct().cloned()).collect();
    structs.unwrap_or_default()
}
