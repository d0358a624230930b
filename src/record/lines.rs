//! What one program sent, as the statements of a script.

use crate::history::Turn;
use crate::postgres::wire::Value;
use crate::run::{Answered, Exchange, Part, Said};
use crate::sql::classify::copies_to_client;
use crate::sql::commands::split;
use crate::sql::{Isolation, Statement, StatementKind, isolation_named};

/// A statement of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The step's name in the timeline; `None` where it was no turn.
    pub name: Option<String>,
    /// With `$1`, `$2`, … for its values.
    pub sql: String,
    pub values: Vec<Value>,
    /// `None` where it failed.
    pub reply: Option<Answered>,
    /// Its turn among all of the history.
    pub turn: Option<usize>,
    /// The turn of its commit, where it stood outside a transaction.
    pub commit: Option<usize>,
}

impl Line {
    pub fn kind(&self) -> StatementKind {
        Statement::classify(&self.sql).kind
    }

    /// A statement that belongs to a script's form, and that the program need not have sent by itself.
    fn plain(sql: &str) -> Line {
        Line {
            name: None,
            sql: sql.to_owned(),
            values: Vec::new(),
            reply: None,
            turn: None,
            commit: None,
        }
    }
}

/// What a session sent, from its first statement to its last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    pub lines: Vec<Line>,
    /// The level of transactions that name none, where it is not the server's default.
    pub isolation: Isolation,
    /// The SQLSTATE of the error that came last.
    pub error: Option<String>,
    /// Several connections, one after the other.
    pub connections: usize,
    /// Names of steps that were one request with others.
    pub split: Vec<String>,
}

/// Why a session cannot be a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    #[error("it sent no statement")]
    Silent,
    #[error("step `{0}` copies rows")]
    Copies(String),
    #[error("step `{0}` calls a function by its number, as large objects do")]
    CallsFunction(String),
    #[error("step `{0}` has a value in a binary format that is not understood")]
    Opaque(String),
    #[error("it continued after the error {sqlstate}, which would end a script's session")]
    ContinuesAfterError { sqlstate: String },
    #[error("transactions of several connections overlap")]
    Overlaps,
}

/// The statements of a session, given its turns in the history.
///
/// # Errors
/// When no script does the same.
pub fn lines(transcript: &[Exchange], turns: &[(usize, &Turn)]) -> Result<Lines, Obstacle> {
    let mut reading = Reading::default();
    let mut turns = turns.iter();
    for exchange in transcript {
        let turn = match exchange.part {
            Part::Passed => None,
            _ => turns.next().copied(),
        };
        reading.take(exchange, turn)?;
    }
    reading.prune();
    if !reading.found.lines.iter().any(|line| line.turn.is_some()) {
        return Err(Obstacle::Silent);
    }
    reading.found.connections = reading.backends.len();
    Ok(reading.found)
}

#[derive(Default)]
struct Reading {
    found: Lines,
    backends: Vec<i32>,
    /// The connection whose transaction is open.
    open_in: Option<i32>,
    /// Where the lines of a transaction of pgbraid's begin, while its commit is to come.
    autocommitted_from: Option<usize>,
    /// A setting may have changed the level.
    sets: bool,
    knows_isolation: bool,
}

impl Reading {
    fn take(&mut self, exchange: &Exchange, turn: Option<(usize, &Turn)>) -> Result<(), Obstacle> {
        if !self.backends.contains(&exchange.backend) {
            self.backends.push(exchange.backend);
        }
        if let Some(sqlstate) = &self.found.error {
            let ends = |said: &Said| {
                let kind = Statement::classify(&said.sql).kind;
                matches!(kind, StatementKind::Rollback { .. } | StatementKind::Commit { .. })
            };
            let continues = match exchange.part {
                Part::Step | Part::Autocommitted => !exchange.statements.iter().all(ends),
                Part::Passed | Part::Commit | Part::Rollback | Part::Disconnect => false,
            };
            return match continues {
                true => Err(Obstacle::ContinuesAfterError {
                    sqlstate: sqlstate.clone(),
                }),
                false => Ok(()),
            };
        }
        if self.open_in.is_some_and(|open| open != exchange.backend) {
            // what had begun and done nothing ended with its connection
            self.prune();
            if self.open_in.is_some() {
                return Err(Obstacle::Overlaps);
            }
        }
        match exchange.part {
            Part::Passed => self.pass(exchange),
            Part::Step | Part::Autocommitted => self.step(exchange, turn)?,
            Part::Commit => self.commit(turn),
            Part::Rollback => {
                self.push(Line {
                    name: Some("rollback".to_owned()),
                    turn: turn.map(|(index, _)| index),
                    ..Line::plain("ROLLBACK")
                });
                self.open_in = None;
            }
            Part::Disconnect => {}
        }
        if exchange.part != Part::Passed {
            self.found.error = exchange.sqlstate.clone();
        }
        Ok(())
    }

    fn push(&mut self, line: Line) {
        self.found.lines.push(line);
    }

    /// What met no other session: of that, a script needs what later statements depend on.
    fn pass(&mut self, exchange: &Exchange) {
        if exchange.sqlstate.is_some() {
            return;
        }
        for said in &exchange.statements {
            match Statement::classify(&said.sql).kind {
                StatementKind::Begin => self.begin(exchange.backend, &said.sql),
                StatementKind::Setting if !is_noise(&said.sql) => {
                    self.sets = true;
                    self.push(Line::plain(&said.sql));
                }
                StatementKind::Savepoint => self.push(Line::plain(&said.sql)),
                StatementKind::Commit { .. } | StatementKind::Rollback { .. } if self.open_in.is_some() => {
                    self.prune();
                    if self.open_in.take().is_some() {
                        self.push(Line::plain(&said.sql));
                    }
                }
                _ => {}
            }
        }
    }

    fn begin(&mut self, backend: i32, sql: &str) {
        if self.open_in.is_none() {
            self.open_in = Some(backend);
            self.push(Line::plain(sql));
        }
    }

    /// Drops a transaction that was begun and did nothing.
    fn prune(&mut self) {
        let last = self.found.lines.last();
        if last.is_some_and(|line| line.turn.is_none() && line.kind() == StatementKind::Begin) {
            self.found.lines.pop();
            self.open_in = None;
        }
    }

    fn step(&mut self, exchange: &Exchange, turn: Option<(usize, &Turn)>) -> Result<(), Obstacle> {
        let Some((index, turn)) = turn else { return Ok(()) };
        // it has only prepared something
        let Some(last) = exchange.statements.len().checked_sub(1) else {
            return Ok(());
        };
        let from = self.found.lines.len();
        for (place, said) in exchange.statements.iter().enumerate() {
            check(said, &turn.step)?;
            let kind = Statement::classify(&said.sql).kind;
            let is_last = place == last || (exchange.sqlstate.is_some() && said.reply.is_none());
            if kind == StatementKind::Begin && !is_last {
                self.begin(exchange.backend, &said.sql);
                continue;
            }
            self.push(Line {
                name: is_last.then(|| turn.step.clone()),
                values: said.values.clone(),
                reply: said.reply.clone(),
                turn: is_last.then_some(index),
                ..Line::plain(&said.sql)
            });
            match kind {
                StatementKind::Begin => self.open_in = Some(exchange.backend),
                StatementKind::Commit { chain } | StatementKind::Rollback { chain } if !chain => self.open_in = None,
                StatementKind::PrepareTransaction => self.open_in = None,
                _ => {}
            }
            if is_last {
                break;
            }
        }
        self.take_level(turn, from);
        let is_several = self.found.lines.len() > from + 1;
        let begins = |line: &Line| line.kind() == StatementKind::Begin && line.turn.is_none();
        if is_several && !self.found.lines.get(from).is_some_and(begins) {
            self.found.split.push(turn.step.clone());
        }
        if exchange.part == Part::Autocommitted {
            let from = *self.autocommitted_from.get_or_insert(from);
            if exchange.sqlstate.is_some() {
                self.enclose(from, None);
                self.autocommitted_from = None;
            } else {
                self.open_in = Some(exchange.backend);
            }
        }
        Ok(())
    }

    /// The level of a transaction that says nothing of it is that of the connection.
    fn take_level(&mut self, turn: &Turn, from: usize) {
        let begin = self.found.lines[..=from.min(self.found.lines.len() - 1)]
            .iter()
            .rev()
            .find(|line| line.kind() == StatementKind::Begin);
        let named = begin.and_then(|line| isolation_named(&line.sql)).is_some();
        if !self.knows_isolation && !self.sets && !named && turn.tx.opens {
            self.knows_isolation = true;
            self.found.isolation = turn.tx.isolation.unwrap_or_default();
        }
    }

    fn commit(&mut self, turn: Option<(usize, &Turn)>) {
        self.open_in = None;
        let (Some(from), Some((index, _))) = (self.autocommitted_from.take(), turn) else {
            return;
        };
        self.enclose(from, Some(index));
    }

    /// What was sent outside a transaction, from a line on: one statement stands by itself, and several that the server
    /// runs together are a transaction.
    fn enclose(&mut self, from: usize, commit: Option<usize>) {
        match &mut self.found.lines[from..] {
            [] => {}
            [line] => line.commit = commit,
            _ => {
                self.found.lines.insert(from, Line::plain("BEGIN"));
                self.push(Line {
                    name: commit.map(|_| "commit".to_owned()),
                    turn: commit,
                    ..Line::plain("COMMIT")
                });
            }
        }
    }
}

fn check(said: &Said, step: &str) -> Result<(), Obstacle> {
    let step = step.to_owned();
    if said.sql.starts_with("(function call") {
        return Err(Obstacle::CallsFunction(step));
    }
    if said.opaque {
        return Err(Obstacle::Opaque(step));
    }
    if split(&said.sql).iter().any(|command| copies_to_client(command)) {
        return Err(Obstacle::Copies(step));
    }
    Ok(())
}

/// Settings by which drivers say how they read and write values: a script is none the different without them.
const OF_DRIVERS: [&str; 9] = [
    "application_name",
    "client_min_messages",
    "client_encoding",
    "names",
    "standard_conforming_strings",
    "intervalstyle",
    "datestyle",
    "extra_float_digits",
    "bytea_output",
];

fn is_noise(sql: &str) -> bool {
    let commands = split(sql);
    let Some([first, rest @ ..]) = commands.first().map(Vec::as_slice) else {
        return true;
    };
    if first.is("SHOW") {
        return true;
    }
    let mut words = rest.iter().skip_while(|word| word.is_one_of(&["SESSION", "LOCAL"]));
    let Some(name) = words.next().map(|word| word.text.trim_matches('"').to_lowercase()) else {
        return true;
    };
    let value = || rest.last().map(|word| word.text.trim_matches('\''));
    match name.as_str() {
        // scripts have that anyway
        "timezone" | "time" => value().is_some_and(|value| value.eq_ignore_ascii_case("UTC")),
        name => OF_DRIVERS.contains(&name),
    }
}
