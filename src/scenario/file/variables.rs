//! Finds variables that nothing can have defined.

use std::collections::BTreeMap;

use crate::scenario::error::ScenarioError;
use crate::scenario::sql::classify::may_return_rows;
use crate::scenario::{Param, Step};

/// Checks one copy's variables, up to the first step that may return rows: from there on only the server knows the
/// names. `all` are the parameters of every copy.
pub(super) fn check(
    session: &str,
    steps: &[Step],
    params: &BTreeMap<String, Param>,
    all: &[BTreeMap<String, Param>],
) -> Result<(), ScenarioError> {
    for step in steps {
        let condition = step.when.as_ref().map(|when| (&when.sql, &when.template));
        for (sql, template) in condition.into_iter().chain([(&step.sql, &step.template)]) {
            let Some(unknown) = template
                .variables
                .iter()
                .find(|variable| !params.contains_key(&variable.name))
            else {
                continue;
            };
            let known: Vec<String> = params.keys().cloned().collect();
            let error = ScenarioError::unknown_variable(sql, unknown, &known);
            let elsewhere = all.iter().any(|params| params.contains_key(&unknown.name));
            return Err(if elsewhere {
                error.hint(format!(
                    "the parameters of `{session}` lack it, though another copy has it"
                ))
            } else {
                error
            });
        }
        if may_return_rows(&step.sql.text) {
            break;
        }
    }
    Ok(())
}
