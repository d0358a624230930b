//! Steps of one session.

use std::ops::Range;

use toml::Spanned;

use super::raw::{RawStep, RawStepTable, Text};
use super::{Document, Names, no_numbered_parameter, one_statement};
use crate::scenario::error::{Mistake, ScenarioError};
use crate::scenario::source::SqlText;
use crate::scenario::unique::UniqueNames;
use crate::scenario::{Condition, Step};
use crate::sql::classify::{copies_to_client, first_word};
use crate::sql::commands::split;
use crate::sql::lexer::{Token, TokenKind, tokens};
use crate::sql::{Statement, Template};

pub(super) fn read(document: &Document, session: &str, raw: Vec<Spanned<RawStep>>) -> Result<Vec<Step>, ScenarioError> {
    let mut names = Names::new(document, "step");
    let mut written = Vec::new();
    for step in raw {
        let step = WrittenStep::new(step);
        if let Some(name) = &step.name {
            names.add(name.get_ref(), name.span(), "a step")?;
        }
        written.push(step);
    }
    let mut generated = UniqueNames::besides(names.taken.into_keys());

    let mut steps = Vec::new();
    for step in written {
        let sql = document.sql(&step.sql, step.span);
        let named = step.name.is_some();
        let name = step
            .name
            .map_or_else(|| generated.take(&generic_name(&sql.text)), Spanned::into_inner);
        let what = format!("step `{name}` of session `{session}`");
        check(&sql, &what)?;
        let when = step.when.map(|when| condition(document, &when, &what)).transpose()?;
        let (template, statement) = (Template::parse(&sql.text), Statement::classify(&sql.text));
        steps.push(Step {
            name,
            named,
            sql,
            template,
            statement,
            when,
        });
    }
    Ok(steps)
}

/// A step in either of the ways to write one.
struct WrittenStep {
    name: Option<Text>,
    sql: String,
    span: Range<usize>,
    when: Option<Text>,
}

impl WrittenStep {
    fn new(raw: Spanned<RawStep>) -> Self {
        let span = raw.span();
        match raw.into_inner() {
            RawStep::Sql(sql) => WrittenStep {
                name: None,
                sql,
                span,
                when: None,
            },
            RawStep::Table(RawStepTable { name, sql, when }) => WrittenStep {
                name,
                span: sql.span(),
                sql: sql.into_inner(),
                when,
            },
        }
    }
}

/// The statement's first word.
fn generic_name(sql: &str) -> String {
    first_word(sql).unwrap_or_else(|| "step".to_owned())
}

fn check(sql: &SqlText, what: &str) -> Result<(), ScenarioError> {
    one_statement(sql, what)?;
    for command in split(&sql.text) {
        if copies_to_client(&command) {
            return Err(ScenarioError::new(Mistake::CopiesToClient(what.to_owned()))
                .at_sql(sql, sql.first_line(), "here")
                .hint("use INSERT or SELECT"));
        }
        // the statement inside a PREPARE, or a function's body, has numbered parameters of its own
        if !command
            .first()
            .is_some_and(|token| token.is_one_of(&["PREPARE", "CREATE"]))
        {
            no_numbered_parameter(sql, what)?;
        }
    }
    Ok(())
}

fn condition(document: &Document, when: &Text, step: &str) -> Result<Condition, ScenarioError> {
    let what = format!("the condition of {step}");
    let sql = document.sql(when.get_ref(), when.span());
    one_statement(&sql, &what)?;
    no_numbered_parameter(&sql, &what)?;
    if let Some(token) = query(&sql.text) {
        return Err(ScenarioError::new(Mistake::QueryInCondition(what))
            .at_sql(&sql, token.offset..token.end(), "here")
            .hint("a condition sees the session's variables only; run the query in an earlier step"));
    }
    let template = Template::parse(&sql.text);
    Ok(Condition { sql, template })
}

/// The keyword that makes part of an expression a query.
fn query(expression: &str) -> Option<Token<'_>> {
    let significant: Vec<Token<'_>> = tokens(expression).filter(|token| !token.is_blank()).collect();
    let begins = |index: usize| index == 0 || significant[index - 1].kind == TokenKind::Open;
    let found = significant.iter().enumerate().find(|&(index, token)| {
        // elsewhere WITH is part of a type, `timestamp with time zone`
        token.is("SELECT") || (begins(index) && token.begins_query())
    });
    found.map(|(_, token)| *token)
}
