//! Histories and documents written by hand, for tests.

use std::sync::Arc;
use std::time::Duration;

use num_bigint::BigUint;

use crate::explore::Verdict;
use crate::history::{History, Move, MoveKind, Origin, SessionEnd, Statement, StepError, StepResult, Turn, Tx, Wait};
use crate::report::document::{Failure, Purpose, Search};
use crate::verdict::outcome::Violation;

/// Builds a history turn by turn.
pub(crate) struct Sample(History);

impl Sample {
    pub(crate) fn new(sessions: &[&str]) -> Self {
        let end = SessionEnd {
            committed: true,
            error: None,
            retries: 0,
            variables: Vec::new(),
        };
        Sample(History {
            sessions: sessions.iter().map(|&name| name.to_owned()).collect(),
            turns: Vec::new(),
            moves: Vec::new(),
            ends: vec![end; sessions.len()],
        })
    }

    pub(crate) fn turn(mut self, session: usize, sql: &str, result: StepResult) -> Self {
        let index = self.0.turns.len();
        let number = self.0.turns.iter().filter(|turn| turn.session == session).count();
        let first_word = sql.split(' ').next().unwrap_or(sql);
        self.0.turns.push(Turn {
            session,
            step: first_word.to_lowercase(),
            statement: Arc::new(Statement::of(sql)),
            filled: sql.to_owned(),
            values: Vec::new(),
            begin: None,
            origin: Origin::Step(number),
            tx: Tx::default(),
            attempt: 0,
            result,
            waits: Vec::new(),
            finished_in: index,
        });
        self
    }

    /// Changes the last turn.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Turn)) -> Self {
        change(self.0.turns.last_mut().expect("a turn was added"));
        self
    }

    /// The last turn came with a BEGIN.
    pub(crate) fn begun(self) -> Self {
        self.with(|turn| turn.begin = Some("BEGIN".to_owned()))
    }

    /// The last turn waited, and finished when its last wait ended.
    pub(crate) fn waiting(self, waits: &[(&[usize], usize, usize)]) -> Self {
        let wait = |&(blocked_by, from, until): &(&[usize], usize, usize)| Wait {
            blocked_by: blocked_by.to_vec(),
            from,
            until,
        };
        self.with(|turn| {
            turn.waits = waits.iter().map(wait).collect();
            turn.finished_in = turn.waits.last().map_or(turn.finished_in, |wait| wait.until);
        })
    }

    /// The history, in which released sessions resumed at once.
    pub(crate) fn history(mut self) -> History {
        let turns = &self.0.turns;
        for (index, turn) in turns.iter().enumerate() {
            let mut step = Move::new(turn.session, MoveKind::Step, index);
            let released = (0..index).filter(|&earlier| turns[earlier].finished_in == index);
            step.released = released.clone().map(|earlier| turns[earlier].session).collect();
            step.finished = (index..=index).filter(|&own| turns[own].finished_in == own).collect();
            self.0.moves.push(step);
            for earlier in released {
                let mut resumption = Move::new(turns[earlier].session, MoveKind::Resume, earlier);
                resumption.finished.push(earlier);
                self.0.moves.push(resumption);
            }
        }
        self.0
    }
}

pub(crate) fn done(tag: &str) -> StepResult {
    StepResult::Done { tag: tag.to_owned() }
}

pub(crate) fn row(fields: &[(&str, Option<&str>)]) -> StepResult {
    StepResult::Rows {
        columns: fields.iter().map(|(column, _)| (*column).to_owned()).collect(),
        rows: vec![fields.iter().map(|(_, value)| value.map(str::to_owned)).collect()],
        ordered: false,
        tag: "SELECT 1".to_owned(),
    }
}

pub(crate) fn error(sqlstate: &str, message: &str) -> StepResult {
    StepResult::Error(StepError {
        sqlstate: sqlstate.to_owned(),
        message: message.to_owned(),
    })
}

/// Two increments of a counter, both reading before either writes.
pub(crate) fn lost_update() -> History {
    let read = "SELECT views FROM articles WHERE id = 'a1'";
    let write = "UPDATE articles SET views = 0 + 1 WHERE id = 'a1'";
    Sample::new(&["worker-1", "worker-2"])
        .turn(0, read, row(&[("views", Some("0"))]))
        .begun()
        .turn(1, read, row(&[("views", Some("0"))]))
        .begun()
        .turn(0, write, done("UPDATE 1"))
        .turn(0, "COMMIT", done("COMMIT"))
        .turn(1, write, done("UPDATE 1"))
        .turn(1, "COMMIT", done("COMMIT"))
        .history()
}

/// Two transactions that update the same two rows in opposite order; the second closes the cycle.
pub(crate) fn deadlock() -> History {
    Sample::new(&["worker-1", "worker-2"])
        .turn(0, "UPDATE accounts SET n = n - 1 WHERE id = 1", done("UPDATE 1"))
        .begun()
        .turn(1, "UPDATE accounts SET n = n - 1 WHERE id = 2", done("UPDATE 1"))
        .begun()
        .turn(0, "UPDATE accounts SET n = n + 1 WHERE id = 2", done("UPDATE 1"))
        .waiting(&[(&[1], 2, 3)])
        .turn(
            1,
            "UPDATE accounts SET n = n + 1 WHERE id = 1",
            error("40P01", "deadlock detected"),
        )
        .waiting(&[(&[0], 3, 3)])
        .turn(1, "ROLLBACK", done("ROLLBACK"))
        .with(|turn| turn.origin = Origin::Rollback(0))
        .turn(0, "COMMIT", done("COMMIT"))
        .history()
}

/// A failure that did this.
pub(crate) fn failing(history: History, violations: Vec<Violation>) -> Failure {
    Failure {
        history,
        violations,
        tables: Vec::new(),
        order: Vec::new(),
        explanation: None,
    }
}

/// A search that found nothing.
pub(crate) fn searched() -> Search {
    Search {
        purpose: Purpose::Explore,
        scenario: "lost-update".to_owned(),
        verdict: Verdict::Inconclusive,
        reasons: Vec::new(),
        exhaustive: false,
        stopped_at_failure: false,
        strategy: "exhaustive",
        seed: None,
        interleavings: BigUint::from(20u32),
        schedules_run: 0,
        failures: 0,
        elapsed: Duration::from_millis(41),
        outcomes: Vec::new(),
        failure: None,
        shrink: None,
        warnings: Vec::new(),
        notes: Vec::new(),
        account: Vec::new(),
    }
}
