//! Functions, procedures and triggers of the scenario's own.

use std::collections::{BTreeMap, BTreeSet};

use super::FIRST_USER_OBJECT;
use super::rows::{is_t, is_true, numbers, rows};
use crate::postgres::PostgresError;
use crate::postgres::wire::Connection;

/// The defaults of a function's parameters run with it.
const ROUTINES: &str = "SELECT p.oid, p.proname, p.prorettype = 'trigger'::regtype, l.lanname,
    coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)
      || coalesce(' ' || pg_catalog.pg_get_expr(p.proargdefaults, 0), '')
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  WHERE p.oid >= 16384 AND p.prorettype <> 'event_trigger'::regtype
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')";

const TRIGGERS: &str = "SELECT tgrelid, tgfoid, pg_catalog.pg_get_triggerdef(oid)
  FROM pg_catalog.pg_trigger WHERE NOT tgisinternal";

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

/// A function, procedure or trigger function of the scenario's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routine {
    pub oid: u32,
    pub name: String,
    pub is_for_trigger: bool,
    /// Its text, where it is in SQL or PL/pgSQL.
    pub body: Option<String>,
}

pub async fn read(control: &mut Connection) -> Result<Vec<Routine>, PostgresError> {
    let routine = |row: Vec<Option<String>>| {
        let is_readable = matches!(row[3].as_deref(), Some("sql" | "plpgsql"));
        Some(Routine {
            oid: numbers(&row)[0],
            name: row[1].clone()?,
            is_for_trigger: is_t(&row[2]),
            body: row[4].clone().filter(|body| is_readable && !body.is_empty()),
        })
    };
    Ok(rows(control, ROUTINES).await?.into_iter().filter_map(routine).collect())
}

/// Triggers by their tables.
#[derive(Default)]
pub struct Triggers {
    pub definitions: BTreeMap<u32, Vec<String>>,
    /// Tables with a trigger that runs a function which is neither built in nor one of the scenario's own.
    pub foreign: BTreeSet<u32>,
}

pub async fn read_triggers(control: &mut Connection, routines: &[Routine]) -> Result<Triggers, PostgresError> {
    let mut triggers = Triggers::default();
    for row in rows(control, TRIGGERS).await? {
        let (table, function) = (numbers(&row)[0], numbers(&row)[1]);
        let is_own = routines.iter().any(|routine| routine.oid == function);
        if function >= FIRST_USER_OBJECT && !is_own {
            triggers.foreign.insert(table);
        }
        let definitions = triggers.definitions.entry(table).or_default();
        definitions.extend(row[2].clone());
    }
    Ok(triggers)
}

/// Whether functions may run that no statement and no function names.
pub async fn are_called_unnamed(control: &mut Connection) -> Result<bool, PostgresError> {
    is_true(control, UNNAMED_CALLS).await
}

/// Whether functions may change what later statements mean.
pub async fn change_meanings(control: &mut Connection) -> Result<bool, PostgresError> {
    is_true(control, CHANGING_ROUTINES).await
}
