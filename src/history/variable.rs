//! Values carried from one statement to the next.

use std::collections::BTreeMap;

use crate::postgres::quote_literal;
use crate::postgres::type_oid::{BOOL, FLOAT4, FLOAT8, INT2, INT4, INT8, NUMERIC, OID, RECORD, UNKNOWN, VOID};
use crate::postgres::wire::Value;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// One value.
    Single {
        /// The value as it is bound.
        value: Value,
        /// The text for reading, which is the same in every run of the same schedule.
        shown: Option<String>,
    },
    /// The step returned several rows, so there is no single value.
    Several {
        /// The step by its name.
        step: String,
        /// How many it returned.
        rows: usize,
    },
}

/// A session's variables by name. A missing one is NULL: its step was skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, Variable>);

impl FromIterator<(String, Variable)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, Variable)>>(variables: I) -> Variables {
        Variables(variables.into_iter().collect())
    }
}

impl Variables {
    /// Sets one column's value. Types that cannot be sent back as they are (an anonymous record, say) are sent
    /// untyped, as a quoted literal is.
    pub fn set(&mut self, name: &str, type_oid: u32, text: Option<String>, shown: Option<String>) {
        let type_oid = if matches!(type_oid, UNKNOWN | RECORD | VOID) {
            0
        } else {
            type_oid
        };
        self.0.insert(
            name.to_owned(),
            Variable::Single {
                value: Value { type_oid, text },
                shown,
            },
        );
    }

    /// Notes that a step returned several rows, so that a name has no single value.
    pub fn set_several(&mut self, name: &str, step: &str, rows: usize) {
        self.0.insert(
            name.to_owned(),
            Variable::Several {
                step: step.to_owned(),
                rows,
            },
        );
    }

    /// What a name stands for; `None` where no step has set it.
    pub fn get(&self, name: &str) -> Option<&Variable> {
        self.0.get(name)
    }

    /// How a variable is written in a statement for reading: as a literal.
    pub fn literal(&self, name: &str) -> String {
        match self.0.get(name) {
            Some(Variable::Single {
                value,
                shown: Some(text),
            }) => match value.type_oid {
                INT2 | INT4 | INT8 | OID | FLOAT4 | FLOAT8 | NUMERIC => text.clone(),
                BOOL => if text == "t" || text == "true" { "true" } else { "false" }.to_owned(),
                _ => quote_literal(text),
            },
            Some(Variable::Several { .. }) => format!(":{name}"),
            Some(Variable::Single { shown: None, .. }) | None => "NULL".to_owned(),
        }
    }

    /// A variable's value as text, unless it is shown masked.
    pub fn plain_value(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Variable::Single { value, shown } if value.text == *shown => shown.clone(),
            _ => None,
        }
    }

    /// Types by name; 0 where the server infers it.
    pub fn types(&self) -> BTreeMap<String, u32> {
        self.0
            .iter()
            .filter_map(|(name, variable)| match variable {
                Variable::Single { value, .. } => Some((name.clone(), value.type_oid)),
                Variable::Several { .. } => None,
            })
            .collect()
    }

    /// Names and texts for reading.
    pub fn shown(&self) -> Vec<(String, Option<String>)> {
        self.0
            .iter()
            .filter_map(|(name, variable)| match variable {
                Variable::Single { shown, .. } => Some((name.clone(), shown.clone())),
                Variable::Several { .. } => None,
            })
            .collect()
    }

    /// As a JSON object: integers and booleans as such, everything else as the server prints it.
    pub fn to_json(&self) -> serde_json::Value {
        let json = |value: &Value| match (&value.text, value.type_oid) {
            (None, _) => serde_json::Value::Null,
            (Some(text), INT2 | INT4 | INT8) => text.parse::<i64>().map_or_else(|_| text.clone().into(), Into::into),
            (Some(text), BOOL) => (text == "t" || text == "true").into(),
            (Some(text), _) => text.clone().into(),
        };
        self.0
            .iter()
            .filter_map(|(name, variable)| match variable {
                Variable::Single { value, .. } => Some((name.clone(), json(value))),
                Variable::Several { .. } => None,
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}
