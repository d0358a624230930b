//! `lock_timeout` and `statement_timeout` as the application sets them. The server's own timers never fire: its timeout
//! is a stand-in that takes weeks, and represents the application's value.
//!
//! A stand-in undergoes everything that the server does to a setting (savepoints, rollbacks, RESET, DISCARD ALL), so
//! the application's value can be learned at any time by querying the setting.

use std::collections::BTreeSet;

use super::session::WaitTimeout;
use crate::postgres::wire::{Connection, Reply, Value};
use crate::postgres::{PostgresError, Server};
use crate::scenario::{Scenario, Session, Step};
use crate::sql::commands::split;
use crate::sql::lexer::{Token, TokenKind};
use crate::sql::words::{CURRENT_SETTING, SESSION_TIMEOUTS, SET_CONFIG};

/// The settings, in the order in which they are queried.
pub const NAMES: [&str; 2] = ["lock_timeout", "statement_timeout"];

const QUERY_CANCELED: &str = "57014";
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// The first stand-in is one millisecond longer: 23 days.
const STAND_IN: u64 = 2_000_000_000;
/// A stand-in is printed in milliseconds as long as it is not a whole number of seconds.
const MOST_VALUES: usize = 999;

const ROUTINES: &str = "SELECT p.proname, concat(p.prosrc, ' ', array_to_string(p.proconfig, ' '), ' ',
      pg_catalog.pg_get_function_sqlbody(p.oid)),
    EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid),
    l.lanname IN ('sql', 'plpgsql')
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  WHERE p.oid >= 16384 AND n.nspname <> 'pgbraid'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  ORDER BY p.proname";
/// Whether roles or databases have settings of their own. On a server that pgbraid did not start, its configuration may
/// set them too.
const SET_BY_ROLE: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting
  WHERE array_to_string(setconfig, ' ') ~ '(lock|statement)_timeout')";

/// The timeouts of a scenario's sessions at the start, and what its steps do to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Those of a new connection, as the server prints them.
    pub initial: [String; 2],
    routines: Vec<Routine>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Routine {
    name: String,
    body: String,
    /// It may run although no statement names it: by a trigger, a default, a view.
    unnamed: bool,
    /// In SQL or PL/pgSQL.
    readable: bool,
}

/// What is known of a step's timeouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTimeouts {
    pub handling: Handling,
    /// Why it is not known which timeout the step has while it waits, in words.
    pub own: Option<String>,
    /// Why it is not known what a timeout that ends the step does, in words.
    pub caught: Option<String>,
}

/// What a step has to do with timeouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handling {
    /// Nothing.
    None,
    /// It sets one to a value that can be read: the words before the value, and the value in milliseconds.
    Sets { ahead: String, millis: u64 },
    /// It may set or read one in a way that only the server can tell.
    Live,
}

impl Timeouts {
    /// Must be called after setup; `None` if no session can have a timeout.
    pub async fn find(
        control: &mut Connection,
        server: &Server,
        database: &str,
        scenario: &Scenario,
    ) -> Result<Option<Timeouts>, PostgresError> {
        let set_by_role = rows(control, SET_BY_ROLE).await?;
        let set_by_role = set_by_role.first().and_then(|row| row.first()?.as_deref()) == Some("t");
        let initial = match set_by_role || !server.signals {
            // a copy of a database has none of its settings
            true => shown(&mut server.plain(database, &[]).await?).await?,
            false => ["0".to_owned(), "0".to_owned()],
        };
        let steps = scenario.sessions.iter().flat_map(|session| session.steps.iter());
        let mut texts = steps.map(|step| &step.sql).chain(&scenario.setup);
        if initial == ["0", "0"] && !texts.any(|sql| names_timeouts(&sql.text)) {
            return Ok(None);
        }
        let routines = rows(control, ROUTINES).await?;
        let routines = routines.into_iter();
        let routines = routines.filter_map(|row| match <[Option<String>; 4]>::try_from(row) {
            Ok([Some(name), Some(body), Some(unnamed), Some(readable)]) => Some(Routine {
                name,
                body,
                unnamed: unnamed == "t",
                readable: readable == "t",
            }),
            _ => None,
        });
        Ok(Some(Timeouts {
            initial,
            routines: routines.collect(),
        }))
    }

    pub fn of_step(&self, step: &Step) -> StepTimeouts {
        let routines = self.run_by(step);
        let sets = routines.iter().find(|routine| names_timeouts(&routine.body));
        let sets = sets.map(|routine| format!("function {}", routine.name));
        let handling = match sets {
            Some(_) => Handling::Live,
            None => handling(&step.sql.text),
        };
        let sets = sets.or_else(|| (handling == Handling::Live).then(|| format!("step {}", step.name)));
        let catches = routines.iter().find_map(|routine| {
            let words = lower_words(&routine.body);
            let why = match routine.readable {
                true if may_catch(&routine.body) => "may catch errors",
                true if words.contains("execute") => "runs statements that are not known beforehand",
                true => return None,
                false => "is in another language than SQL and PL/pgSQL",
            };
            Some(format!(
                "a timeout inside function {} is not explored: it {why}",
                routine.name
            ))
        });
        let sql = &step.sql.text;
        let block = (lower_words(sql).contains("do") && may_catch(sql))
            .then(|| format!("a timeout in step {} is not explored: it may catch errors", step.name));
        StepTimeouts {
            handling,
            own: sets.map(|what| format!("a timeout in {what} is not explored: it sets or reads timeouts itself")),
            caught: catches.or(block),
        }
    }

    /// The routines that a step may run.
    fn run_by(&self, step: &Step) -> Vec<&Routine> {
        let mut names = lower_words(&step.sql.text);
        let mut found: Vec<&Routine> = Vec::new();
        loop {
            let next = self.routines.iter().find(|routine| {
                (routine.unnamed || names.contains(&routine.name.to_lowercase()))
                    && !found.iter().any(|known| std::ptr::eq(*known, *routine))
            });
            let Some(next) = next else { return found };
            names.extend(lower_words(&next.body));
            found.push(next);
        }
    }
}

/// Timeouts whose effect on other schedules is not explored, in a sentence each.
pub fn not_explored(scenario: &Scenario) -> Vec<String> {
    let steps = scenario.sessions.iter().flat_map(|session| session.steps.iter());
    let texts = steps.map(|step| &step.sql).chain(&scenario.setup);
    let words: BTreeSet<String> = texts.flat_map(|sql| lower_words(&sql.text)).collect();
    let named = SESSION_TIMEOUTS.iter().filter(|name| words.contains(**name));
    named
        .map(|name| format!("that the server ends a session for its {name} is not explored"))
        .collect()
}

fn handling(sql: &str) -> Handling {
    match set_to_value(sql) {
        Some((ahead, millis)) if millis < STAND_IN => return Handling::Sets { ahead, millis },
        _ => {}
    }
    // what these show is corrected in the reply, and the defaults are stand-ins, too
    let command = split(sql).into_iter().next().unwrap_or_default();
    let shows = command.first().is_some_and(|first| first.is_one_of(&["SHOW", "RESET"]))
        || command.first().is_some_and(|first| first.is("SET"))
            && command.last().is_some_and(|last| last.is("DEFAULT"));
    match names_timeouts(sql) && !shows {
        true => Handling::Live,
        false => Handling::None,
    }
}

fn lower_words(text: &str) -> BTreeSet<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Whether a text may handle errors: it contains an EXCEPTION that is not raised.
fn may_catch(text: &str) -> bool {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    (0..words.len()).any(|index| words[index] == "exception" && (index == 0 || words[index - 1] != "raise"))
}

/// Whether a text may set or read a timeout: it names one, or a setting that is not known beforehand.
fn names_timeouts(text: &str) -> bool {
    let words = lower_words(text);
    words.contains("pg_settings")
        || NAMES.iter().any(|name| words.contains(*name))
        || [SET_CONFIG, CURRENT_SETTING]
            .iter()
            .any(|function| names_any_setting(&text.to_lowercase(), function))
}

/// Whether a function is called with something other than the name of a setting in quotes (doubled quotes, if the
/// function's text is itself quoted).
fn names_any_setting(lower: &str, function: &str) -> bool {
    let mut calls = lower.split(function).skip(1).map(|rest| rest.trim_start_matches('"'));
    calls.any(|rest| {
        let argument = rest.trim_start().strip_prefix('(').map(str::trim_start);
        let quoted = argument.and_then(|argument| {
            let inside = argument.trim_start_matches('\'');
            let quotes = argument.len() - inside.len();
            let name = inside.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
            let after = name.trim_start_matches('\'');
            let closed = quotes > 0 && name.len() - after.len() == quotes && name.len() < inside.len();
            closed.then(|| after.trim_start().trim_start_matches("::text").trim_start())
        });
        !quoted.is_some_and(|after| after.starts_with([',', ')']))
    })
}

/// Reads `SET [SESSION | LOCAL] lock_timeout {= | TO} '200ms'`.
fn set_to_value(sql: &str) -> Option<(String, u64)> {
    let command = split(sql).into_iter().next()?;
    let (set, rest) = command.split_first()?;
    if !set.is("SET") {
        return None;
    }
    let rest = match rest.split_first() {
        Some((scope, rest)) if scope.is_one_of(&["SESSION", "LOCAL"]) => rest,
        _ => rest,
    };
    let [name, assign, value] = rest else { return None };
    let known = NAMES.iter().any(|known| name_of(name) == *known);
    let assigns = assign.text == "=" || assign.is("TO");
    let millis = match value.kind {
        TokenKind::Number => value.text.parse().ok()?,
        TokenKind::String => millis(value.text.strip_prefix('\'')?.strip_suffix('\'')?)?,
        _ => return None,
    };
    (known && assigns).then(|| (sql[..value.offset].to_owned(), millis))
}

fn name_of(token: &Token<'_>) -> String {
    token.text.trim_matches('"').to_lowercase()
}

/// A value as SET accepts and SHOW prints it, if it is a whole number with or without a unit.
pub fn millis(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim_start() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// As SHOW prints it.
fn printed(millis: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)];
    match units
        .iter()
        .find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit))
    {
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None if millis == 0 => "0".to_owned(),
        None => format!("{millis}ms"),
    }
}

/// Both settings, as a connection has them.
async fn shown(connection: &mut Connection) -> Result<[String; 2], PostgresError> {
    let mut values = [String::new(), String::new()];
    for (name, value) in NAMES.iter().zip(&mut values) {
        let found = rows(connection, &format!("SHOW {name}")).await?;
        *value = found.into_iter().flatten().next().flatten().unwrap_or_default();
    }
    Ok(values)
}

async fn rows(control: &mut Connection, sql: &str) -> Result<Vec<Vec<Option<String>>>, PostgresError> {
    let reply = control.query(sql, &[] as &[Value]).await?;
    let result = reply.into_result().map_err(|error| PostgresError::Query {
        doing: "looking for timeouts",
        error,
    })?;
    Ok(result.rows)
}

/// The application's values behind the stand-ins of one session.
#[derive(Debug, Clone, Default)]
pub struct StandIns {
    /// As SHOW prints them.
    values: Vec<String>,
}

impl StandIns {
    /// What the server is given in place of the application's value; the value itself if it turns the timeout off, or
    /// no stand-in is possible.
    pub fn stand_in(&mut self, value: &str) -> String {
        let stands_in = millis(value).is_some_and(|millis| (1..STAND_IN).contains(&millis));
        if !stands_in {
            return value.to_owned();
        }
        let place = match self.values.iter().position(|known| known == value) {
            Some(place) => place,
            None if self.values.len() == MOST_VALUES => return value.to_owned(),
            None => {
                self.values.push(value.to_owned());
                self.values.len() - 1
            }
        };
        format!("{}ms", STAND_IN + 1 + place as u64)
    }

    /// The application's value, if a text is a stand-in.
    pub fn value(&self, text: &str) -> Option<&str> {
        let place = millis(text)?.checked_sub(STAND_IN + 1)?;
        self.values.get(usize::try_from(place).ok()?).map(String::as_str)
    }

    /// Whether the server could end a step by itself with this value.
    pub fn is_live(&self, text: &str) -> bool {
        self.value(text).is_none() && millis(text) != Some(0)
    }
}

/// The timeouts of one session.
#[derive(Debug, Clone)]
pub struct SessionTimeouts {
    stand_ins: StandIns,
    steps: Vec<StepTimeouts>,
    /// The server's values on a new connection.
    initial: [String; 2],
    /// The server's current values.
    current: [String; 2],
    /// They may have changed since they were last queried.
    stale: bool,
    /// The step under way is cancelled on behalf of this timeout.
    expired: Option<WaitTimeout>,
}

/// How a step is sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StepSql {
    /// Statements to send before it.
    pub ahead: Vec<String>,
    /// Replaces its own SQL.
    pub instead: Option<String>,
}

impl SessionTimeouts {
    pub fn new(timeouts: &Timeouts, session: &Session) -> SessionTimeouts {
        let mut stand_ins = StandIns::default();
        let initial = timeouts.initial.each_ref().map(|value| stand_ins.stand_in(value));
        SessionTimeouts {
            stand_ins,
            steps: session.steps.iter().map(|step| timeouts.of_step(step)).collect(),
            current: initial.clone(),
            initial,
            stale: false,
            expired: None,
        }
    }

    /// The settings that a connection has to be started with.
    pub fn settings(&self) -> [(&'static str, &str); 2] {
        [(NAMES[0], &self.initial[0]), (NAMES[1], &self.initial[1])]
    }

    /// The session is as if newly connected.
    pub fn reset(&mut self) {
        self.current = self.initial.clone();
        (self.stale, self.expired) = (false, None);
    }

    /// A step is about to be sent.
    pub fn begin(&mut self, step: usize, in_transaction: bool) -> StepSql {
        self.expired = None;
        match &self.steps[step].handling {
            Handling::None => StepSql::default(),
            Handling::Sets { ahead, millis } => StepSql {
                instead: Some(format!("{ahead}'{}'", self.stand_ins.stand_in(&printed(*millis)))),
                ahead: Vec::new(),
            },
            Handling::Live if in_transaction => {
                let values = NAMES.iter().zip(&self.current);
                let true_ones = values.filter_map(|(name, live)| Some((name, self.stand_ins.value(live)?)));
                StepSql {
                    ahead: true_ones
                        .map(|(name, value)| format!("SET LOCAL {name} = '{value}'"))
                        .collect(),
                    instead: None,
                }
            }
            Handling::Live => StepSql::default(),
        }
    }

    /// Removes from a reply what belongs to the timeouts.
    pub fn take_in(&mut self, reply: &mut Reply, shown: bool) {
        let expired = self.expired.take();
        if let Some(error) = &mut reply.error {
            self.stale = true;
            if let Some(timeout) = expired.filter(|_| error.sqlstate == QUERY_CANCELED) {
                let (sqlstate, of) = match timeout {
                    WaitTimeout::Lock => (LOCK_NOT_AVAILABLE, "lock"),
                    WaitTimeout::Statement => (QUERY_CANCELED, "statement"),
                };
                error.sqlstate = sqlstate.to_owned();
                error.message = format!("canceling statement due to {of} timeout");
            }
            return;
        }
        self.stale = !shown;
        if shown {
            let values = reply.results.split_off(reply.results.len().saturating_sub(NAMES.len()));
            for (current, value) in self.current.iter_mut().zip(&values) {
                *current = value.scalar().unwrap_or_default().to_owned();
            }
        }
        let cells = reply
            .results
            .iter_mut()
            .flat_map(|result| &mut result.rows)
            .flatten()
            .flatten();
        for cell in cells.filter(|cell| cell.ends_with("ms")) {
            if let Some(value) = self.stand_ins.value(cell) {
                *cell = value.to_owned();
            }
        }
    }

    pub fn are_stale(&self) -> bool {
        self.stale
    }

    pub async fn ask(&mut self, connection: &mut Connection) -> Result<(), PostgresError> {
        self.current = shown(connection).await?;
        self.stale = false;
        Ok(())
    }

    /// Replaces values that the server could act on by stand-ins.
    pub async fn stand_in(&mut self, connection: &mut Connection, in_transaction: bool) -> Result<(), PostgresError> {
        let scope = if in_transaction { "LOCAL " } else { "" };
        for (name, current) in NAMES.iter().zip(&mut self.current) {
            if !self.stand_ins.is_live(current) {
                continue;
            }
            let stand_in = self.stand_ins.stand_in(current);
            if stand_in != *current {
                let reply = connection.simple(&format!("SET {scope}{name} = '{stand_in}'")).await?;
                reply.into_result().map_err(|error| PostgresError::Query {
                    doing: "standing in for a timeout",
                    error,
                })?;
                *current = stand_in;
            }
        }
        Ok(())
    }

    /// The application's value, in milliseconds; `None` if the timeout is off.
    fn set(&self, index: usize) -> Option<u64> {
        let value = self
            .stand_ins
            .value(&self.current[index])
            .unwrap_or(&self.current[index]);
        millis(value).filter(|&millis| millis > 0)
    }

    /// Why it is not known what a timeout would do to a step, in words.
    pub fn not_explored(&self, step: usize) -> Option<String> {
        let StepTimeouts { own, caught, .. } = &self.steps[step];
        let any_set = self.set(0).or(self.set(1)).is_some();
        own.clone().or_else(|| caught.clone().filter(|_| any_set))
    }

    /// The timeout that would end a step: the shorter one or, if both are equal, that of the statement, which began
    /// before the wait.
    pub fn that_fires(&self, step: usize) -> Option<WaitTimeout> {
        if self.not_explored(step).is_some() {
            return None;
        }
        match (self.set(0), self.set(1)) {
            (Some(lock), Some(statement)) if lock < statement => Some(WaitTimeout::Lock),
            (_, Some(_)) => Some(WaitTimeout::Statement),
            (Some(_), None) => Some(WaitTimeout::Lock),
            (None, None) => None,
        }
    }

    pub fn expire(&mut self, timeout: Option<WaitTimeout>) {
        self.expired = timeout;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_set_is_read() {
        for (sql, ahead, expected) in [
            ("SET lock_timeout = 200", "SET lock_timeout = ", 200),
            ("set local Lock_Timeout to '2s'", "set local Lock_Timeout to ", 2_000),
            (
                "SET SESSION statement_timeout='1 min';",
                "SET SESSION statement_timeout=",
                60_000,
            ),
            ("SET lock_timeout TO '0'", "SET lock_timeout TO ", 0),
        ] {
            assert_eq!(set_to_value(sql), Some((ahead.to_owned(), expected)), "{sql}");
        }
        for sql in [
            "SET lock_timeout = DEFAULT",
            "SET lock_timeout = '0.5s'",
            "SET lock_timeout = -1",
            "SET work_mem = '1MB'",
            "SHOW lock_timeout",
            "SET LOCAL deadlock_timeout = '1s'",
        ] {
            assert_eq!(set_to_value(sql), None, "{sql}");
        }
    }

    #[test]
    fn other_settings_are_told_from_timeouts_and_from_what_is_not_known() {
        for sql in [
            "SELECT set_config('app.user', '7', true)",
            "CREATE POLICY p ON t USING (owner = current_setting( 'app.user' , true)::int)",
            "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT current_setting(''app.user'')'",
            "SELECT current_setting('app.user'::text)",
        ] {
            assert!(!names_timeouts(sql), "{sql}");
        }
        for sql in [
            "SELECT set_config('Lock_Timeout', '7', true)",
            "SELECT current_setting(name) FROM t",
            "SELECT set_config('lock' || '_timeout', '7', true)",
            "SELECT set_config($1, '7', true)",
            "SELECT set_config('' || 'x', '7', true)",
            "SELECT \"set_config\"(name, '7', true) FROM t",
            "SELECT setting FROM pg_settings",
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql SET statement_timeout = '1s' AS ''",
        ] {
            assert!(names_timeouts(sql), "{sql}");
        }
    }

    #[test]
    fn timeouts_that_end_sessions_are_named() {
        let setup = "setup = \"CREATE TABLE t ()\"\n";
        let session = "[[session]]\nname = \"a\"\nsteps = [\"SET idle_session_timeout = '1s'\", \"SELECT 1\"]\n";
        let scenario =
            Scenario::from_toml("x", "x.toml", &format!("{setup}{session}"), std::path::Path::new(".")).unwrap();
        assert_eq!(
            not_explored(&scenario),
            ["that the server ends a session for its idle_session_timeout is not explored"]
        );
    }

    #[test]
    fn a_handler_is_told_from_an_error_that_is_raised() {
        assert!(may_catch(
            "BEGIN UPDATE t SET v = 1; EXCEPTION WHEN OTHERS THEN RAISE EXCEPTION 'x'; END"
        ));
        assert!(!may_catch("BEGIN RAISE EXCEPTION 'none'; END"));
    }

    #[test]
    fn values_are_printed_as_the_server_does() {
        for (millis_of, text) in [
            (0, "0"),
            (200, "200ms"),
            (2_000, "2s"),
            (90_000, "90s"),
            (3_600_000, "1h"),
        ] {
            assert_eq!(printed(millis_of), text);
            assert_eq!(millis(text), Some(millis_of));
        }
    }

    #[test]
    fn a_stand_in_stands_for_one_value() {
        let mut stand_ins = StandIns::default();
        let (one, other) = (stand_ins.stand_in("200ms"), stand_ins.stand_in("2s"));
        assert_eq!(stand_ins.value(&one), Some("200ms"));
        assert_eq!(stand_ins.value(&other), Some("2s"));
        assert_eq!(stand_ins.stand_in(&printed(200)), one);
        assert_eq!(stand_ins.stand_in("0"), "0");
        assert_eq!(stand_ins.value("200ms"), None);
        assert!(stand_ins.is_live("200ms") && !stand_ins.is_live(&one) && !stand_ins.is_live("0"));
        // printed as given, since it is not a whole number of seconds
        assert_eq!(one, "2000000001ms");
    }
}
