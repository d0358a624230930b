//! Histories written by hand, for tests.

use std::sync::Arc;

use super::{History, Move, MoveKind, Origin, SessionEnd, Statement, StepError, StepResult, Turn, Tx, Wait};

/// A turn in which a session's step of this number and name was over at once.
pub(crate) fn turn(session: usize, (step, name): (usize, &str), sql: &str, result: StepResult) -> Turn {
    Turn {
        session,
        step: name.to_owned(),
        statement: Arc::new(Statement::of(sql)),
        filled: sql.to_owned(),
        values: Vec::new(),
        begin: None,
        origin: Origin::Step(step),
        tx: Tx::default(),
        attempt: 0,
        result,
        waits: Vec::new(),
        finished_in: 0,
    }
}

/// A history of these turns and moves.
pub(crate) fn history<S: ToString>(sessions: &[S], turns: Vec<Turn>, moves: Vec<Move>) -> History {
    let end = SessionEnd {
        committed: true,
        error: None,
        retries: 0,
        exit: None,
        answer: None,
        variables: Vec::new(),
    };
    History {
        sessions: sessions.iter().map(S::to_string).collect(),
        turns,
        moves,
        ends: vec![end; sessions.len()],
    }
}

/// Builds a history turn by turn.
pub(crate) struct Sample(History);

impl Sample {
    pub(crate) fn new(sessions: &[&str]) -> Self {
        Sample(history(sessions, Vec::new(), Vec::new()))
    }

    /// Adds a step, which has the first word of its statement for a name.
    pub(crate) fn turn(mut self, session: usize, sql: &str, result: StepResult) -> Self {
        let number = self.0.turns.iter().filter(|turn| turn.session == session).count();
        let name = sql.split(' ').next().unwrap_or(sql).to_lowercase();
        let finished_in = self.0.turns.len();
        self.0.turns.push(Turn {
            finished_in,
            ..turn(session, (number, &name), sql, result)
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

/// Rows in no order.
pub(crate) fn rows(columns: &[&str], rows: &[&[Option<&str>]], tag: &str) -> StepResult {
    let row = |row: &&[Option<&str>]| row.iter().map(|value| value.map(str::to_owned)).collect();
    StepResult::Rows {
        columns: columns.iter().map(|&column| column.to_owned()).collect(),
        rows: rows.iter().map(row).collect(),
        ordered: false,
        tag: tag.to_owned(),
    }
}

/// One row, as its columns' names and values.
pub(crate) fn row(fields: &[(&str, Option<&str>)]) -> StepResult {
    let (columns, values): (Vec<&str>, Vec<Option<&str>>) = fields.iter().copied().unzip();
    rows(&columns, &[&values], "SELECT 1")
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
