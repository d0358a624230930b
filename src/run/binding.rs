//! A session's parameters as its first variables, and variables as the values of a statement.

use std::collections::BTreeMap;

use super::RunError;
use crate::history::{Variable, Variables};
use crate::postgres::type_oid::{BOOL, INT4, INT8, NUMERIC};
use crate::postgres::wire::Value;
use crate::scenario::Param;
use crate::scenario::source::SqlText;
use crate::sql::Template;

pub fn from_params(params: &BTreeMap<String, Param>) -> Variables {
    params
        .iter()
        .map(|(name, param)| (name.clone(), from_param(param)))
        .collect()
}

/// The values for a template's `$1`, `$2`, …
///
/// # Errors
/// When one of them has no single value.
pub fn bind(variables: &Variables, session: &str, template: &Template, sql: &SqlText) -> Result<Vec<Value>, RunError> {
    template
        .variables
        .iter()
        .map(|placeholder| match variables.get(&placeholder.name) {
            Some(Variable::Single { value, .. }) => Ok(value.clone()),
            None => Ok(Value {
                type_oid: 0,
                text: None,
            }),
            Some(Variable::Several { step, rows }) => Err(RunError::SeveralRows {
                session: session.to_owned(),
                variable: placeholder.name.clone(),
                source_step: step.clone(),
                rows: *rows,
                used_in: Box::new(sql.clone()),
            }),
        })
        .collect()
}

/// A parameter has the type that the same literal has in SQL.
fn from_param(param: &Param) -> Variable {
    let (type_oid, text) = match param {
        Param::Text(text) => (0, text.clone()),
        Param::Integer(number) if i32::try_from(*number).is_ok() => (INT4, number.to_string()),
        Param::Integer(number) => (INT8, number.to_string()),
        Param::Numeric(text) => (NUMERIC, text.clone()),
        Param::Boolean(value) => (BOOL, value.to_string()),
    };
    Variable::Single {
        value: Value {
            type_oid,
            text: Some(text.clone()),
        },
        shown: Some(text),
    }
}
