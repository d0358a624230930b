//! A mistake in a scenario, with its place in the file and a hint.

use std::ops::Range;

use thiserror::Error;

use crate::scenario::located::Located;
use crate::scenario::source::SqlText;
use crate::sql::lexer::tokens;
use crate::sql::{Placeholder, Template};
use crate::suggest::one_of;

/// A mistake in a scenario. As a [`Diagnostic`](miette::Diagnostic) it shows file, line, column, the offending line and a
/// hint.
pub type ScenarioError = Located<Mistake>;

/// What is wrong.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the text of each variant says what is wrong")]
pub enum Mistake {
    #[error("cannot read {path}: {cause}")]
    Unreadable { path: String, cause: std::io::Error },
    /// A mistake in a file of another format than TOML.
    #[error("{0}")]
    Format(String),
    #[error("there is no permutation {number}: the file names {named}")]
    UnknownPermutation { number: usize, named: usize },
    #[error("{0} names no permutations")]
    NoPermutations(String),
    #[error("this is not TOML: {0}")]
    Syntax(String),
    #[error("unknown key `{0}`")]
    UnknownKey(String),
    /// A missing key or a value of the wrong type.
    #[error("{0}")]
    Shape(String),
    #[error("unknown isolation level `{0}`")]
    UnknownIsolation(String),
    #[error("unknown deadlock policy `{0}`")]
    UnknownDeadlockPolicy(String),
    #[error("`prelude` is \"{0}\"")]
    UnknownPrelude(String),
    #[error("`setup` and `setup_file` are both given")]
    BothSetups,
    #[error("`{0}` is not a column")]
    BadIgnore(String),
    #[error("the scenario has no sessions")]
    NoSessions,
    #[error("session `{0}` has no steps")]
    NoSteps(String),
    #[error("session `{0}` has both steps and a program")]
    StepsAndCommand(String),
    #[error("session `{0}` runs no program")]
    NoCommand(String),
    #[error("`{0}` does not apply to a program")]
    NotOfPrograms(&'static str),
    #[error("{0} is no exit code")]
    BadExitCode(i64),
    #[error("`instances` is {0}")]
    BadInstances(i64),
    #[error("`connections` is {0}")]
    BadConnections(i64),
    #[error("`restart` is \"{0}\"")]
    UnknownRestart(String),
    #[error("there is no service `{0}`")]
    UnknownService(String),
    #[error("there is no instance {0}")]
    UnknownInstance(i64),
    /// A part of a request that HTTP does not allow.
    #[error("{0}")]
    BadRequest(String),
    #[error("{0} is no HTTP status")]
    BadStatus(i64),
    #[error("session `{0}` has both steps and a request, or both a command and a request")]
    RequestAndMore(String),
    #[error("session `{0}` sends no request")]
    NoRequest(String),
    #[error("unknown parameter `{{{0}}}`")]
    UnknownParameter(String),
    #[error("the name of {0} is blank or holds control characters")]
    BadName(&'static str),
    #[error("two {what}s have the name `{name}`")]
    DuplicateName { what: &'static str, name: String },
    #[error("`copies` is {0}")]
    BadCopies(i64),
    #[error("the scenario has {0} sessions")]
    TooManySessions(i64),
    #[error("the scenario has {0} steps")]
    TooManySteps(usize),
    #[error("`copies` is {copies}, but `params` has {params} entries")]
    ParamsMismatch { copies: i64, params: usize },
    #[error("parameter `{0}` cannot be used as a variable")]
    BadParamName(String),
    #[error("parameter `{name}` cannot be {what}")]
    BadParamValue { name: String, what: &'static str },
    #[error("`{0}` is not an SQLSTATE of an error")]
    BadSqlstate(String),
    #[error("`retry` names no errors")]
    EmptyRetry,
    #[error("`max` is {0}")]
    BadRetries(i64),
    #[error("{0} is empty")]
    Empty(String),
    #[error("{0} holds a NUL character")]
    Nul(String),
    #[error("{what} holds {count} statements")]
    SeveralStatements { what: String, count: usize },
    #[error("{0} has a numbered parameter")]
    NumberedParameter(String),
    #[error("{0} copies rows from or to the client")]
    CopiesToClient(String),
    #[error("{0} holds a query")]
    QueryInCondition(String),
    #[error("{0} uses a variable")]
    VariableInInvariant(String),
    #[error("unknown variable `:{0}`")]
    UnknownVariable(String),
    #[error("`{session}` has no parameter `{name}`, though another copy has it")]
    MissingParam { session: String, name: String },
    /// A variable was used whose step returned several rows.
    #[error(
        "session {session}: variable :{variable} has no single value, since step {source_step} returned {rows} rows"
    )]
    SeveralRows {
        session: String,
        variable: String,
        source_step: String,
        rows: usize,
    },
    #[error("session `{0}` leaves its transaction open")]
    OpenAtEnd(String),
    #[error("{0} begins a transaction inside a transaction")]
    NestedBegin(String),
    #[error("{0} ends a transaction, but none is open")]
    NoTransaction(String),
    #[error("{0} works only in a transaction")]
    NeedsTransaction(String),
    #[error("{0} cannot run in a transaction")]
    RefusedInTransaction(String),
    #[error("the server rejects {what}: {message} (SQLSTATE {sqlstate})")]
    RejectedSql {
        what: String,
        sqlstate: String,
        message: String,
    },
}

impl ScenarioError {
    /// A variable that nothing defines. `known` are the variables that exist.
    pub fn unknown_variable(sql: &SqlText, placeholder: &Placeholder, known: &[String]) -> ScenarioError {
        let sources = "variables are the session's `params` and the columns of its earlier steps' rows";
        let hint = match one_of(&placeholder.name, known.iter().map(String::as_str)) {
            Some(name) => format!("did you mean `:{name}`?"),
            None if known.is_empty() => format!("{sources}; there are none here"),
            None => {
                let known: Vec<String> = known.iter().map(|name| format!("`:{name}`")).collect();
                format!("{sources}; here: {}", known.join(", "))
            }
        };
        ScenarioError::new(Mistake::UnknownVariable(placeholder.name.clone()))
            .at_sql(sql, placeholder.range(), "not defined")
            .hint(hint)
    }

    /// A variable that was used in `sql` though its step returned several rows.
    pub(crate) fn several_rows(
        session: &str,
        variable: &str,
        source_step: &str,
        rows: usize,
        sql: &SqlText,
    ) -> ScenarioError {
        let template = Template::parse(&sql.text);
        let used = template.variables.iter().find(|used| used.name == variable);
        let range = used.map_or_else(|| sql.first_line(), Placeholder::range);
        ScenarioError::new(Mistake::SeveralRows {
            session: session.to_owned(),
            variable: variable.to_owned(),
            source_step: source_step.to_owned(),
            rows,
        })
        .at_sql(sql, range, "used here")
        .hint("give the variable to a step that returns one row, or aggregate the rows")
    }

    /// SQL that the server does not accept. `position` is the server's, mapped back by
    /// [`Template::original_position`](crate::sql::Template::original_position): characters of `sql`, from 1. `what`
    /// names the SQL in a sentence, as "step `read`" does.
    pub fn rejected_sql(
        sql: &SqlText,
        position: Option<u32>,
        sqlstate: &str,
        message: &str,
        hint: Option<&str>,
        what: &str,
    ) -> ScenarioError {
        let (sqlstate, message) = (sqlstate.to_owned(), message.to_owned());
        let range = match position {
            Some(position) => token_at(&sql.text, position),
            None => sql.first_line(),
        };
        let error = ScenarioError::new(Mistake::RejectedSql {
            what: what.to_owned(),
            sqlstate,
            message,
        });
        let error = error.at_sql(sql, range, "here");
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// The byte range of the token at a character, counted from 1; the end where there is none.
pub(crate) fn token_at(sql: &str, position: u32) -> Range<usize> {
    let index = position.saturating_sub(1) as usize;
    let offset = sql.char_indices().nth(index).map_or(sql.len(), |(offset, _)| offset);
    match tokens(sql).find(|token| token.end() > offset) {
        Some(token) => token.offset..token.offset + token.text.lines().next().map_or(0, str::len),
        None => sql.len()..sql.len(),
    }
}
