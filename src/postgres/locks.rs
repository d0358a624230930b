//! The wait-for relation between sessions, according to the server's lock table.

use std::task::{Context, Poll, ready};

use super::wire::{Connection, Reply, ServerEvent, Value};
use super::{PostgresError, expect};

/// `pg_locks` takes one consistent picture of the whole lock table, so the sessions found waiting in it wait at the
/// same instant; DISTINCT completes that picture before `pg_blocking_pids` is first called. A session that waits at an
/// instant when every other one waits or is idle keeps waiting until one of the idle ones is scheduled, so the blockers
/// may be queried afterwards. `pg_safe_snapshot_blocking_pids` covers the one wait that is not a lock: READ ONLY
/// DEFERRABLE.
const WAITING: &str = "SELECT pid, pg_catalog.pg_blocking_pids(pid), lock FROM (
    SELECT DISTINCT pid, concat_ws(' ', locktype, relation, page, tuple, virtualxid, transactionid, classid, objid,
        objsubid, mode) AS lock
    FROM pg_catalog.pg_locks WHERE NOT granted AND pid = ANY ($1::int[])) AS waiting
 UNION ALL
 SELECT pid, blockers, NULL FROM (
    SELECT pid, pg_catalog.pg_safe_snapshot_blocking_pids(pid) AS blockers FROM unnest($1::int[]) AS pid) AS safe
 WHERE blockers <> '{}'";

/// A prepared statement, since planning it takes longer than running it.
const STATEMENT: &str = "pgbraid_waiting";

/// What `pg_blocking_pids` returns if a prepared transaction holds the lock.
pub const PREPARED_TRANSACTION: i32 = 0;

/// A backend that waits, and the backends that it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub pid: i32,
    pub blockers: Vec<i32>,
    /// What it waits for, for comparison with other waits of the same run; `None` for a safe snapshot, which is not a
    /// lock.
    pub lock: Option<String>,
}

/// Queries the lock table on a connection that it shares with other queries. An answer that is no longer wanted is
/// discarded before anything else is read.
#[derive(Debug, Default)]
pub struct LockMonitor {
    prepared: bool,
    under_way: bool,
    stale: u32,
}

impl LockMonitor {
    /// Asks which of `pids` wait. [`LockMonitor::poll_answer`] returns the answer.
    pub async fn ask(&mut self, control: &mut Connection, pids: &[i32]) -> Result<(), PostgresError> {
        self.abandon();
        let list: Vec<String> = pids.iter().map(i32::to_string).collect();
        if !std::mem::replace(&mut self.prepared, true) {
            control.queue_prepare(STATEMENT, WAITING, [0])?;
        }
        control.queue_execute(STATEMENT, &[Value::text(format!("{{{}}}", list.join(",")))])?;
        control.queue_sync();
        control.flush().await?;
        self.under_way = true;
        Ok(())
    }

    /// Whether an answer is awaited.
    pub fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// The answer to the last question, once it has arrived.
    pub fn poll_answer(
        &mut self,
        control: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Vec<Waiting>, PostgresError>> {
        loop {
            let ServerEvent::Reply(reply) = ready!(control.poll_event(cx))? else {
                continue;
            };
            if self.stale > 0 {
                self.stale -= 1;
                continue;
            }
            self.under_way = false;
            return Poll::Ready(waiting(reply));
        }
    }

    /// The answer is no longer wanted.
    pub fn abandon(&mut self) {
        if std::mem::take(&mut self.under_way) {
            self.stale += 1;
        }
    }

    /// Discards unwanted answers, so that the connection can be used for something else.
    pub async fn drain(&mut self, control: &mut Connection) -> Result<(), PostgresError> {
        self.abandon();
        while self.stale > 0 {
            control.reply().await?;
            self.stale -= 1;
        }
        Ok(())
    }
}

fn waiting(reply: Reply) -> Result<Vec<Waiting>, PostgresError> {
    let result = expect(reply, "asking who waits for whom")?;
    let number = |text: &str| text.trim().parse().ok();
    Ok(result
        .rows
        .iter()
        .filter_map(|row| match row.as_slice() {
            [Some(pid), Some(blockers), lock] => Some(Waiting {
                pid: number(pid)?,
                blockers: blockers
                    .trim_matches(['{', '}'])
                    .split(',')
                    .filter_map(number)
                    .collect(),
                lock: lock.clone(),
            }),
            _ => None,
        })
        .collect())
}
