//! Prepared transactions: they outlive their sessions, hold their locks, and keep their database from being dropped.

use super::wire::Connection;
use super::{PostgresError, expect, quote_literal};

/// Names of the transactions that are prepared in the database of this connection.
pub async fn find(control: &mut Connection) -> Result<Vec<String>, PostgresError> {
    let sql = "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = current_database() ORDER BY prepared, gid";
    let found = expect(control.simple(sql).await?, "looking for prepared transactions")?;
    Ok(found.rows.into_iter().flatten().flatten().collect())
}

/// Rolls all of them back, and returns how many there were.
pub async fn roll_back_all(control: &mut Connection) -> Result<usize, PostgresError> {
    let names = find(control).await?;
    for name in &names {
        let sql = format!("ROLLBACK PREPARED {}", quote_literal(name));
        expect(control.simple(&sql).await?, "rolling back a prepared transaction")?;
    }
    Ok(names.len())
}
