//! What one program sent, as the statements of a script.

use crate::postgres::wire::Value;
use crate::run::{Answered, Exchange, ExchangeKind, Said};
use crate::sql::classify::copies_to_client;
use crate::sql::commands::split;
use crate::sql::lexer::significant;
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
}

impl Line {
    pub fn kind(&self) -> StatementKind {
        Statement::classify(&self.sql).kind
    }

    /// A statement without values or rows.
    pub fn plain(sql: impl Into<String>) -> Line {
        Line {
            name: None,
            sql: sql.into(),
            values: Vec::new(),
            reply: None,
        }
    }
}

/// What a session sent, from its first statement to its last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    pub lines: Vec<Line>,
    /// The level of transactions that name none.
    pub isolation: Isolation,
    /// The SQLSTATE of the error after which a script's session is over.
    pub error: Option<String>,
    /// Names of steps that came after it.
    pub after_error: Vec<String>,
    /// Several connections, one after the other.
    pub connections: usize,
    /// Names of steps that were one request with others.
    pub split: Vec<String>,
    /// The program held locks on files.
    pub locks_files: bool,
}

/// Why a session cannot be a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    #[error("it sent no statement that is a step")]
    Silent,
    #[error("its step `{0}` copies rows, and COPY from or to a client is not a step of a script")]
    Copies(String),
    #[error("its step `{0}` calls a function by its number, as clients do with large objects, which is no SQL")]
    CallsFunction(String),
    #[error("its step `{0}` has a value in a binary format that is not understood")]
    Opaque(String),
    #[error("it has transactions open on several connections, and a session of a script has one connection")]
    Overlaps,
}

/// The statements of a session.
///
/// # Errors
/// When no script does the same.
pub fn lines(transcript: &[Exchange]) -> Result<Lines, Obstacle> {
    let mut reading = Reading::default();
    for exchange in transcript {
        reading.take(exchange)?;
    }
    reading.drop_idle_transaction();
    if reading.open.is_some() {
        reading.push(Line::plain("ROLLBACK"));
    }
    let mut found = reading.found;
    drop_idle_pairs(&mut found.lines);
    if !found.lines.iter().any(|line| line.name.is_some()) {
        return Err(Obstacle::Silent);
    }
    found.connections = reading.backends.len();
    found.isolation = reading.isolation.unwrap_or_default();
    Ok(found)
}

/// Drops savepoints and transactions that end at once, as those around what a driver reads of the catalogs do.
fn drop_idle_pairs(lines: &mut Vec<Line>) {
    let name = |line: &Line| significant(&line.sql).last().map(|token| token.text.to_owned());
    let is_idle = |pair: &[Line]| match (pair[0].kind(), pair[1].kind()) {
        (StatementKind::Savepoint, StatementKind::Release) => name(&pair[0]) == name(&pair[1]),
        (StatementKind::Begin, StatementKind::Commit { chain } | StatementKind::Rollback { chain }) => !chain,
        _ => false,
    };
    while let Some(place) = lines.windows(2).position(is_idle) {
        lines.drain(place..place + 2);
    }
}

#[derive(Default)]
struct Reading {
    found: Lines,
    backends: Vec<i32>,
    open: Option<Open>,
    isolation: Option<Isolation>,
    /// Where the lines of a transaction of pgbraid's begin, while its commit is to come.
    autocommitted_from: Option<usize>,
}

/// A transaction that the program has begun.
#[derive(Clone, Copy)]
struct Open {
    backend: i32,
    /// The line of its BEGIN.
    begun: usize,
    /// A step of it has been seen.
    has_step: bool,
}

impl Reading {
    fn take(&mut self, exchange: &Exchange) -> Result<(), Obstacle> {
        self.found.locks_files |= exchange.locks_file;
        let is_step = matches!(exchange.kind, ExchangeKind::Step | ExchangeKind::Autocommitted);
        if self.found.error.is_some() {
            let ends = |said: &Said| {
                let kind = Statement::classify(&said.sql).kind;
                matches!(kind, StatementKind::Rollback { .. } | StatementKind::Commit { .. })
            };
            if is_step && !exchange.statements.iter().all(ends) {
                self.found.after_error.push(exchange.name.clone());
            }
            return Ok(());
        }
        if !self.backends.contains(&exchange.backend) {
            self.backends.push(exchange.backend);
            for sql in &exchange.opening {
                self.set(sql);
            }
        }
        if self.open.is_some_and(|open| open.backend != exchange.backend) {
            self.drop_idle_transaction();
            if self.open.is_some() {
                return Err(Obstacle::Overlaps);
            }
        }
        match exchange.kind {
            ExchangeKind::Passed => self.pass(exchange),
            ExchangeKind::Step | ExchangeKind::Autocommitted => self.step(exchange)?,
            ExchangeKind::Commit => self.commit(),
            ExchangeKind::Rollback => {
                self.push(Line {
                    name: Some("rollback".to_owned()),
                    ..Line::plain("ROLLBACK")
                });
                self.open = None;
            }
            ExchangeKind::Disconnect => {}
        }
        if exchange.kind != ExchangeKind::Passed {
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
        let needed = |said: &&Said| !is_of_driver(&said.sql);
        let needed: Vec<&Said> = exchange.statements.iter().filter(needed).collect();
        if let Some(begin) = exchange.begin.as_ref().filter(|_| !needed.is_empty()) {
            self.begin(exchange.backend, begin);
        }
        for said in needed {
            match Statement::classify(&said.sql).kind {
                StatementKind::Begin => self.begin(exchange.backend, &said.sql),
                StatementKind::Setting => self.set(&said.sql),
                StatementKind::Savepoint | StatementKind::Release | StatementKind::RollbackTo => {
                    self.push(Line::plain(&said.sql));
                }
                StatementKind::Commit { .. } | StatementKind::Rollback { .. } => {
                    self.drop_idle_transaction();
                    if self.open.take().is_some() {
                        self.push(Line::plain(&said.sql));
                    }
                }
                _ => {}
            }
        }
    }

    fn set(&mut self, sql: &str) {
        // which level transactions have is seen of each
        let only_level = self.open.is_none() && isolation_named(sql).is_some();
        if !only_level && !is_of_driver(sql) {
            self.push(Line::plain(sql));
        }
    }

    fn begin(&mut self, backend: i32, sql: &str) {
        if self.open.is_none() {
            self.open = Some(Open {
                backend,
                begun: self.found.lines.len(),
                has_step: false,
            });
            self.push(Line::plain(sql));
        }
    }

    /// Drops a transaction that was begun and did nothing.
    fn drop_idle_transaction(&mut self) {
        if let Some(open) = self.open.filter(|open| !open.has_step) {
            self.found.lines.truncate(open.begun);
            self.open = None;
        }
    }

    fn step(&mut self, exchange: &Exchange) -> Result<(), Obstacle> {
        // it has only prepared something
        let Some(last) = exchange.statements.len().checked_sub(1) else {
            return Ok(());
        };
        if let Some(begin) = &exchange.begin {
            self.begin(exchange.backend, begin);
        }
        let from = self.found.lines.len();
        for (place, said) in exchange.statements.iter().enumerate() {
            check(said, &exchange.name)?;
            let kind = Statement::classify(&said.sql).kind;
            let is_last = place == last || (exchange.sqlstate.is_some() && said.reply.is_none());
            if kind == StatementKind::Begin {
                self.begin(exchange.backend, &said.sql);
            } else {
                let own = match last {
                    0 => &exchange.name,
                    _ => &said.name,
                };
                self.push(Line {
                    name: Some(own.clone()),
                    values: said.values.clone(),
                    reply: said.reply.clone(),
                    ..Line::plain(&said.sql)
                });
            }
            match kind {
                StatementKind::Commit { chain: false }
                | StatementKind::Rollback { chain: false }
                | StatementKind::PrepareTransaction => self.open = None,
                _ => {}
            }
            if is_last {
                break;
            }
        }
        if let Some(open) = &mut self.open {
            open.has_step = true;
        }
        let own = &self.found.lines[from..];
        if own.iter().filter(|line| line.kind() != StatementKind::Begin).count() > 1 {
            self.found.split.push(exchange.name.clone());
        }
        if exchange.kind == ExchangeKind::Autocommitted {
            let from = *self.autocommitted_from.get_or_insert(from);
            self.note_level(exchange.isolation, None);
            if exchange.isolation.is_some_and(|level| Some(level) != self.isolation) {
                self.enclose(from, exchange.isolation);
            } else if exchange.sqlstate.is_some() {
                self.enclose(from, None);
            }
        } else {
            self.note_level(exchange.isolation, self.open.map(|open| open.begun));
        }
        Ok(())
    }

    /// The level of transactions that name none is that of the first; others name theirs.
    fn note_level(&mut self, level: Option<Isolation>, begun: Option<usize>) {
        let Some(level) = level else { return };
        let begin = begun.map(|begun| &mut self.found.lines[begun].sql);
        if begin.as_ref().is_some_and(|sql| isolation_named(sql).is_some()) {
            return;
        }
        let usual = *self.isolation.get_or_insert(level);
        if let Some(sql) = begin.filter(|_| level != usual) {
            *sql += &format!(" ISOLATION LEVEL {}", level.as_sql().to_uppercase());
        }
    }

    fn commit(&mut self) {
        if let Some(from) = self.autocommitted_from {
            self.enclose(from, None);
        }
    }

    /// What was sent outside a transaction, from a line on: one statement stands by itself, and several that the server
    /// runs together are a transaction, as is one of a level of its own.
    fn enclose(&mut self, from: usize, level: Option<Isolation>) {
        self.autocommitted_from = None;
        if self.found.lines.len() - from > 1 || level.is_some() {
            let level = level.map(|level| format!(" ISOLATION LEVEL {}", level.as_sql().to_uppercase()));
            let begin = format!("BEGIN{}", level.unwrap_or_default());
            self.found.lines.insert(from, Line::plain(begin));
            self.push(Line::plain("COMMIT"));
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

/// Settings by which drivers say how they read and write values: a script does the same without them.
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

/// Whether a statement is a setting that a script does without.
fn is_of_driver(sql: &str) -> bool {
    let commands = split(sql);
    let Some([first, rest @ ..]) = commands.first().map(Vec::as_slice) else {
        return true;
    };
    if !first.is_one_of(&["SET", "RESET", "SHOW"]) {
        return false;
    }
    let mut words = rest.iter().skip_while(|word| word.is_one_of(&["SESSION", "LOCAL"]));
    let Some(name) = words.next().map(|word| word.text.trim_matches('"').to_lowercase()) else {
        return true;
    };
    let value = || rest.last().map(|word| word.text.trim_matches('\''));
    match name.as_str() {
        _ if first.is("SHOW") => true,
        // scripts have that anyway
        "timezone" | "time" => value().is_some_and(|value| value.eq_ignore_ascii_case("UTC")),
        name => OF_DRIVERS.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(sql: &str) -> Said {
        Said {
            name: sql.to_lowercase(),
            sql: sql.to_owned(),
            values: Vec::new(),
            opaque: false,
            reply: Some(Answered {
                columns: None,
                rows: 0,
                row: None,
            }),
        }
    }

    /// An exchange on the first connection.
    fn exchange(kind: ExchangeKind, statements: &[&str]) -> Exchange {
        Exchange {
            backend: 1,
            opening: Vec::new(),
            kind,
            name: statements.last().map_or(String::new(), |sql| sql.to_lowercase()),
            begin: None,
            isolation: (kind == ExchangeKind::Autocommitted).then_some(Isolation::ReadCommitted),
            statements: statements.iter().map(|sql| said(sql)).collect(),
            sqlstate: None,
            locks_file: false,
        }
    }

    fn first(begin: &str, level: Isolation, sql: &str) -> Exchange {
        Exchange {
            begin: Some(begin.to_owned()),
            isolation: Some(level),
            ..exchange(ExchangeKind::Step, &[sql])
        }
    }

    fn failed(kind: ExchangeKind, sql: &str, sqlstate: &str) -> Exchange {
        let mut exchange = exchange(kind, &[sql]);
        exchange.statements[0].reply = None;
        exchange.sqlstate = Some(sqlstate.to_owned());
        exchange
    }

    fn sql(found: &Lines) -> Vec<&str> {
        found.lines.iter().map(|line| line.sql.as_str()).collect()
    }

    use Isolation::{ReadCommitted, Serializable};

    #[test]
    fn transactions_begin_where_the_program_began_them() {
        let found = lines(&[
            first("BEGIN", ReadCommitted, "SELECT 1 FROM t"),
            exchange(ExchangeKind::Step, &["UPDATE t"]),
            exchange(ExchangeKind::Step, &["COMMIT"]),
            exchange(ExchangeKind::Autocommitted, &["DELETE FROM t"]),
            exchange(ExchangeKind::Commit, &[]),
        ]);
        let found = found.unwrap();
        assert_eq!(
            sql(&found),
            ["BEGIN", "SELECT 1 FROM t", "UPDATE t", "COMMIT", "DELETE FROM t"]
        );
        assert_eq!(found.lines[2].name.as_deref(), Some("update t"));
    }

    #[test]
    fn a_transaction_of_another_level_names_it() {
        let found = lines(&[
            first("BEGIN", Serializable, "SELECT 1 FROM t"),
            exchange(ExchangeKind::Step, &["COMMIT"]),
            first("BEGIN", ReadCommitted, "SELECT 2 FROM t"),
            exchange(ExchangeKind::Step, &["COMMIT"]),
            exchange(ExchangeKind::Autocommitted, &["SELECT 3 FROM t"]),
            exchange(ExchangeKind::Commit, &[]),
        ]);
        let found = found.unwrap();
        assert_eq!(found.isolation, Serializable);
        let expected = [
            "BEGIN",
            "SELECT 1 FROM t",
            "COMMIT",
            "BEGIN ISOLATION LEVEL READ COMMITTED",
            "SELECT 2 FROM t",
            "COMMIT",
            "BEGIN ISOLATION LEVEL READ COMMITTED",
            "SELECT 3 FROM t",
            "COMMIT",
        ];
        assert_eq!(sql(&found), expected);
    }

    #[test]
    fn settings_stay_and_what_drivers_say_of_themselves_does_not() {
        let mut opening = exchange(ExchangeKind::Step, &["SELECT 1 FROM t"]);
        opening.opening = [
            "SET application_name = 'app'",
            "SET search_path = app",
            "SET TimeZone TO 'UTC'",
        ]
        .map(str::to_owned)
        .to_vec();
        opening.kind = ExchangeKind::Autocommitted;
        let mut local = exchange(ExchangeKind::Passed, &["SET LOCAL lock_timeout = 5"]);
        local.begin = Some("BEGIN".to_owned());
        let found = lines(&[
            opening,
            exchange(ExchangeKind::Commit, &[]),
            local,
            first("BEGIN", ReadCommitted, "UPDATE t"),
            exchange(ExchangeKind::Step, &["ROLLBACK"]),
            exchange(ExchangeKind::Passed, &["SHOW transaction_isolation"]),
        ]);
        let expected = [
            "SET search_path = app",
            "SELECT 1 FROM t",
            "BEGIN",
            "SET LOCAL lock_timeout = 5",
            "UPDATE t",
            "ROLLBACK",
        ];
        assert_eq!(sql(&found.unwrap()), expected);
    }

    #[test]
    fn a_transaction_that_did_nothing_is_left_out() {
        let mut local = exchange(ExchangeKind::Passed, &["SET LOCAL lock_timeout = 5"]);
        local.begin = Some("BEGIN".to_owned());
        let found = lines(&[
            local,
            exchange(ExchangeKind::Passed, &["COMMIT"]),
            exchange(ExchangeKind::Autocommitted, &["UPDATE t"]),
            exchange(ExchangeKind::Commit, &[]),
        ]);
        assert_eq!(sql(&found.unwrap()), ["UPDATE t"]);
        let found = lines(&[
            first("BEGIN", ReadCommitted, "SAVEPOINT s"),
            exchange(ExchangeKind::Step, &["RELEASE SAVEPOINT s"]),
            exchange(ExchangeKind::Step, &["ROLLBACK"]),
            exchange(ExchangeKind::Autocommitted, &["UPDATE t"]),
            exchange(ExchangeKind::Commit, &[]),
        ]);
        assert_eq!(sql(&found.unwrap()), ["UPDATE t"]);
        assert_eq!(
            lines(&[exchange(ExchangeKind::Passed, &["SET x.y = 1"])]),
            Err(Obstacle::Silent)
        );
    }

    #[test]
    fn an_error_ends_a_script() {
        let found = lines(&[
            first("BEGIN", ReadCommitted, "SELECT 1 FROM t"),
            failed(ExchangeKind::Step, "INSERT INTO t", "23505"),
            exchange(ExchangeKind::Step, &["ROLLBACK"]),
            exchange(ExchangeKind::Autocommitted, &["SELECT 2 FROM t"]),
            exchange(ExchangeKind::Commit, &[]),
        ]);
        let found = found.unwrap();
        assert_eq!(sql(&found), ["BEGIN", "SELECT 1 FROM t", "INSERT INTO t", "ROLLBACK"]);
        assert_eq!(found.error.as_deref(), Some("23505"));
        assert_eq!(found.after_error, ["select 2 from t"]);
    }

    #[test]
    fn a_pipeline_without_a_transaction_is_one() {
        let found = lines(&[
            exchange(ExchangeKind::Autocommitted, &["UPDATE a", "UPDATE b"]),
            exchange(ExchangeKind::Commit, &[]),
        ]);
        let found = found.unwrap();
        assert_eq!(sql(&found), ["BEGIN", "UPDATE a", "UPDATE b", "COMMIT"]);
        assert_eq!(found.split, ["update b"]);
    }

    #[test]
    fn what_no_script_can_do_is_refused() {
        let copies = exchange(ExchangeKind::Autocommitted, &["COPY t FROM STDIN"]);
        assert_eq!(lines(&[copies]), Err(Obstacle::Copies("copy t from stdin".to_owned())));
        let mut other = exchange(ExchangeKind::Autocommitted, &["UPDATE t"]);
        other.backend = 2;
        let overlapping = [first("BEGIN", ReadCommitted, "SELECT 1 FROM t"), other];
        assert_eq!(lines(&overlapping), Err(Obstacle::Overlaps));
    }
}
