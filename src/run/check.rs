//! Checks a scenario against the server before any schedule runs, so that a mistake is shown in its place in the file
//! and not as a failing schedule.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use super::RunError;
use super::binding::from_params;
use super::condition::PREFIX;
use super::reach::{self, Reaching};
use crate::conflict::{self, Footprint, Program, StatementKnown, StepFacts};
use crate::history::Volatile;
use crate::postgres::baseline::Baseline;
use crate::postgres::catalog::{Analysis, Catalog};
use crate::postgres::wire::{Column, Connection, Reply, ServerError, Value};
use crate::postgres::{PostgresError, Server, expect, prepared};
use crate::scenario::error::token_at;
use crate::scenario::source::SqlText;
use crate::scenario::{Condition, Invariant, Scenario, ScenarioError, Session, Step};
use crate::sql::commands::split;
use crate::sql::lexer::{TokenKind, tokens};
use crate::sql::{StatementKind, Template};

const SYNTAX_ERROR: &str = "42601";

/// A table, column, function, schema or type that does not exist. A program may create it.
const UNKNOWN_NAMES: [&str; 5] = ["42P01", "42703", "42883", "3F000", "42704"];
const UNDEFINED_COLUMN: &str = "42703";
const INDETERMINATE_TYPE: &str = "42P18";
const NOT_SUPPORTED: &str = "0A000";
const BOOLEAN: u32 = 16;

/// How often a slow command of the setup is checked for waiting.
const LOOK_AT_SETUP: Duration = Duration::from_secs(1);

/// Runs the scenario's setup, one command after the other, so that it may contain VACUUM and the like.
///
/// # Errors
/// When the server rejects it, and when it leaves a prepared transaction behind: that would keep its locks in every
/// run.
pub async fn run_setup(control: &mut Connection, server: &Server, scenario: &Scenario) -> Result<(), RunError> {
    let Some(setup) = &scenario.setup else { return Ok(()) };
    reach::refuse_commands(setup, "the setup", server.is_given())?;
    let text = without_psql_lines(&setup.text);
    let mut prepared = None;
    for command in split(&text) {
        let (Some(first), Some(last)) = (command.first(), command.last()) else {
            continue;
        };
        let sql = &text[first.offset..last.offset + last.text.len()];
        let ahead = u32::try_from(text[..first.offset].chars().count()).unwrap_or(u32::MAX);
        let Some(reply) = run_command(control, server, sql).await? else {
            let waits = "it waits for a prepared transaction, which nobody ends";
            return Err(refuse_prepared(setup, Some(ahead.saturating_add(1)), waits).into());
        };
        if let Some(error) = &reply.error {
            if is_of_the_server(&error.sqlstate) {
                let error = error.clone();
                return Err(PostgresError::Query {
                    doing: "running the setup",
                    error,
                }
                .into());
            }
            let position = error.position.unwrap_or(1);
            return Err(rejected(setup, Some(ahead.saturating_add(position)), error, "the setup").into());
        }
        if let [prepare, transaction, ..] = command.as_slice()
            && prepare.is("PREPARE")
            && transaction.is("TRANSACTION")
        {
            prepared = Some(ahead.saturating_add(1));
        }
    }
    // a setup that ends inside a transaction would leave nothing behind
    control.simple("COMMIT").await.map_err(PostgresError::from)?;
    if let Some(name) = prepared::find(control).await?.first() {
        let leaves = format!("it leaves the prepared transaction {name} behind");
        return Err(refuse_prepared(setup, prepared, &leaves).into());
    }
    // what it has set (search_path, say) is not set in the sessions
    control.simple("DISCARD ALL").await.map_err(PostgresError::from)?;
    Ok(())
}

/// Runs a command of the setup; `None` if it waits for a prepared transaction, since there is no other session to wait
/// for.
async fn run_command(control: &mut Connection, server: &Server, sql: &str) -> Result<Option<Reply>, RunError> {
    let pid = Value::text(control.backend_pid().to_string());
    let mut running = pin!(control.simple(sql));
    let mut looking = None;
    loop {
        if let Ok(reply) = timeout(LOOK_AT_SETUP, &mut running).await {
            return Ok(Some(reply.map_err(PostgresError::from)?));
        }
        let connection = match &mut looking {
            Some(connection) => connection,
            None => looking.insert(server.maintenance().await?),
        };
        // prepared transactions have no process
        let sql = "SELECT 0 = ANY (pg_blocking_pids($1::integer))";
        let doing = "looking whom the setup waits for";
        let reply = connection.query(sql, std::slice::from_ref(&pid)).await;
        let found = expect(reply.map_err(PostgresError::from)?, doing)?;
        if found.scalar() == Some("t") {
            return Ok(None);
        }
    }
}

/// Whether an error tells of the server's state and not of the statement: it lacks resources, an operator intervened, or the
/// system or the server itself failed (classes 53, 57, 58 and XX; appendix A of PostgreSQL's manual).
fn is_of_the_server(sqlstate: &str) -> bool {
    ["53", "57", "58", "XX"].iter().any(|class| sqlstate.starts_with(class))
}

fn refuse_prepared(setup: &SqlText, position: Option<u32>, message: &str) -> ScenarioError {
    let hint = "end it in the setup, with COMMIT PREPARED or ROLLBACK PREPARED: its locks would be held in every run";
    ScenarioError::rejected_sql(setup, position, NOT_SUPPORTED, message, Some(hint), "the setup")
}

/// Blanks the lines `\restrict` and `\unrestrict`, which pg_dump writes for psql. Every other byte keeps its place.
fn without_psql_lines(setup: &str) -> String {
    let is_for_psql = |line: &str| line.starts_with("\\restrict ") || line.starts_with("\\unrestrict ");
    let blank = |line: &str| {
        line.chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect::<String>()
    };
    setup
        .split_inclusive('\n')
        .map(|line| {
            if is_for_psql(line) {
                blank(line)
            } else {
                line.to_owned()
            }
        })
        .collect()
}

/// Has the server parse every statement, condition and invariant, and returns what each step may touch. If steps change
/// the schema, only syntax errors count (names may come and go), and nothing is known of what steps touch; the same
/// holds if functions may change what statements mean. On a server that pgbraid did not start, statements that reach
/// beyond their database are refused.
pub async fn check_statements(
    control: &mut Connection,
    server: &Server,
    scenario: &Scenario,
    schema_changes: bool,
) -> Result<(Program, Catalog), RunError> {
    let quiet = server.deadlock_control;
    let reaching = match server.is_given() {
        true => Reaching::find(control).await?,
        false => Reaching::default(),
    };
    let mut catalog = Catalog::read(control).await?;
    catalog.try_constants(control, quiet).await?;
    let nothing_known = schema_changes || catalog.changing_routines;
    let mut checker = Checker {
        control,
        schema_changes,
        catalog,
        quiet,
        given: server.is_given(),
        reaching,
        watchers: Vec::new(),
    };
    let mut checked: Vec<(&Session, Vec<StepFacts>)> = Vec::new();
    let mut facts = Vec::with_capacity(scenario.sessions.len());
    for session in &scenario.sessions {
        // copies with the same parameters have the same statements
        let known = checked
            .iter()
            .find(|(other, _)| other.entry == session.entry && other.params == session.params);
        let steps = match known {
            Some((_, steps)) => steps.clone(),
            None => {
                let steps = checker.session(session).await?;
                checked.push((session, steps.clone()));
                steps
            }
        };
        facts.push(steps);
    }
    let made_by_programs = match scenario.has_programs() {
        true => UNKNOWN_NAMES.map(str::to_owned).to_vec(),
        false => Vec::new(),
    };
    for invariant in &scenario.invariants {
        let what = invariant_named(&invariant.name);
        reach::refuse_commands(&invariant.sql, &what, server.is_given())?;
        checker.watch(&invariant.sql, &invariant.sql.text, &[], &what).await?;
        let described = checker
            .control
            .describe(&invariant.sql.text, &[])
            .await
            .map_err(PostgresError::from)?;
        let columns = checker.columns(
            &invariant.sql,
            described,
            &made_by_programs,
            &BTreeMap::new(),
            &what,
            |position| position,
        )?;
        let Some(columns) = columns else { continue };
        if !columns
            .values()
            .any(|(place, column)| *place == 0 && column.type_oid == BOOLEAN)
        {
            let error = ServerError {
                sqlstate: "42804".into(),
                message: "its first column is not a boolean".into(),
                hint: Some("an invariant returns one row whose first column is true; further columns are shown".into()),
                ..ServerError::default()
            };
            return Err(rejected(&invariant.sql, None, &error, &what).into());
        }
    }
    let catalog = checker.catalog.clone();
    let program = match nothing_known {
        true => Program::unknown(scenario, !checker.catalog.changing_routines),
        false => Program::new(scenario, facts, checker.watchers, checker.catalog),
    };
    Ok((program, catalog))
}

/// Finds the columns that the scenario ignores.
pub async fn ignore_columns(
    control: &mut Connection,
    scenario: &Scenario,
    baseline: &Baseline,
    volatile: &mut Volatile,
) -> Result<(), RunError> {
    for ignored in &scenario.ignore {
        let table = baseline
            .tables
            .iter()
            .find(|table| table.display_name() == ignored.table);
        let attribute = match table {
            Some(table) => {
                let sql = "SELECT attnum FROM pg_catalog.pg_attribute
                           WHERE attrelid = $1::oid AND attname = $2 AND attnum > 0 AND NOT attisdropped";
                let values = [Value::text(table.oid.to_string()), Value::text(ignored.column.clone())];
                let reply = control.query(sql, &values).await.map_err(PostgresError::from)?;
                let found = reply.into_result().map_err(|error| PostgresError::Query {
                    doing: "looking for an ignored column",
                    error,
                })?;
                found
                    .scalar()
                    .and_then(|text| text.parse::<i16>().ok())
                    .map(|attribute| (table.oid, attribute))
            }
            None => None,
        };
        match attribute {
            Some((table, attribute)) => volatile.ignore(table, attribute),
            None => {
                return Err(RunError::NothingToIgnore {
                    table: ignored.table.clone(),
                    column: ignored.column.clone(),
                    tables: baseline.tables.iter().map(|table| table.display_name()).collect(),
                });
            }
        }
    }
    Ok(())
}

struct Checker<'a> {
    control: &'a mut Connection,
    schema_changes: bool,
    catalog: Catalog,
    /// Parse trees are kept out of the server's log.
    quiet: bool,
    given: bool,
    reaching: Reaching,
    /// What is known of conditions and invariants.
    watchers: Vec<StatementKnown>,
}

/// A statement's columns with their positions, by name.
type Columns = BTreeMap<String, (usize, Column)>;

impl Checker<'_> {
    /// Checks a session's steps, and returns what is known of each.
    async fn session(&mut self, session: &Session) -> Result<Vec<StepFacts>, RunError> {
        let mut facts = Vec::with_capacity(session.steps.len());
        let mut types: BTreeMap<String, u32> = from_params(&session.params).types();
        // variables that may have another type, or none, because a step is skipped
        let mut other_types: BTreeMap<String, u32> = BTreeMap::new();
        // whether every column of the steps so far is known
        let mut complete = true;
        for step in session.steps.iter() {
            let mut needs = BTreeSet::new();
            if let Some(condition) = &step.when {
                self.refuse_changing_functions(&condition.sql, &step.name).await?;
                self.known(&condition.sql, &condition.template, &types, complete)?;
                let sql = format!("{PREFIX}{}\n), false)::boolean", condition.template.text);
                let what = format!("the condition of step `{}`", step.name);
                let shift = |position: u32| {
                    condition
                        .template
                        .original_position(position.saturating_sub(PREFIX.chars().count() as u32).max(1))
                };
                let described = self.describe(&sql, &condition.template, &types).await?;
                self.columns(&condition.sql, described, &session.allow_errors, &types, &what, shift)?;
                needs = self.variables_only(condition, &types, &what).await?;
            }
            self.known(&step.sql, &step.template, &types, complete)?;
            reach::refuse_commands(&step.sql, &format!("step `{}`", step.name), self.given)?;
            let mut known = self.know(step, &types).await?;
            if step
                .template
                .variables
                .iter()
                .any(|variable| other_types.contains_key(&variable.name))
            {
                let mut types = types.clone();
                types.extend(other_types.clone());
                // another type may select another function
                if self.know(step, &types).await? != known {
                    known = StatementKnown::nothing();
                }
            }
            let StatementKnown { footprint, meaning } = known;
            let columns = self.step(session, step, &types).await?;
            facts.push(StepFacts {
                footprint,
                meaning,
                columns: columns.as_ref().map(origins),
                needs,
            });
            match columns {
                Some(columns) => {
                    for (name, (_, column)) in columns {
                        let before = types.insert(name.clone(), column.type_oid);
                        if step.when.is_none() {
                            other_types.remove(&name);
                        } else if before != Some(column.type_oid) {
                            other_types.insert(name, before.unwrap_or_default());
                        }
                    }
                }
                None => complete = false,
            }
        }
        let changes_meaning = |step: &Step| conflict::changes_meaning(&step.sql.text, step.statement.kind);
        if session.steps.iter().any(changes_meaning) {
            for step in &mut facts {
                step.footprint = Footprint::unknown();
            }
        }
        Ok(facts)
    }

    /// Refuses a condition that reads a table, since it would depend on when it is evaluated. Returns the variables
    /// that it needs to be true.
    async fn variables_only(
        &mut self,
        condition: &Condition,
        types: &BTreeMap<String, u32>,
        what: &str,
    ) -> Result<BTreeSet<String>, RunError> {
        let types = bound_types(&condition.template, types);
        // the line break ends a comment at its end
        let sql = format!("SELECT (\n{}\n)", condition.template.text);
        let analysis = self.analyse(&sql, &types).await?;
        let queries = match &analysis {
            Some(analysis) if !analysis.relations.is_empty() => None,
            Some(analysis) => Some(analysis.queries.as_slice()),
            None => Some([].as_slice()),
        };
        if let Some(queries) = queries {
            let name = |number: usize| condition.template.variables.get(number.checked_sub(1)?);
            let needed = conflict::parameters_needed(queries).into_iter().filter_map(name);
            let needed = needed.map(|variable| variable.name.clone()).collect();
            self.watch(&condition.sql, &sql, &types, what).await?;
            return Ok(needed);
        }
        let error = ServerError {
            sqlstate: "0A000".into(),
            message: "it looks at a table".into(),
            hint: Some("a condition is about the session's variables; read the value in an earlier step".into()),
            ..ServerError::default()
        };
        Err(rejected(&condition.sql, None, &error, what).into())
    }

    async fn analyse(&mut self, sql: &str, types: &[u32]) -> Result<Option<Analysis>, RunError> {
        Ok(self.catalog.analyse(self.control, sql, types, self.quiet).await?)
    }

    /// Records what is known of a query that runs outside the sessions.
    async fn watch(&mut self, written: &SqlText, sql: &str, types: &[u32], what: &str) -> Result<(), RunError> {
        let analysis = self.analyse(sql, types).await?;
        self.reaching
            .refuse_calls(written, analysis.as_ref(), &self.catalog, what)?;
        let mut known = conflict::know(sql, analysis.as_ref(), &self.catalog);
        // the variables are texts there
        let sessions = analysis
            .iter()
            .flat_map(|analysis| &analysis.relations)
            .any(|(table, _)| {
                let name = self.catalog.tables.get(table);
                name.is_some_and(|(schema, name)| schema == "pgbraid" && name == "sessions")
            });
        if sessions {
            known.meaning.compares_variables();
        }
        self.watchers.push(known);
        Ok(())
    }

    async fn know(&mut self, step: &Step, types: &BTreeMap<String, u32>) -> Result<StatementKnown, RunError> {
        let analysis = match step.statement.kind {
            StatementKind::Plain => {
                let types = bound_types(&step.template, types);
                self.analyse(&step.template.text, &types).await?
            }
            StatementKind::OutsideBlock | StatementKind::PrepareTransaction => None,
            _ => {
                return Ok(StatementKnown {
                    footprint: Footprint::default(),
                    meaning: conflict::Meaning::default(),
                });
            }
        };
        let what = format!("step `{}`", step.name);
        self.reaching
            .refuse_calls(&step.sql, analysis.as_ref(), &self.catalog, &what)?;
        Ok(conflict::know(&step.template.text, analysis.as_ref(), &self.catalog))
    }

    async fn step(
        &mut self,
        session: &Session,
        step: &Step,
        types: &BTreeMap<String, u32>,
    ) -> Result<Option<Columns>, RunError> {
        if !matches!(
            step.statement.kind,
            StatementKind::Plain | StatementKind::Setting | StatementKind::OutsideBlock
        ) {
            let described = self.describe(&step.template.text, &step.template, types).await?;
            let what = format!("step `{}`", step.name);
            self.columns(&step.sql, described, &session.allow_errors, types, &what, |position| {
                position
            })?;
            return Ok(Some(Columns::new()));
        }
        let described = self.describe(&step.template.text, &step.template, types).await?;
        let what = format!("step `{}` of session `{}`", step.name, session.name);
        self.columns(&step.sql, described, &session.allow_errors, types, &what, |position| {
            step.template.original_position(position)
        })
    }

    /// A condition's answer must depend on the session's variables alone, so it may call no function that reads
    /// anything else.
    async fn refuse_changing_functions(&mut self, sql: &SqlText, step: &str) -> Result<(), RunError> {
        let words: Vec<_> = tokens(&sql.text).filter(|token| !token.is_blank()).collect();
        let called = words.windows(2).filter(|pair| pair[1].text == "(").map(|pair| &pair[0]);
        for name in called.filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::QuotedName)) {
            let folded = match name.kind {
                TokenKind::Word => name.text.to_lowercase(),
                _ => name.text.trim_matches('"').to_owned(),
            };
            let query = "SELECT EXISTS (SELECT FROM pg_catalog.pg_proc WHERE proname = $1 AND provolatile <> 'i')";
            let reply = self
                .control
                .query(query, &[Value::text(folded.clone())])
                .await
                .map_err(PostgresError::from)?;
            let found = reply.into_result().map_err(|error| PostgresError::Query {
                doing: "asking for a function",
                error,
            })?;
            if found.scalar() == Some("t") {
                let position = sql.text[..name.offset].chars().count() as u32 + 1;
                return Err(ScenarioError::rejected_sql(
                    sql,
                    Some(position),
                    "42P17",
                    &format!("{folded} is not an IMMUTABLE function"),
                    Some("a condition sees the session's variables only: call the function in a step, and use its result"),
                    &format!("the condition of step `{step}`"),
                )
                .into());
            }
        }
        Ok(())
    }

    async fn describe(
        &mut self,
        sql: &str,
        template: &Template,
        types: &BTreeMap<String, u32>,
    ) -> Result<Reply, RunError> {
        let types = bound_types(template, types);
        Ok(self.control.describe(sql, &types).await.map_err(PostgresError::from)?)
    }

    /// Rejects a variable that no earlier step can have set.
    fn known(
        &self,
        sql: &SqlText,
        template: &Template,
        types: &BTreeMap<String, u32>,
        complete: bool,
    ) -> Result<(), ScenarioError> {
        match template
            .variables
            .iter()
            .find(|variable| !types.contains_key(&variable.name))
        {
            Some(unknown) if complete => {
                let known: Vec<String> = types.keys().cloned().collect();
                Err(ScenarioError::unknown_variable(sql, unknown, &known))
            }
            _ => Ok(()),
        }
    }

    /// The columns that the server described, or its error if that is a mistake of the scenario; `None` if the
    /// statement can be judged only when it runs.
    fn columns(
        &self,
        sql: &SqlText,
        described: Reply,
        allowed: &[String],
        variables: &BTreeMap<String, u32>,
        what: &str,
        original: impl Fn(u32) -> u32,
    ) -> Result<Option<Columns>, RunError> {
        if let Some(error) = &described.error {
            let certain = match error.sqlstate.as_str() {
                SYNTAX_ERROR => true,
                INDETERMINATE_TYPE => false,
                _ => !self.schema_changes,
            };
            return match certain && !allowed.contains(&error.sqlstate) {
                true => {
                    let position = error.position.map(original);
                    let hinted = with_variable_hint(error, sql, position, variables);
                    Err(rejected(sql, position, &hinted, what).into())
                }
                false => Ok(None),
            };
        }
        let columns = described
            .into_result()
            .ok()
            .and_then(|result| result.columns)
            .unwrap_or_default();
        let columns = columns
            .into_iter()
            .enumerate()
            .map(|(place, column)| (column.name.clone(), (place, column)));
        Ok(Some(columns.collect()))
    }
}

/// Where the columns come from.
fn origins(columns: &Columns) -> BTreeMap<String, (u32, i16)> {
    let origin = |column: &Column| (column.table_oid, column.attribute);
    columns
        .iter()
        .map(|(name, (_, column))| (name.clone(), origin(column)))
        .collect()
}

fn bound_types(template: &Template, types: &BTreeMap<String, u32>) -> Vec<u32> {
    template
        .variables
        .iter()
        .map(|variable| types.get(&variable.name).copied().unwrap_or(0))
        .collect()
}

/// A hint for a variable that was written without its colon, and so was read as a column.
fn with_variable_hint(
    error: &ServerError,
    sql: &SqlText,
    position: Option<u32>,
    variables: &BTreeMap<String, u32>,
) -> ServerError {
    let mut error = error.clone();
    let named = position.and_then(|position| sql.text.get(token_at(&sql.text, position)));
    if let Some(name) = named
        && error.sqlstate == UNDEFINED_COLUMN
        && error.hint.is_none()
        && let Some(variable) = variables.keys().find(|variable| variable.eq_ignore_ascii_case(name))
    {
        error.hint = Some(format!("did you mean `:{variable}`?"));
    }
    error
}

fn invariant_named(name: &str) -> String {
    format!("invariant `{name}`")
}

/// Refuses an invariant that names what nothing has created.
///
/// # Errors
/// When `error` says so.
pub fn refuse_unknown_name(invariant: &Invariant, error: &ServerError) -> Result<(), RunError> {
    match UNKNOWN_NAMES.contains(&error.sqlstate.as_str()) {
        true => {
            let what = invariant_named(&invariant.name);
            Err(rejected(&invariant.sql, error.position, error, &what).into())
        }
        false => Ok(()),
    }
}

fn rejected(sql: &SqlText, position: Option<u32>, error: &ServerError, what: &str) -> ScenarioError {
    ScenarioError::rejected_sql(
        sql,
        position,
        &error.sqlstate,
        &error.message,
        error.hint.as_deref(),
        what,
    )
}
