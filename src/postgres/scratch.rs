//! pgbraid's own databases: created, dropped, and swept up if an earlier run could not drop them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::wire::Value;
use super::{PostgresError, Server, expect, prepared, quote_identifier};

/// Every scratch database's name begins with this, followed by the run's id and a number.
const PREFIX: &str = "pgbraid_scratch_";

pub(super) const CREATING: &str = "creating a scratch database";

const DROPPING: &str = "dropping a scratch database";

const OBJECT_IN_USE: &str = "55006";

/// Nothing has a reason to lock a scratch database for longer.
const LOCK_LIMIT: &str = "SET lock_timeout = '20s'";

/// How long to wait for the end of terminated connections.
const LONGEST_END: Duration = Duration::from_secs(10);

static COUNTER: AtomicU32 = AtomicU32::new(1);

impl Server {
    /// Creates a scratch database, as a copy of `template` or empty, and returns its name. An empty one sorts and compares
    /// text by byte (locale C), so that outcomes are the same on every machine.
    pub async fn create_scratch(&self, template: Option<&str>) -> Result<String, PostgresError> {
        let Some(template) = template else {
            let options = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'";
            return self.create_named(options).await;
        };
        let mut options = format!("TEMPLATE {}", quote_identifier(template));
        if self.version() >= 150_000 {
            // half the time of the default for small databases, measured on 15 with fsync off
            options += " STRATEGY file_copy";
        }
        let name = self.create_named(&options).await?;
        self.inherit(template, &name);
        Ok(name)
    }

    /// Creates an empty scratch database with the server's own encoding and locale, and returns its name.
    pub async fn create_scratch_of_server(&self) -> Result<String, PostgresError> {
        self.create_named("TEMPLATE template0").await
    }

    pub(super) async fn create_named(&self, options: &str) -> Result<String, PostgresError> {
        let name = format!("{PREFIX}{}_{}", self.run_id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let sql = format!("CREATE DATABASE {} {options}", quote_identifier(&name));
        expect(self.maintenance().await?.simple(&sql).await?, CREATING)?;
        Ok(name)
    }

    /// Drops a scratch database, whatever is connected to it or prepared in it.
    pub async fn drop_scratch(&self, name: &str) -> Result<(), PostgresError> {
        let in_use = match self.try_to_drop(name).await {
            Err(PostgresError::Query { doing, error }) if error.sqlstate == OBJECT_IN_USE => {
                PostgresError::Query { doing, error }
            }
            dropped => return dropped,
        };
        match prepared::roll_back_all(&mut self.control(name).await?).await? {
            0 => Err(in_use),
            _ => self.try_to_drop(name).await,
        }
    }

    async fn try_to_drop(&self, name: &str) -> Result<(), PostgresError> {
        let mut connection = self.maintenance().await?;
        expect(connection.simple(LOCK_LIMIT).await?, DROPPING)?;
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote_identifier(name));
        expect(connection.simple(&sql).await?, DROPPING)?;
        Ok(())
    }

    /// Drops all remaining scratch databases of this run, and ends all of its connections.
    ///
    /// # Errors
    /// The first one that cannot be dropped; the others are dropped all the same.
    pub async fn drop_all_scratch(&self) -> Result<(), PostgresError> {
        self.end_connections().await?;
        let own = format!("{PREFIX}{}_", self.run_id());
        let mut result = Ok(());
        for name in self.scratch_databases().await? {
            if name.starts_with(&own) {
                result = result.and(self.drop_scratch(&name).await);
            }
        }
        result
    }

    /// Ends the connections of this run and waits until they are gone. One that was abandoned in the middle of CREATE
    /// DATABASE would otherwise create that database after all others are dropped.
    async fn end_connections(&self) -> Result<(), PostgresError> {
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity
                   WHERE (application_name = $1 OR starts_with(application_name, $1 || ' ')) AND pid <> pg_backend_pid()";
        let values = [Value::text(self.application_name(""))];
        let mut connection = self.maintenance().await?;
        let started = Instant::now();
        loop {
            let ended = expect(connection.query(sql, &values).await?, "ending this run's connections")?;
            if ended.scalar() == Some("0") || started.elapsed() > LONGEST_END {
                return Ok(());
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Drops the scratch databases of runs that no longer have a connection here. A run keeps one, whose name contains
    /// its id, from before its first database until after its last. Returns the names of those that cannot be dropped,
    /// and why.
    pub async fn sweep_scratch(&self) -> Result<Vec<(String, PostgresError)>, PostgresError> {
        let mut left = Vec::new();
        let names = self.scratch_databases().await?;
        if names.is_empty() {
            return Ok(left);
        }
        let mut connection = self.maintenance().await?;
        let living = "SELECT DISTINCT application_name FROM pg_catalog.pg_stat_activity
                      WHERE application_name LIKE 'pgbraid\\_%'";
        let living = expect(connection.simple(living).await?, "looking for runs under way")?;
        let living: Vec<&str> = living.rows.iter().filter_map(|row| row.first()?.as_deref()).collect();
        for name in names {
            let Some((run, _)) = name[PREFIX.len()..].rsplit_once('_') else {
                continue;
            };
            let its_name = format!("pgbraid_{run}");
            if living.iter().any(|application| application.starts_with(&its_name)) {
                continue;
            }
            if let Err(error) = self.drop_scratch(&name).await {
                // another run may have dropped it first
                if self.scratch_databases().await?.contains(&name) {
                    left.push((name, error));
                }
            }
        }
        Ok(left)
    }

    /// Names of the scratch databases on the server that this user may drop.
    async fn scratch_databases(&self) -> Result<Vec<String>, PostgresError> {
        let sql = format!(
            "SELECT datname FROM pg_catalog.pg_database
             WHERE starts_with(datname, '{PREFIX}') AND pg_has_role(datdba, 'USAGE') ORDER BY datname"
        );
        let found = expect(
            self.maintenance().await?.simple(&sql).await?,
            "looking for scratch databases",
        )?;
        Ok(found
            .rows
            .into_iter()
            .filter_map(|row| row.into_iter().next().flatten())
            .collect())
    }
}
