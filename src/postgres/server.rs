//! The server that scenarios run on.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_postgres::config::Config;

use super::copied::{Copies, SEARCH_PATH};
use super::wire::{Canceller, Connection, WireError};
use super::{PostgresError, expect};

/// The oldest major version that is supported: the first whose catalog has the bodies of functions that are no text
/// (`pg_get_function_sqlbody`).
pub const OLDEST_MAJOR: u32 = 14;

/// Settings that all of pgbraid's connections start with, so that values print the same everywhere and plans do not
/// depend on how often a statement has run.
const COMMON_SETTINGS: [(&str, &str); 15] = [
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("plan_cache_mode", "force_custom_plan"),
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
    SEARCH_PATH,
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    NEVER_IDLE,
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
];

/// The database that every server has to connect to where it does not matter which.
const MAINTENANCE_DATABASE: &str = "postgres";

/// The beginning of pgbouncer's message when it refuses settings that it does not pass on.
const POOLER_REFUSES: &str = "unsupported startup parameter";

/// A session waits for its turn, however long that takes.
const NEVER_IDLE: (&str, &str) = ("idle_in_transaction_session_timeout", "0");

/// The same for settings that not all versions have, with the first version that does.
const NEWER_SETTINGS: [(u32, (&str, &str)); 2] = [
    (140_000, ("idle_session_timeout", "0")),
    (170_000, ("transaction_timeout", "0")),
];

/// A server and what may be done on it.
#[derive(Debug)]
pub struct Server {
    config: Config,
    maintenance_database: String,
    run_id: String,
    version: u32,
    superuser: Option<String>,
    /// `deadlock_timeout`, `log_lock_waits` and where messages go may be set, so the victim of a deadlock can be chosen.
    pub deadlock_control: bool,
    /// `session_replication_role` may be set, so rows can be put back without firing triggers.
    pub replication_role: bool,
    /// Its backends may be stopped and continued by signals, so sessions released together can be resumed one by one.
    pub signals: bool,
    /// What connections to copies of a database begin with.
    copies: Mutex<Copies>,
}

impl Server {
    /// Takes the server that `config` names and finds out what it permits.
    ///
    /// # Errors
    /// When it cannot be reached, refuses, does not answer, or is too old.
    pub async fn connect(config: Config, signals: bool) -> Result<Server, PostgresError> {
        let maintenance_database = config.get_dbname().unwrap_or(MAINTENANCE_DATABASE).to_owned();
        let mut connection = Connection::open(&config, &maintenance_database, &COMMON_SETTINGS)
            .await
            .map_err(|error| match error {
                WireError::Refused(error) if error.message.starts_with(POOLER_REFUSES) => PostgresError::Pooler,
                other => other.into(),
            })?;
        let facts = connection.first_work(&config, Facts::ask).await?;
        // the named database may be one to copy, which must be left alone for that
        let elsewhere = match maintenance_database == MAINTENANCE_DATABASE {
            true => None,
            false => Connection::open(&config, MAINTENANCE_DATABASE, &COMMON_SETTINGS)
                .await
                .ok(),
        };
        let maintenance_database = match elsewhere {
            Some(_) => MAINTENANCE_DATABASE.to_owned(),
            None => maintenance_database,
        };
        Ok(Server {
            config,
            maintenance_database,
            run_id: run_id(),
            version: facts.version,
            superuser: facts.superuser,
            deadlock_control: facts.deadlock_control,
            replication_role: facts.replication_role,
            signals,
            copies: Mutex::default(),
        })
    }

    /// What connections to copies of a database begin with.
    pub(super) fn copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As in `server_version_num`: 150020 for 15.20.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Who connects to it.
    pub fn user(&self) -> &str {
        self.config.get_user().unwrap_or("postgres")
    }

    /// Whether it existed before pgbraid, so that others may use it.
    pub fn is_given(&self) -> bool {
        !self.signals
    }

    /// Its user's name, if that is a superuser.
    pub fn superuser(&self) -> Option<&str> {
        self.superuser.as_deref()
    }

    /// Marks this run's databases and connections on the server.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Connects to create and drop databases: to `postgres`, or where that is refused to the database that the connection
    /// string names.
    pub async fn maintenance(&self) -> Result<Connection, PostgresError> {
        let name = self.application_name("");
        self.open(&self.maintenance_database, &[("application_name", &name)])
            .await
    }

    /// Connects to a scratch database for pgbraid's own queries.
    pub async fn control(&self, database: &str) -> Result<Connection, PostgresError> {
        let name = self.application_name("");
        self.open(database, &[("application_name", &name)]).await
    }

    /// Connects a session of a scenario to a scratch database.
    pub async fn session(&self, database: &str, settings: &[(&str, &str)]) -> Result<Connection, PostgresError> {
        self.open(database, settings).await
    }

    /// Connects to a scratch database with no settings but these and the server's own, except that the connection does
    /// not end for being idle.
    pub async fn plain(&self, database: &str, settings: &[(&str, &str)]) -> Result<Connection, PostgresError> {
        self.open_with(&[NEVER_IDLE], database, settings).await
    }

    /// Cancels the query of a session of this server.
    pub fn canceller(&self, connection: &Connection) -> Canceller {
        connection.canceller(&self.config)
    }

    /// The name of this run's connections.
    pub fn application_name(&self, suffix: &str) -> String {
        format!("pgbraid_{}{suffix}", self.run_id)
    }

    async fn open(&self, database: &str, settings: &[(&str, &str)]) -> Result<Connection, PostgresError> {
        self.open_with(&COMMON_SETTINGS, database, settings).await
    }

    async fn open_with(
        &self,
        common: &[(&str, &str)],
        database: &str,
        settings: &[(&str, &str)],
    ) -> Result<Connection, PostgresError> {
        let copied = self.copies().get(database).cloned().unwrap_or_default();
        let mut all = copied.ahead_of(common);
        let newer = NEWER_SETTINGS.iter().filter(|(first, _)| *first <= self.version);
        all.extend(newer.map(|(_, setting)| *setting));
        all.extend_from_slice(settings);
        Ok(Connection::open(&self.config, database, &all).await?)
    }
}

/// What a server reports about itself.
struct Facts {
    version: u32,
    superuser: Option<String>,
    deadlock_control: bool,
    replication_role: bool,
}

impl Facts {
    async fn ask(connection: &mut Connection) -> Result<Facts, PostgresError> {
        let doing = "asking the server for its version and privileges";
        let backend = expect(connection.simple("SELECT pg_catalog.pg_backend_pid()").await?, doing)?;
        if backend.scalar() != Some(&connection.backend_pid().to_string()) {
            return Err(PostgresError::Pooler);
        }
        let version = expect(connection.simple("SHOW server_version_num").await?, doing)?;
        let version: u32 = version.scalar().and_then(|text| text.parse().ok()).unwrap_or_default();
        if version / 10_000 < OLDEST_MAJOR {
            let text = expect(connection.simple("SHOW server_version").await?, doing)?;
            return Err(PostgresError::TooOld {
                version: text.scalar().unwrap_or("?").to_owned(),
            });
        }
        let superuser = "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper";
        let superuser = expect(connection.simple(superuser).await?, doing)?;
        let superuser = superuser.scalar().map(str::to_owned);
        let may_set = if version >= 150_000 {
            "SELECT bool_and(has_parameter_privilege(name, 'SET')),
                    has_parameter_privilege('session_replication_role', 'SET')
             FROM unnest('{deadlock_timeout,log_lock_waits,lc_messages,log_min_messages}'::text[]) AS name"
        } else {
            "SELECT rolsuper, rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
        };
        let may_set = expect(connection.simple(may_set).await?, doing)?;
        let granted = |column: usize| {
            may_set
                .rows
                .first()
                .and_then(|row| row.get(column))
                .is_some_and(|value| value.as_deref() == Some("t"))
        };
        Ok(Facts {
            version,
            superuser,
            deadlock_control: granted(0),
            replication_role: granted(1),
        })
    }
}

static RUNS: AtomicU32 = AtomicU32::new(0);

/// Unique enough to distinguish this run's databases from those of any other run on the same server.
fn run_id() -> String {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    // several runs of one process can begin in the same microsecond
    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    format!("{:x}_{:x}_{number:x}", since_epoch.as_micros(), std::process::id())
}
