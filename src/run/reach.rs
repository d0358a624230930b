//! What a scenario may not do because it reaches beyond its database: a run could not undo it, and on a server that
//! pgbraid did not start it would stay behind.
//!
//! There are three checks. Commands are recognised by their words, also within the body of a function or a DO block.
//! Functions that a statement calls are recognised by the server's analysis of it. What both miss, such as a command
//! that a function builds, is detected when it has already changed what all databases share
//! ([`crate::postgres::shared_state`]).

use std::collections::BTreeMap;

use crate::postgres::catalog::{Analysis, Catalog, RelationLock};
use crate::postgres::wire::{Connection, Value};
use crate::postgres::{PostgresError, expect};
use crate::scenario::ScenarioError;
use crate::scenario::source::SqlText;
use crate::sql::commands::split;
use crate::sql::lexer::{Token, TokenKind};

const NOT_SUPPORTED: &str = "0A000";

/// Objects of the whole server.
const SHARED: [&str; 7] = [
    "ROLE",
    "GROUP",
    "USER",
    "DATABASE",
    "TABLESPACE",
    "SUBSCRIPTION",
    "SYSTEM",
];

/// Functions that come with the server, and act on its files, its log, other databases' sessions, or replication.
const FUNCTIONS: [&str; 43] = [
    "pg_terminate_backend",
    "pg_cancel_backend",
    "pg_log_backend_memory_contexts",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_rotate_logfile_old",
    "pg_promote",
    "pg_switch_wal",
    "pg_create_restore_point",
    "pg_backup_start",
    "pg_backup_stop",
    "pg_start_backup",
    "pg_stop_backup",
    "pg_wal_replay_pause",
    "pg_wal_replay_resume",
    "pg_log_standby_snapshot",
    "pg_create_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_copy_logical_replication_slot",
    "pg_drop_replication_slot",
    "pg_replication_slot_advance",
    "pg_sync_replication_slots",
    "pg_logical_slot_get_changes",
    "pg_logical_slot_get_binary_changes",
    "pg_replication_origin_create",
    "pg_replication_origin_drop",
    "pg_replication_origin_advance",
    "pg_stat_reset_shared",
    "pg_stat_reset_slru",
    "pg_stat_reset_replication_slot",
    "pg_stat_reset_subscription_stats",
    "lo_export",
    "pg_file_write",
    "pg_file_rename",
    "pg_file_unlink",
    "pg_file_sync",
    "dblink",
    "dblink_connect",
    "dblink_connect_u",
    "dblink_exec",
    "dblink_open",
    "dblink_send_query",
];

/// Functions that reach beyond their database, under any name: the server's own, those of extensions that do nothing
/// else, and those whose effect nobody can tell.
const REACHING: &str = "SELECT p.oid, p.proname FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  WHERE l.lanname = 'internal' AND p.prosrc IN (
      SELECT prosrc FROM pg_catalog.pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY ($1))
    OR p.probin ~ '(dblink|adminpack|pg_cron|pg_background)'
    OR NOT l.lanpltrusted AND l.lanname <> 'internal' AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
      AND p.oid >= 16384";

/// Refuses commands that create, change or drop what belongs to the whole server and, on one that pgbraid did not start
/// (`given`), those that act on its files and other sessions.
pub fn refuse_commands(sql: &SqlText, what: &str, given: bool) -> Result<(), ScenarioError> {
    for command in split(&sql.text) {
        let Some(reason) = reason(&command, given) else {
            continue;
        };
        let position = command
            .first()
            .map(|token| sql.text[..token.offset].chars().count() + 1);
        let position = position.and_then(|position| u32::try_from(position).ok());
        return Err(refuse(sql, position, reason, what));
    }
    Ok(())
}

/// The functions that no statement may call on a server that pgbraid did not start, and what they are.
#[derive(Debug, Default)]
pub struct Reaching(BTreeMap<u32, String>);

impl Reaching {
    /// Must be called after setup.
    pub async fn find(control: &mut Connection) -> Result<Reaching, PostgresError> {
        let names = Value::text(format!("{{{}}}", FUNCTIONS.join(",")));
        let found = expect(
            control.query(REACHING, &[names]).await?,
            "looking for functions that reach beyond their database",
        )?;
        let functions = found.rows.into_iter().filter_map(|row| {
            let [Some(oid), Some(name)] = <[Option<String>; 2]>::try_from(row).ok()? else {
                return None;
            };
            Some((oid.parse().ok()?, name))
        });
        Ok(Reaching(functions.collect()))
    }

    /// Refuses a statement that calls one of them, or writes to a table of another server.
    pub fn refuse_calls(
        &self,
        sql: &SqlText,
        analysis: Option<&Analysis>,
        catalog: &Catalog,
        what: &str,
    ) -> Result<(), ScenarioError> {
        // on an embedded server there are none
        if self.0.is_empty() {
            return Ok(());
        }
        let Some(analysis) = analysis else { return Ok(()) };
        let called = analysis.functions();
        if let Some(name) = called.iter().find_map(|function| self.0.get(function)) {
            let message = format!("function {name} reaches beyond the scenario's database");
            return Err(refuse(sql, None, &message, what));
        }
        let foreign =
            |(table, lock): &(u32, RelationLock)| *lock == RelationLock::Write && catalog.opaque.contains(table);
        match analysis.relations.iter().any(foreign) {
            true => Err(refuse(sql, None, "foreign tables are of another database", what)),
            false => Ok(()),
        }
    }
}

fn refuse(sql: &SqlText, position: Option<u32>, message: &str, what: &str) -> ScenarioError {
    let hint = "pgbraid runs in databases of its own, and puts back what is in them between runs; what else the scenario \
                needs has to be on the server beforehand";
    ScenarioError::rejected_sql(sql, position, NOT_SUPPORTED, message, Some(hint), what)
}

/// Why a command is refused.
fn reason(command: &[Token<'_>], given: bool) -> Option<&'static str> {
    let within = || {
        let strings = command.iter().filter(|token| token.kind == TokenKind::String);
        let mut bodies = strings.filter(|_| has_body(command));
        bodies.find_map(|body| reason_within(body.text, given))
    };
    shared(command)
        .or_else(|| given.then(|| files_and_functions(command)).flatten())
        .or_else(within)
}

/// Whether a command contains the text of a function, or of a block that runs at once.
fn has_body(command: &[Token<'_>]) -> bool {
    let at = |place: usize, words: &[&str]| command.get(place).is_some_and(|token| token.is_one_of(words));
    let place = if at(1, &["OR"]) { 3 } else { 1 };
    at(0, &["DO"]) || at(0, &["CREATE"]) && at(place, &["FUNCTION", "PROCEDURE"])
}

/// Why a text that may be run is refused: the body of a function, or what it builds for EXECUTE.
fn reason_within(string: &str, given: bool) -> Option<&'static str> {
    let text = content(string);
    for command in split(&text) {
        let starts = (0..command.len()).filter(|&index| {
            let before = index.checked_sub(1).map(|before| &command[before]);
            before.is_none_or(|before| before.is_one_of(&["BEGIN", "THEN", "ELSE", "LOOP", "AS"]))
        });
        for start in starts {
            // the text may insert the name of the scenario's own database
            let command = &command[start..];
            let names_database = command.iter().any(|token| token.is("DATABASE"));
            if let Some(reason) = shared(command).filter(|_| !names_database) {
                return Some(reason);
            }
        }
        if given && let Some(reason) = files_and_functions(&command) {
            return Some(reason);
        }
        let executed = command.iter().skip_while(|token| !token.is("EXECUTE"));
        let mut strings = executed.filter(|token| token.kind == TokenKind::String);
        if let Some(reason) = strings.find_map(|text| reason_within(text.text, given)) {
            return Some(reason);
        }
    }
    None
}

/// The text that a string stands for, apart from escapes with a backslash.
fn content(string: &str) -> String {
    if let Some(tagged) = string.strip_prefix('$') {
        let tag = tagged.find('$').map_or(0, |end| end + 2);
        return string
            .get(tag..string.len().saturating_sub(tag))
            .unwrap_or_default()
            .to_owned();
    }
    let inside = string.split_once('\'').map_or("", |(_, inside)| inside);
    inside.strip_suffix('\'').unwrap_or(inside).replace("''", "'")
}

/// Commands on what belongs to the whole server.
fn shared(command: &[Token<'_>]) -> Option<&'static str> {
    let at = |place: usize, words: &[&str]| command.get(place).is_some_and(|token| token.is_one_of(words));
    let names = |word: &str| command.iter().any(|token| token.is(word));
    let behind_on = command.iter().position(|token| token.is("ON"));
    let is_shared = |place: usize| at(place, &SHARED) && !at(place + 1, &["MAPPING"]);
    if at(0, &["CREATE", "ALTER", "DROP"]) && is_shared(1) {
        return Some("roles, databases and other objects of the whole server are not to be made or changed");
    }
    let labels = at(0, &["COMMENT"]) || at(0, &["SECURITY"]) && at(1, &["LABEL"]);
    if labels && behind_on.is_some_and(|on| is_shared(on + 1)) {
        return Some("objects of the whole server are not to be commented or labelled");
    }
    if at(0, &["REASSIGN", "DROP"]) && at(1, &["OWNED"]) {
        return Some("what a role owns may lie beyond the scenario's database");
    }
    if at(0, &["GRANT", "REVOKE"]) && (names("TO") || names("FROM")) {
        return match behind_on {
            None => Some("who is a member of a role is the whole server's"),
            Some(on) if at(on + 1, &["DATABASE", "TABLESPACE", "PARAMETER"]) => {
                Some("privileges on objects of the whole server are not to be changed")
            }
            Some(_) => None,
        };
    }
    None
}

/// Commands that act on the server's files or run programs, and functions that reach out.
fn files_and_functions(command: &[Token<'_>]) -> Option<&'static str> {
    let copies = command.first().is_some_and(|first| first.is("COPY"));
    let mut pairs = command.windows(2).map(|pair| (&pair[0], &pair[1]));
    if copies && pairs.any(|(to, what)| what.is("PROGRAM") || to.is("TO") && what.kind == TokenKind::String) {
        return Some("COPY is not to run programs or write files of the server");
    }
    let calls = |pair: &[Token<'_>]| {
        let name = match pair[0].kind {
            TokenKind::Word => pair[0].text.to_lowercase(),
            TokenKind::QuotedName => pair[0].text.trim_matches('"').to_owned(),
            _ => return false,
        };
        pair[1].text == "(" && FUNCTIONS.contains(&name.as_str())
    };
    command
        .windows(2)
        .any(calls)
        .then_some("it calls a function that reaches beyond the scenario's database")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(sql: &str, given: bool) -> bool {
        split(sql).iter().any(|command| reason(command, given).is_some())
    }

    #[test]
    fn what_belongs_to_the_whole_server_is_refused_everywhere() {
        for sql in [
            "CREATE ROLE r",
            "alter user postgres superuser",
            "DROP DATABASE d",
            "ALTER SYSTEM SET work_mem = '1MB'",
            "GRANT pg_monitor TO r",
            "REVOKE ADMIN OPTION FOR a FROM b",
            "GRANT CONNECT ON DATABASE d TO r",
            "COMMENT ON DATABASE postgres IS 'mine'",
            "SECURITY LABEL FOR p ON ROLE r IS 'x'",
            "REASSIGN OWNED BY a TO b",
            "DO $$ BEGIN EXECUTE 'CREATE ROLE r'; END $$",
            "DO 'BEGIN EXECUTE ''CREATE ROLE r''; END'",
            "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN IF true THEN DROP ROLE r; END IF; END $f$",
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'ALTER ROLE r LOGIN'",
            "DO $$ BEGIN EXECUTE format('GRANT %I TO %I', 'a', 'b'); END $$",
            "CREATE OR REPLACE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DROP ROLE r'; END $$",
        ] {
            assert!(is_refused(sql, false), "{sql}");
        }
    }

    #[test]
    fn what_stays_in_the_database_is_not_refused() {
        for sql in [
            "CREATE TABLE role (id int)",
            "GRANT SELECT ON t TO r",
            "CREATE USER MAPPING FOR r SERVER s",
            "COMMENT ON TABLE t IS 'create role'",
            "INSERT INTO notes VALUES ('drop user 7'), ('grant it to bob')",
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'drop role first'; -- CREATE ROLE r
               END $$",
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = 1', current_database()); END $$",
            "COPY t FROM '/tmp/rows'",
            "CREATE TYPE permission AS ENUM ('create user', 'drop user')",
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN INSERT INTO audit VALUES ('create user'); RETURN NEW; END $$",
            "SELECT 'pg_reload_conf()' AS pg_reload_conf",
        ] {
            assert!(!is_refused(sql, true), "{sql}");
        }
    }

    #[test]
    fn files_and_other_sessions_are_left_alone_on_a_given_server() {
        for sql in [
            "COPY t TO PROGRAM 'sh'",
            "COPY t FROM PROGRAM 'sh'",
            "COPY (SELECT 1) TO '/tmp/x'",
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_stat_activity",
            "SELECT \"lo_export\"(1, '/tmp/x')",
            "SELECT dblink_exec('dbname=postgres', 'CREATE TABLE t ()')",
            "DO $$ BEGIN PERFORM pg_reload_conf(); END $$",
        ] {
            assert!(is_refused(sql, true), "{sql}");
            assert!(!is_refused(sql, false), "{sql}");
        }
    }
}
