//! Finds variables that nothing can define.

use std::collections::BTreeMap;

use super::Document;
use super::session::ParamPlaces;
use crate::scenario::error::{Mistake, ScenarioError};
use crate::scenario::{Param, Step};
use crate::sql::classify::may_return_rows;
use crate::suggest;

/// Checks one copy's variables, up to the first step that may return rows: from there on, only the server knows the
/// names. `all` are the parameters of every copy, `place` is where this copy's parameters are.
pub(super) fn check(
    document: &Document,
    session: &str,
    steps: &[Step],
    params: &BTreeMap<String, Param>,
    all: &[BTreeMap<String, Param>],
    place: &ParamPlaces,
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
            if !all.iter().any(|params| params.contains_key(&unknown.name)) {
                return Err(ScenarioError::unknown_variable(sql, unknown, &known));
            }
            let near = suggest::one_of(&unknown.name, known.iter().map(String::as_str));
            let (span, hint) = match near.and_then(|near| place.names.get(near)) {
                Some(span) => (span.clone(), format!("did you mean `{}` here?", unknown.name)),
                None => (place.table.clone(), format!("`{session}` needs `{}` too", unknown.name)),
            };
            let mistake = Mistake::MissingParam {
                session: session.to_owned(),
                name: unknown.name.clone(),
            };
            return Err(document
                .error(mistake, span, "of this copy")
                .at_sql(sql, unknown.range(), "used here")
                .hint(hint));
        }
        if may_return_rows(&step.sql.text) {
            break;
        }
    }
    Ok(())
}
