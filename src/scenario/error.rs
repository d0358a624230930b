//! A mistake in a scenario, with its place in the file and a hint.

use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, SourceCode};
use thiserror::Error;

use crate::isolation::SpecificationError;
use crate::scenario::file::suggest::one_of;
use crate::scenario::source::{Source, SqlText};
use crate::scenario::sql::Placeholder;
use crate::scenario::sql::lexer::tokens;

/// A mistake in a scenario. As a [`Diagnostic`] it shows file, line, column, the offending line and a hint.
#[derive(Debug, Error)]
#[error("{mistake}")]
pub struct ScenarioError {
    pub mistake: Box<Mistake>,
    place: Option<Box<Place>>,
    hint: Option<String>,
}

/// What is wrong.
#[derive(Debug, Error)]
pub enum Mistake {
    #[error("cannot read {path}: {cause}")]
    Unreadable { path: String, cause: std::io::Error },
    #[error("{0}")]
    Specification(crate::isolation::Mistake),
    #[error("there is no permutation {number}: the file names {named}")]
    UnknownPermutation { number: usize, named: usize },
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
    #[error("`setup` and `setup_file` are both given")]
    BothSetups,
    #[error("`{0}` is not a column")]
    BadIgnore(String),
    #[error("the scenario has no sessions")]
    NoSessions,
    #[error("session `{0}` has no steps")]
    NoSteps(String),
    #[error("the name of {0} is blank or holds control characters")]
    BadName(&'static str),
    #[error("two {what}s have the name `{name}`")]
    DuplicateName { what: &'static str, name: String },
    #[error("`copies` is {0}")]
    BadCopies(i64),
    #[error("the scenario has {0} sessions")]
    TooManySessions(i64),
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

/// Where a mistake is: the first label is the mistake's own, others explain it.
#[derive(Debug)]
struct Place {
    source: Arc<Source>,
    labels: Vec<(Range<usize>, String)>,
}

impl ScenarioError {
    /// A variable that nothing defines. `known` are the variables that there are.
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
        let range = placeholder.offset..placeholder.offset + 1 + placeholder.name.len();
        ScenarioError::new(Mistake::UnknownVariable(placeholder.name.clone()))
            .at_sql(sql, range, "not defined")
            .hint(hint)
    }

    /// SQL that the server does not take. `position` is the server's, mapped back by
    /// [`Template::original_position`](crate::scenario::sql::Template::original_position): characters of `sql`, from 1.
    /// `what` names the SQL in a sentence, as "step `read`" does.
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

    pub(crate) fn new(mistake: Mistake) -> ScenarioError {
        ScenarioError {
            mistake: Box::new(mistake),
            place: None,
            hint: None,
        }
    }

    /// Adds a label; all labels of an error are in one source.
    pub(crate) fn at(mut self, source: &Arc<Source>, span: Range<usize>, label: impl Into<String>) -> ScenarioError {
        let span = visible(&source.text, span);
        let place = self.place.get_or_insert_with(|| {
            Box::new(Place {
                source: source.clone(),
                labels: Vec::new(),
            })
        });
        place.labels.push((span, label.into()));
        self
    }

    /// Adds a label on a range of the SQL's bytes.
    pub(crate) fn at_sql(self, sql: &SqlText, range: Range<usize>, label: impl Into<String>) -> ScenarioError {
        let (source, span) = sql.locate(range);
        self.at(&source, span, label)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> ScenarioError {
        self.hint = Some(hint.into());
        self
    }
}

impl From<SpecificationError> for ScenarioError {
    fn from(error: SpecificationError) -> ScenarioError {
        let hint = error.mistake.help();
        let place = error.place.map(|(source, span)| {
            let labels = vec![(visible(&source.text, span), "here".to_owned())];
            Box::new(Place { source, labels })
        });
        ScenarioError {
            mistake: Box::new(Mistake::Specification(error.mistake)),
            place,
            hint: hint.map(str::to_owned),
        }
    }
}

impl Diagnostic for ScenarioError {
    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|place| &*place.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.place.as_ref()?;
        Some(Box::new(place.labels.iter().enumerate().map(
            |(index, (range, label))| {
                let (label, span) = (Some(label.clone()), range.clone());
                if index == 0 {
                    LabeledSpan::new_primary_with_span(label, span)
                } else {
                    LabeledSpan::new_with_span(label, span)
                }
            },
        )))
    }
}

/// A label on the end of a file is drawn nowhere; the last character that can be seen takes it.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    let seen = text.trim_end();
    match seen.char_indices().next_back() {
        Some((last, _)) if span.start >= seen.len() => last..seen.len(),
        _ => span,
    }
}

/// The bytes of the token that holds a character, counted from 1; the end where there is none.
fn token_at(sql: &str, position: u32) -> Range<usize> {
    let index = position.saturating_sub(1) as usize;
    let offset = sql.char_indices().nth(index).map_or(sql.len(), |(offset, _)| offset);
    match tokens(sql).find(|token| token.end() > offset) {
        Some(token) => token.offset..token.offset + token.text.lines().next().map_or(0, str::len),
        None => sql.len()..sql.len(),
    }
}
