//! Evaluates `when`: on pgbraid's own connection, so that nothing changes in the session's transaction.

use std::collections::HashMap;

use super::RunError;
use super::binding::bind;
use crate::history::Variables;
use crate::postgres::PostgresError;
use crate::postgres::locks::LockMonitor;
use crate::postgres::wire::{Connection, Value};
use crate::scenario::Condition;

/// Precedes a condition; error positions are off by its length. The line break ends a comment at the condition's end.
pub const PREFIX: &str = "SELECT coalesce((\n";

/// Answers, by text and values: a condition depends on nothing else.
pub type ConditionCache = HashMap<(String, Vec<(u32, Option<String>)>), bool>;

/// What is needed to evaluate conditions.
pub struct Conditions<'a> {
    pub control: &'a mut Connection,
    pub monitor: &'a mut LockMonitor,
    pub cache: &'a mut ConditionCache,
}

impl Conditions<'_> {
    /// Whether a session that is in no transaction holds advisory locks.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn keeps_advisory_locks(&mut self, backend_pid: i32) -> Result<bool, RunError> {
        self.monitor.drain(self.control).await?;
        let sql = format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND pid = {backend_pid})"
        );
        let reply = self.control.simple(&sql).await.map_err(PostgresError::from)?;
        let found = reply.into_result().map_err(|error| PostgresError::Query {
            doing: "asking for a session's advisory locks",
            error,
        })?;
        Ok(found.scalar() == Some("t"))
    }

    /// Whether the condition is true; NULL is not.
    ///
    /// # Errors
    /// When a variable has no single value, or the server rejects the expression.
    pub async fn is_true(
        &mut self,
        session: &str,
        step: &str,
        condition: &Condition,
        variables: &Variables,
    ) -> Result<bool, RunError> {
        let values = bind(variables, session, &condition.template, &condition.sql)?;
        let text = &condition.template.text;
        let key = (
            text.clone(),
            values
                .iter()
                .map(|Value { type_oid, text }| (*type_oid, text.clone()))
                .collect::<Vec<_>>(),
        );
        if let Some(answer) = self.cache.get(&key) {
            return Ok(*answer);
        }
        self.monitor.drain(self.control).await?;
        let sql = format!("{PREFIX}{text}\n), false)::boolean");
        let reply = self.control.query(&sql, &values).await.map_err(PostgresError::from)?;
        let answer = reply.into_result().map_err(|error| RunError::Condition {
            session: session.to_owned(),
            step: step.to_owned(),
            error,
            sql: Box::new(condition.sql.clone()),
        })?;
        let answer = answer.scalar() == Some("t");
        self.cache.insert(key, answer);
        Ok(answer)
    }
}
