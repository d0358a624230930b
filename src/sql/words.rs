//! Commands by their first word, and other words of SQL that more than one rule asks for.
//!
//! A command that is in no list here is one of which nothing is known.

use super::lexer::Token;

/// Commands that begin a query; so does `WITH`.
pub(crate) const QUERIES: [&str; 3] = ["SELECT", "VALUES", "TABLE"];

/// Commands that change rows of tables.
pub(crate) const CHANGES: [&str; 4] = ["INSERT", "UPDATE", "DELETE", "MERGE"];

/// Commands that return no rows (unless they have a RETURNING) and leave the schema as it is, beside [`CHANGES`].
const WITHOUT_ROWS_OR_SCHEMA: [&str; 24] = [
    "BEGIN",
    "START",
    "COMMIT",
    "END",
    "ROLLBACK",
    "ABORT",
    "SAVEPOINT",
    "RELEASE",
    "PREPARE",
    "DEALLOCATE",
    "SET",
    "RESET",
    "DISCARD",
    "LOCK",
    "TRUNCATE",
    "COPY",
    "DECLARE",
    "CLOSE",
    "MOVE",
    "LISTEN",
    "UNLISTEN",
    "NOTIFY",
    "VACUUM",
    "CHECKPOINT",
];

/// Commands that return rows and leave the schema as it is, beside queries.
const WITH_ROWS: [&str; 3] = ["SHOW", "FETCH", "EXECUTE"];

/// Commands that return no rows and may change the schema, or what else a run cannot undo by putting rows back.
const SCHEMA: [&str; 13] = [
    "CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "REASSIGN", "DO", "ANALYZE", "ANALYSE", "CLUSTER",
    "REINDEX", "REFRESH",
];

/// Words for the time, beside the functions that give it.
pub(crate) const TIMES: [&str; 5] = [
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
];

/// Functions that set or read the setting that their first argument names.
pub(crate) const SET_CONFIG: &str = "set_config";
pub(crate) const CURRENT_SETTING: &str = "current_setting";

/// Settings that hold an isolation level.
pub(crate) const LEVEL_SETTINGS: [&str; 2] = ["default_transaction_isolation", "transaction_isolation"];

/// Settings of timeouts that end a session, wherever it is.
pub(crate) const SESSION_TIMEOUTS: [&str; 3] = [
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
];

impl Token<'_> {
    /// Whether a command that begins with it is a query.
    pub(crate) fn begins_query(&self) -> bool {
        self.is("WITH") || self.is_one_of(&QUERIES)
    }

    /// Whether a command that begins with it reads or changes rows.
    pub(crate) fn begins_query_or_change(&self) -> bool {
        self.begins_query() || self.is_one_of(&CHANGES)
    }

    /// Whether a command that begins with it is known to leave the schema as it is (but for SELECT INTO).
    pub(crate) fn leaves_schema(&self) -> bool {
        self.begins_query_or_change() || self.is_one_of(&WITHOUT_ROWS_OR_SCHEMA) || self.is_one_of(&WITH_ROWS)
    }

    /// Whether a command that begins with it is known to return no rows (but for a RETURNING).
    pub(crate) fn returns_no_rows(&self) -> bool {
        self.is_one_of(&CHANGES) || self.is_one_of(&WITHOUT_ROWS_OR_SCHEMA) || self.is_one_of(&SCHEMA)
    }
}
