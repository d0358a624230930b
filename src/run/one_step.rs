//! What a step does in several statements that no other session comes between: functions, procedures, triggers, DO.

use std::collections::{BTreeMap, BTreeSet};

use crate::postgres::PostgresError;
use crate::postgres::wire::Connection;
use crate::scenario::Scenario;
use crate::sql::classify::first_word;
use crate::sql::lexer::{TokenKind, tokens};

/// Functions and procedures of the scenario's own in which the statements of others could make a difference. Those
/// declared STABLE or IMMUTABLE take no snapshot of their own and write nothing. The third column says that something
/// other than a statement calls it: a trigger, a default, a check, a view.
const ROUTINES: &str = "SELECT p.proname, CASE WHEN p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype)
      THEN 'trigger function' WHEN p.prokind = 'p' THEN 'procedure' ELSE 'function' END,
    EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid),
    coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE p.oid >= 16384 AND n.nspname <> 'pgbraid' AND p.provolatile = 'v' AND p.prokind IN ('f', 'p')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  ORDER BY p.proname";

struct Routine {
    name: String,
    kind: String,
    /// It may run although no statement names it.
    unnamed: bool,
    body: String,
}

/// What a reader of the verdict should know of them, in one sentence each. Must be called after setup.
pub async fn notes(control: &mut Connection, scenario: &Scenario) -> Result<Vec<String>, PostgresError> {
    let reply = control.simple(ROUTINES).await?;
    let found = reply.into_result().map_err(|error| PostgresError::Query {
        doing: "looking for the scenario's functions",
        error,
    })?;
    let routines = found
        .rows
        .into_iter()
        .filter_map(|row| match <[Option<String>; 4]>::try_from(row) {
            Ok([Some(name), Some(kind), Some(unnamed), body]) => Some(Routine {
                name,
                kind,
                unnamed: unnamed == "t",
                body: body.unwrap_or_default(),
            }),
            _ => None,
        });
    Ok(notes_on(&routines.collect::<Vec<_>>(), scenario))
}

fn notes_on(routines: &[Routine], scenario: &Scenario) -> Vec<String> {
    let steps = || scenario.sessions.iter().flat_map(|session| session.steps.iter());
    let mut names: BTreeSet<String> = steps().flat_map(|step| names(&step.sql.text)).collect();
    let mut called: BTreeMap<&str, &Routine> = BTreeMap::new();
    // what a called routine calls is called, too
    loop {
        let next = routines.iter().find(|routine| {
            let is_called = routine.unnamed || names.contains(&routine.name);
            is_called && !called.contains_key(routine.name.as_str())
        });
        let Some(next) = next else { break };
        let alike = routines.iter().filter(|routine| routine.name == next.name);
        names.extend(alike.flat_map(|routine| self::names(&routine.body)));
        called.insert(&next.name, next);
    }
    let blocks = steps().filter(|step| first_word(&step.sql.text).as_deref() == Some("do"));
    let blocks: BTreeSet<String> = blocks.map(|step| format!("the DO of step {}", step.name)).collect();
    let routines = called
        .values()
        .map(|routine| format!("{} {}", routine.kind, routine.name));
    let all: Vec<String> = routines.chain(blocks).collect();
    let mut notes = Vec::new();
    if !all.is_empty() {
        notes.push(format!(
            "a function, a procedure and a DO are one step: what other sessions do between the statements inside was not \
             explored ({})",
            all.join(", ")
        ));
    }
    let commits = called
        .values()
        .filter(|routine| routine.kind == "procedure")
        .filter(|routine| {
            ["commit", "rollback"]
                .iter()
                .any(|word| self::names(&routine.body).contains(*word))
        })
        .map(|routine| routine.name.as_str());
    let commits: Vec<&str> = commits.collect();
    if !commits.is_empty() {
        notes.push(format!(
            "a procedure cannot end a transaction here (error 2D000), since a CALL runs in a transaction whose commit is a \
             step of its own: {}",
            commits.join(", ")
        ));
    }
    notes
}

/// The names in a text, folded as the server does.
fn names(text: &str) -> BTreeSet<String> {
    tokens(text)
        .filter_map(|token| match token.kind {
            TokenKind::Word => Some(token.text.to_lowercase()),
            TokenKind::QuotedName => Some(token.text.trim_matches('"').replace("\"\"", "\"")),
            _ => None,
        })
        .collect()
}
