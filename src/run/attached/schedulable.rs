//! Which of a program's requests are steps, and how each is sent.

use crate::postgres::wire::TransactionStatus;
use crate::proxy::Request;
use crate::sql;
use crate::sql::classify::{first_word, needs_block};
use crate::sql::commands::split;
use crate::sql::lexer::{Token, TokenKind};
use crate::sql::{Isolation, StatementKind};

/// Where a connection stands as a request comes.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    pub status: TransactionStatus,
    /// When a transaction begins matters.
    pub begins_apart: bool,
    /// A statement of the scenario may lock whole tables, which preparing a statement waits for.
    pub tables_locked: bool,
    /// A BEGIN goes ahead of the request.
    pub begins: bool,
    /// The transaction, if one is open, has had no turn yet.
    pub fresh: bool,
    pub savepoint_open: bool,
    /// The level of the transaction under way.
    pub isolation: Isolation,
}

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It meets no other session, and goes to the server at once.
    Pass,
    /// BEGIN alone: the client is answered, and the server is sent it with what follows.
    PutOff,
    /// A step.
    Step,
    /// A step outside a transaction: BEGIN goes ahead, and a commit of its own follows.
    Autocommitted,
}

/// The commands of a request, by kind, with each one's text.
pub fn commands(request: &Request) -> Vec<(StatementKind, String)> {
    let mut found = Vec::new();
    for asked in &request.statements {
        for command in split(&asked.sql) {
            let (Some(first), Some(last)) = (command.first(), command.last()) else {
                continue;
            };
            let sql = &asked.sql[first.offset..last.end()];
            found.push((sql::Statement::classify(sql).kind, sql.to_owned()));
        }
    }
    found
}

/// Whether commands only give back what a connection keeps beyond a transaction, as pools have them do when it returns: cursors,
/// settings, temporary tables. Other sessions can tell only where advisory locks or notifications are given back.
pub fn gives_back(commands: &[(StatementKind, String)]) -> bool {
    let is_known = |sql: &str| {
        let found = split(sql);
        let [command] = found.as_slice() else { return false };
        let words: Vec<String> = command.iter().map(|token| token.text.to_lowercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        matches!(
            words.as_slice(),
            ["reset" | "close", "all"]
                | ["unlisten", "*"]
                | ["discard", "all" | "plans" | "sequences" | "temp" | "temporary"]
                | ["select", "pg_advisory_unlock_all", "(", ")"]
                | ["select", "pg_catalog", ".", "pg_advisory_unlock_all", "(", ")"]
        )
    };
    !commands.is_empty() && commands.iter().all(|(_, sql)| is_known(sql))
}

/// Whether a command gives all settings of its connection the values that they began with.
pub fn resets_settings(sql: &str) -> bool {
    let words: Vec<String> = sql.split_whitespace().map(str::to_lowercase).collect();
    matches!(
        words.iter().map(String::as_str).collect::<Vec<_>>().as_slice(),
        ["reset" | "discard", "all"]
    )
}

/// Whether a command has the server notify its connection.
pub fn listens(sql: &str) -> bool {
    first_word(sql).as_deref() == Some("listen")
}

/// Commands that lock no table so that another may not name it: those that read and change rows, and those of transactions,
/// cursors and settings.
const LOCK_NO_TABLE: [&str; 28] = [
    "SELECT",
    "VALUES",
    "TABLE",
    "WITH",
    "INSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "COPY",
    "DECLARE",
    "FETCH",
    "MOVE",
    "CLOSE",
    "BEGIN",
    "START",
    "COMMIT",
    "END",
    "ROLLBACK",
    "ABORT",
    "SAVEPOINT",
    "RELEASE",
    "SET",
    "RESET",
    "SHOW",
    "LISTEN",
    "UNLISTEN",
    "NOTIFY",
    "DEALLOCATE",
];

/// Whether a statement may hold a lock on a whole table that the analysis of another's waits for.
pub fn may_lock_tables(sql: &str) -> bool {
    let commands = split(sql);
    let locks_none = |command: &Vec<Token<'_>>| command.first().is_some_and(|word| word.is_one_of(&LOCK_NO_TABLE));
    !commands.iter().all(locks_none)
}

/// Whether a command leaves a setting of its connection changed when its transaction is over.
pub fn keeps_setting(kind: StatementKind, sql: &str) -> bool {
    let words: Vec<String> = sql.split_whitespace().take(2).map(str::to_lowercase).collect();
    match kind {
        StatementKind::Setting => {
            let is_local = matches!(
                words.get(1).map(String::as_str),
                Some("local" | "transaction" | "constraints")
            );
            !is_local && words.first().is_some_and(|word| word != "show")
        }
        _ => sql.to_lowercase().contains("set_config"),
    }
}

/// What is to be done with a request of these commands.
pub fn treatment(
    commands: &[(StatementKind, String)],
    is_simple: bool,
    prepares: bool,
    standing: Standing,
) -> Treatment {
    let is_open = standing.begins || standing.status != TransactionStatus::Idle;
    // a transaction whose snapshot lasts takes it with its first statement, whatever that is, or when that is prepared
    let takes_snapshot = (standing.begins || standing.fresh) && standing.isolation != Isolation::ReadCommitted;
    if commands.is_empty() {
        return if takes_snapshot || (standing.tables_locked && prepares) {
            Treatment::Step
        } else {
            Treatment::Pass
        };
    }
    if let [(StatementKind::Begin, sql)] = commands
        && is_simple
        && !is_open
        && !standing.begins_apart
        && is_plain_begin(sql)
    {
        return Treatment::PutOff;
    }
    let passes = |(kind, sql): &(StatementKind, String)| match kind {
        StatementKind::Begin => !standing.begins_apart,
        StatementKind::Savepoint => true,
        StatementKind::Setting => true,
        StatementKind::Commit { .. } => !is_open || standing.begins || standing.fresh,
        // the error has released everything, unless locks from before a savepoint are held
        StatementKind::Rollback { .. } => {
            !is_open
                || standing.begins
                || standing.fresh
                || (standing.status == TransactionStatus::Aborted && !standing.savepoint_open)
        }
        // who waits for the part of the transaction that it ends waits anew
        StatementKind::Release
        | StatementKind::RollbackTo
        | StatementKind::PrepareTransaction
        | StatementKind::OutsideBlock => false,
        StatementKind::Plain => standing.status == TransactionStatus::Aborted || (is_silent(sql) && !takes_snapshot),
    };
    if commands.iter().all(passes) {
        return Treatment::Pass;
    }
    let all_plain = commands
        .iter()
        .all(|(kind, _)| matches!(kind, StatementKind::Plain | StatementKind::Setting));
    // what the server refuses alone it takes among others, which are a transaction together
    let is_refused = matches!(commands, [(_, sql)] if needs_block(sql));
    match all_plain && !is_open && !is_refused {
        true => Treatment::Autocommitted,
        false => Treatment::Step,
    }
}

/// Whether the server is sure to take a BEGIN: the client is told so before it is asked.
fn is_plain_begin(sql: &str) -> bool {
    let commands = split(sql);
    let Some(words) = commands.first() else { return false };
    let texts: Vec<String> = words
        .iter()
        .filter(|word| word.text != ",")
        .map(|word| word.text.to_lowercase())
        .collect();
    let begin: Vec<&str> = texts.iter().map(String::as_str).collect();
    let rest = match begin.as_slice() {
        ["begin", "transaction" | "work", rest @ ..] | ["start", "transaction", rest @ ..] | ["begin", rest @ ..] => {
            rest
        }
        _ => return false,
    };
    let modes: [&[&str]; 6] = [
        &["isolation", "level", "read", "committed"],
        &["isolation", "level", "read", "uncommitted"],
        &["isolation", "level", "repeatable", "read"],
        &["isolation", "level", "serializable"],
        &["read", "write"],
        &["read", "only"],
    ];
    let mut rest = rest;
    while !rest.is_empty() {
        match modes.iter().find_map(|mode| rest.strip_prefix(*mode)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

/// Whether a statement may set a timeout that the server ends statements by which wait.
pub fn may_set_timeout(sql: &str) -> bool {
    let text = sql.to_lowercase().replace("deadlock_timeout", "");
    if !text.contains("lock_timeout") && !text.contains("statement_timeout") {
        return false;
    }
    let Some(command) = split(sql).into_iter().next() else {
        return false;
    };
    let sets_none = command[0].is_one_of(&["SHOW", "RESET"])
        || command[0].is("SET")
            && command.last().is_some_and(|value| {
                let value = value.text.trim_matches('\'');
                value.trim_start_matches('0').is_empty() || value.eq_ignore_ascii_case("default")
            });
    !sets_none
}

/// Functions that tell of the server and the session, and of nothing that a session of the scenario can change.
const SILENT_FUNCTIONS: [&str; 14] = [
    "version",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_user",
    "session_user",
    "pg_backend_pid",
    "pg_is_in_recovery",
    "pg_client_encoding",
    "current_setting",
    "inet_server_addr",
    "inet_server_port",
    "pg_postmaster_start_time",
    "unnest",
];

/// Whether a statement looks at nothing but constants and what is known to be of the server and the session: the ping of a
/// pool, or a driver that asks for the version. DEALLOCATE concerns the session's own statements.
fn is_silent(sql: &str) -> bool {
    let commands = split(sql);
    let [command] = commands.as_slice() else { return false };
    let Some(first) = command.first() else { return true };
    if first.is("DEALLOCATE") {
        return true;
    }
    if !first.is("SELECT") {
        return false;
    }
    let plain = |(index, token): (usize, &Token<'_>)| match token.kind {
        TokenKind::Word | TokenKind::QuotedName => {
            let is_called = command.get(index + 1).is_some_and(|next| next.text == "(");
            let name = token.text.trim_matches('"').to_lowercase();
            let is_value = [
                "select",
                "as",
                "true",
                "false",
                "null",
                "current_user",
                "session_user",
                "pg_catalog",
                "current_schema",
                "current_catalog",
            ];
            let is_alias = index > 0 && command[index - 1].is("AS");
            let is_known = SILENT_FUNCTIONS.contains(&name.as_str());
            if is_called {
                is_known
            } else {
                is_value.contains(&name.as_str()) || is_alias || is_known
            }
        }
        _ => true,
    };
    command.iter().enumerate().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn treated(sql: &str, standing: Standing) -> Treatment {
        let commands: Vec<_> = split(sql)
            .iter()
            .map(|command| {
                let text = &sql[command[0].offset..command[command.len() - 1].end()];
                (sql::Statement::classify(text).kind, text.to_owned())
            })
            .collect();
        treatment(&commands, true, false, standing)
    }

    const IDLE: Standing = Standing {
        status: TransactionStatus::Idle,
        begins_apart: false,
        tables_locked: false,
        begins: false,
        fresh: false,
        savepoint_open: false,
        isolation: Isolation::ReadCommitted,
    };
    const OPEN: Standing = Standing {
        status: TransactionStatus::Open,
        ..IDLE
    };

    #[test]
    fn what_meets_no_session_passes() {
        for sql in [
            "SELECT 1",
            "select pg_catalog.version()",
            "SELECT current_schema()",
            "SET application_name = 'x'",
            "SHOW transaction isolation level",
            "ROLLBACK",
            "COMMIT",
            "DEALLOCATE ALL",
            "",
        ] {
            assert_eq!(treated(sql, IDLE), Treatment::Pass, "{sql}");
        }
        assert_eq!(treated("SAVEPOINT a", OPEN), Treatment::Pass);
        let begun = Standing { begins: true, ..IDLE };
        assert_eq!(treated("COMMIT", begun), Treatment::Pass);
    }

    #[test]
    fn what_may_meet_one_is_a_step() {
        for sql in [
            "SELECT x FROM t",
            "SELECT f()",
            "SELECT now()",
            "SELECT pg_advisory_lock(1)",
            "INSERT INTO t VALUES (1)",
        ] {
            assert_eq!(treated(sql, IDLE), Treatment::Autocommitted, "{sql}");
            assert_eq!(treated(sql, OPEN), Treatment::Step, "{sql}");
        }
        for sql in ["COMMIT", "ROLLBACK", "ROLLBACK TO a"] {
            assert_eq!(treated(sql, OPEN), Treatment::Step, "{sql}");
        }
        assert_eq!(treated("VACUUM t", IDLE), Treatment::Step);
        assert_eq!(treated("LOCK t", IDLE), Treatment::Step);
        assert_eq!(treated("DECLARE c CURSOR FOR SELECT x FROM t", IDLE), Treatment::Step);
        let holding = "DECLARE c CURSOR WITH HOLD FOR SELECT x FROM t";
        assert_eq!(treated(holding, IDLE), Treatment::Autocommitted);
        assert_eq!(treated("LOCK t; SELECT x FROM t", IDLE), Treatment::Autocommitted);
        assert_eq!(treated("BEGIN; UPDATE t SET x = 1; COMMIT", IDLE), Treatment::Step);
        assert_eq!(treated("DISCARD ALL", IDLE), Treatment::Step);
    }

    #[test]
    fn a_statement_that_takes_the_snapshot_of_a_transaction_is_a_step() {
        let begun = Standing {
            begins: true,
            isolation: Isolation::RepeatableRead,
            ..IDLE
        };
        assert_eq!(treated("SELECT 1", begun), Treatment::Step);
        let fresh = Standing {
            fresh: true,
            isolation: Isolation::Serializable,
            ..OPEN
        };
        assert_eq!(treated("SELECT version()", fresh), Treatment::Step);
        assert_eq!(treated("SET search_path = x", fresh), Treatment::Pass);
        assert_eq!(treated("SELECT 1", Standing { fresh: false, ..fresh }), Treatment::Pass);
    }

    #[test]
    fn what_pools_send_as_a_connection_returns_is_known() {
        let is_known = |sql: &str| {
            let statements = vec![crate::proxy::Asked::simple(sql)];
            let request = Request {
                statements,
                ..Request::default()
            };
            gives_back(&commands(&request))
        };
        for sql in [
            "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
            "DISCARD ALL",
            "reset all",
        ] {
            assert!(is_known(sql), "{sql}");
        }
        for sql in [
            "",
            "RESET timezone",
            "SELECT pg_advisory_unlock(1)",
            "SELECT pg_advisory_unlock_all() FROM t",
            "RESET ALL; DELETE FROM t",
        ] {
            assert!(!is_known(sql), "{sql}");
        }
    }

    #[test]
    fn a_timeout_may_be_set_in_many_ways() {
        for sql in [
            "SET lock_timeout = '1s'",
            "SET LOCAL statement_timeout TO 100",
            "SELECT set_config('lock_timeout', '10', false)",
        ] {
            assert!(may_set_timeout(sql), "{sql}");
        }
        for sql in [
            "SET statement_timeout = 0",
            "SHOW lock_timeout",
            "SET lock_timeout = '0'",
            "SET deadlock_timeout = 1",
        ] {
            assert!(!may_set_timeout(sql), "{sql}");
        }
    }

    #[test]
    fn a_begin_that_the_server_is_sure_to_take_is_put_off() {
        for sql in [
            "BEGIN",
            "begin work",
            "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
            "BEGIN READ ONLY",
        ] {
            assert_eq!(treated(sql, IDLE), Treatment::PutOff, "{sql}");
        }
        assert_eq!(treated("BEGIN", OPEN), Treatment::Pass);
        assert_eq!(treated("BEGIN ISOLATION LEVEL WRONG", IDLE), Treatment::Pass);
    }

    #[test]
    fn a_rollback_behind_an_error_releases_nothing_unless_there_was_a_savepoint() {
        let failed = Standing {
            status: TransactionStatus::Aborted,
            ..IDLE
        };
        assert_eq!(treated("ROLLBACK", failed), Treatment::Pass);
        let saved = Standing {
            savepoint_open: true,
            ..failed
        };
        assert_eq!(treated("ROLLBACK", saved), Treatment::Step);
    }
}
