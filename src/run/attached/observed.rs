//! What has been seen of the programs of a scenario, in all runs so far.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::conflict::reads_catalogs_only;
use crate::postgres::catalog::Catalog;
use crate::run::{Conditions, RunError};

/// What programs have sent, and what is known of it. All workers share it.
#[derive(Debug)]
pub struct Observed {
    catalog: Mutex<Catalog>,
    /// Parse trees are kept out of the server's log.
    quiet: bool,
    /// Nothing passes for what it looks at.
    schedules_prelude: bool,
    /// By statement and the types of its parameters: it looks at the system catalogs alone.
    preludes: Mutex<HashMap<(String, Vec<u32>), bool>>,
    /// Something that looks at the system catalogs was not scheduled.
    passed: AtomicBool,
    /// A statement has changed the schema, or may have.
    changes_schema: AtomicBool,
    notes: Mutex<BTreeSet<String>>,
    /// What a program did next, by all that it had done and been told before.
    followed: Mutex<HashMap<u64, u64>>,
}

impl Observed {
    pub fn new(catalog: Catalog, quiet: bool, schedules_prelude: bool) -> Observed {
        Observed {
            catalog: Mutex::new(catalog),
            quiet,
            schedules_prelude,
            preludes: Mutex::default(),
            passed: AtomicBool::new(false),
            changes_schema: AtomicBool::new(false),
            notes: Mutex::default(),
            followed: Mutex::default(),
        }
    }

    /// Whether a query of a driver's looks at the system catalogs alone, so that it need not be scheduled.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn is_prelude(
        &self,
        sql: &str,
        types: &[u32],
        conditions: &mut Conditions<'_>,
    ) -> Result<bool, RunError> {
        if self.schedules_prelude || self.changes_schema.load(Ordering::Relaxed) || !may_be_prelude(sql) {
            return Ok(false);
        }
        let key = (sql.to_owned(), types.to_vec());
        let known = lock(&self.preludes).get(&key).copied();
        let found = match known {
            Some(known) => known,
            None => {
                conditions.monitor.drain(conditions.control).await?;
                let mut catalog = lock(&self.catalog).clone();
                let analysis = catalog.analyse(conditions.control, sql, types, self.quiet).await;
                let analysis = analysis?;
                let found = analysis.is_some_and(|analysis| reads_catalogs_only(&analysis, &catalog));
                lock(&self.preludes).insert(key, found);
                found
            }
        };
        if found {
            self.passed.store(true, Ordering::Relaxed);
        }
        Ok(found)
    }

    /// A statement changes the schema, or may. Returns whether something that this may concern has passed unscheduled.
    pub fn schema_changes(&self) -> bool {
        self.changes_schema.store(true, Ordering::Relaxed);
        self.passed.load(Ordering::Relaxed)
    }

    /// Takes down what a program does next. Returns whether it did the same whenever it had been told the same.
    pub fn follows(&self, before: u64, next: u64) -> bool {
        *lock(&self.followed).entry(before).or_insert(next) == next
    }

    /// Takes down what the reader should know beside the verdict.
    pub fn note(&self, note: impl Into<String>) {
        lock(&self.notes).insert(note.into());
    }

    /// What was taken down.
    pub fn notes(&self) -> Vec<String> {
        lock(&self.notes).iter().cloned().collect()
    }
}

/// Statements of an application name its tables; those of a driver name the catalogs. Large objects lie in a catalog.
pub(super) fn may_be_prelude(sql: &str) -> bool {
    let text = sql.to_lowercase();
    (text.contains("pg_") || text.contains("information_schema") || text.contains("::reg"))
        && !text.contains("largeobject")
}

/// What another thread may have left half done is no more than a missing entry.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
