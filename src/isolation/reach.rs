//! What a specification touches outside its own database.

use super::specification::Specification;
use crate::scenario::source::SqlText;
use crate::sql::lexer::tokens;
use crate::sql::words::SESSION_TIMEOUTS;

/// The database that PostgreSQL's own test run works in, which a specification may name.
pub const REGRESSION_DATABASE: &str = "isolation_regression";

/// Words that suggest state that the databases of a server share, or a look at all of its sessions.
const SHARED: [&str; 26] = [
    "prepared",
    "pg_prepared_xacts",
    "role",
    "user",
    "tablespace",
    "database",
    "system",
    "deferrable",
    "subscription",
    "pg_locks",
    "pg_stat_activity",
    "pg_stat_get_activity",
    "pg_database",
    "pg_authid",
    "pg_roles",
    "pg_terminate_backend",
    "pg_cancel_backend",
    "txid_current",
    "pg_current_xact_id",
    "pg_current_snapshot",
    "txid_current_snapshot",
    "pg_stat_reset_shared",
    "pg_replication_slots",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    REGRESSION_DATABASE,
];

impl Specification {
    /// Whether this specification and another one that runs on the same server, in another database, could affect each
    /// other. Errs on the side of caution.
    pub fn runs_alone(&self) -> bool {
        self.texts().any(|sql| {
            let mut prepares = false;
            words(&sql.text).any(|word| {
                let prepares_transaction = std::mem::replace(&mut prepares, word == "prepare") && word == "transaction";
                prepares_transaction || SHARED.contains(&word.as_str())
            })
        })
    }

    /// Whether the specification itself may cause the loss of a session.
    pub fn may_end_sessions(&self) -> bool {
        let ends = |word: &str| word == "pg_terminate_backend" || SESSION_TIMEOUTS.contains(&word);
        self.texts().any(|sql| words(&sql.text).any(|word| ends(&word)))
    }

    /// Whether the specification expects to run in a database of the name that PostgreSQL's test run gives it.
    pub fn wants_regression_database(&self) -> bool {
        self.texts()
            .any(|sql| words(&sql.text).any(|word| word == REGRESSION_DATABASE))
    }

    /// All of its SQL.
    pub(super) fn texts(&self) -> impl Iterator<Item = &SqlText> {
        let sessions = self.sessions.iter().flat_map(|session| {
            let steps = session.steps.iter().map(|step| &step.sql);
            session.setup.iter().chain(steps).chain(&session.teardown)
        });
        self.setups.iter().chain(&self.teardown).chain(sessions)
    }
}

/// Names and keywords in lower case, those within strings and function bodies included.
fn words(sql: &str) -> impl Iterator<Item = String> + '_ {
    tokens(sql).filter(|token| !token.is_blank()).flat_map(|token| {
        let parts = token.text.split(|c: char| !c.is_alphanumeric() && c != '_');
        parts.filter(|part| !part.is_empty()).map(str::to_lowercase)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specification(sql: &str) -> Specification {
        Specification::parse("x", "x.spec", format!("session s step a {{ {sql} }}")).unwrap()
    }

    #[test]
    fn what_stays_in_its_database_runs_beside_others() {
        for sql in [
            "SELECT 1",
            "BEGIN TRANSACTION",
            "PREPARE p AS SELECT 1",
            "-- a role\nSELECT 1",
        ] {
            assert!(!specification(sql).runs_alone(), "{sql}");
        }
    }

    #[test]
    fn what_is_shared_by_the_server_runs_alone() {
        for sql in [
            "PREPARE TRANSACTION 'a'",
            "rollback prepared 'a'",
            "CREATE ROLE r",
            "SELECT count(*) FROM pg_catalog.pg_locks",
            "BEGIN READ ONLY DEFERRABLE",
            "DO $$ BEGIN EXECUTE 'CREATE ROLE r'; END $$",
        ] {
            assert!(specification(sql).runs_alone(), "{sql}");
        }
    }

    #[test]
    fn what_can_end_a_session_is_named() {
        assert!(specification("SELECT pg_terminate_backend(pid) FROM pg_stat_activity").may_end_sessions());
        assert!(specification("SET idle_session_timeout = '10ms'").may_end_sessions());
        assert!(!specification("SET statement_timeout = '10ms'").may_end_sessions());
    }

    #[test]
    fn the_name_of_the_regression_database_is_found() {
        assert!(specification("GRANT TEMP ON DATABASE isolation_regression TO r").wants_regression_database());
        assert!(!specification("SELECT 1").wants_regression_database());
    }
}
