//! Whether a session waits for a lock of another session of the run.

use std::task::{Context, Poll, ready};

use crate::postgres::wire::{Connection, ServerEvent, Value};
use crate::postgres::{PostgresError, Server, expect};

/// The first column is the reference tester's own query. The second tells whether the answer is final: one picture of
/// the lock table shows every active session waiting, and the idle ones release nothing.
const BLOCKED: &str = "SELECT pg_catalog.pg_isolation_test_session_is_blocked($1::int, $2::int[]),
    (SELECT count(DISTINCT pid) FROM pg_catalog.pg_locks WHERE NOT granted AND pid = ANY ($3::int[]))
    = cardinality($3::int[])";

/// The same for the only active session: whatever it waits for, there is nobody to release it.
const BLOCKED_ALONE: &str = "SELECT pg_catalog.pg_isolation_test_session_is_blocked($1::int, $2::int[]), true";

const STATEMENTS: [(&str, &str); 2] = [("pgbraid_blocked", BLOCKED), ("pgbraid_blocked_alone", BLOCKED_ALONE)];

/// What a look showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// The session waits for a lock that a session of the run holds.
    pub blocked: bool,
    /// It will stay blocked until another step is sent.
    pub settled: bool,
}

/// Checks who is blocked, on a connection of its own and in a database of its own, so that its snapshots hold back no
/// VACUUM of the run.
#[derive(Debug)]
pub struct BlockingMonitor {
    connection: Connection,
    under_way: bool,
    /// The number of outstanding answers that are no longer wanted.
    stale: u32,
}

impl BlockingMonitor {
    /// Connects to the database that `server` was named with.
    pub async fn connect(server: &Server) -> Result<BlockingMonitor, PostgresError> {
        let mut connection = server.maintenance().await?;
        for (name, sql) in STATEMENTS {
            connection.queue_prepare(name, sql, [])?;
        }
        connection.queue_sync();
        connection.flush().await?;
        expect(connection.reply().await?, "preparing the question for blocked sessions")?;
        Ok(BlockingMonitor {
            connection,
            under_way: false,
            stale: 0,
        })
    }

    /// Asks about `pid`, one of `active`, both being among the backends of the run, `all`.
    pub(super) async fn ask(&mut self, pid: i32, active: &[i32], all: &[i32]) -> Result<(), PostgresError> {
        self.abandon();
        let mut values = vec![Value::text(pid.to_string()), list(all)];
        let name = match active {
            [] | [_] => "pgbraid_blocked_alone",
            several => {
                values.push(list(several));
                "pgbraid_blocked"
            }
        };
        self.connection.queue_execute(name, &values)?;
        self.connection.queue_sync();
        self.connection.flush().await?;
        self.under_way = true;
        Ok(())
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// The answer to the last question, once it has arrived.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Look, PostgresError>> {
        loop {
            let ServerEvent::Reply(reply) = ready!(self.connection.poll_event(cx))? else {
                continue;
            };
            if self.stale > 0 {
                self.stale -= 1;
                continue;
            }
            self.under_way = false;
            let result = expect(reply, "asking whether a session is blocked")?;
            let is_true = |column: usize| {
                let row = result.rows.first();
                row.and_then(|row| row.get(column)?.as_deref()) == Some("t")
            };
            return Poll::Ready(Ok(Look {
                blocked: is_true(0),
                settled: is_true(1),
            }));
        }
    }

    /// The answer is no longer wanted.
    pub(super) fn abandon(&mut self) {
        if std::mem::take(&mut self.under_way) {
            self.stale += 1;
        }
    }
}

fn list(pids: &[i32]) -> Value {
    let pids: Vec<String> = pids.iter().map(i32::to_string).collect();
    Value::text(format!("{{{}}}", pids.join(",")))
}
