//! What a session of a script knows at each of its steps.

use std::collections::BTreeMap;

use super::lines::Lines;
use super::rows::{Cell, Row};
use crate::postgres::type_oid::{RECORD, UNKNOWN, VOID};
use crate::postgres::wire::Value;
use crate::scenario::Param;

/// A script's variables at some point.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub variables: BTreeMap<String, Meaning>,
    /// What variables meant before later steps set them anew.
    pub hidden: Vec<(String, Meaning)>,
}

/// A variable's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// The number of the row that set it, from 1; 0 for a parameter.
    pub since: usize,
    /// `None` where the step returned several rows.
    pub value: Option<Value>,
}

/// By row, and one more for the end, and by copy: what is known before it.
pub fn known(rows: &[Row], copies: &[&Lines], params: &[&BTreeMap<String, Param>]) -> Vec<Vec<Known>> {
    let mut now: Vec<Known> = params.iter().map(|params| of_params(params)).collect();
    let mut all = vec![now.clone()];
    for (index, row) in rows.iter().enumerate() {
        for (copy, cell) in row.cells.iter().enumerate() {
            if let Cell::Line(line) = cell {
                now[copy].take_in(index + 1, copies[copy], *line);
            }
        }
        all.push(now.clone());
    }
    all
}

fn of_params(params: &BTreeMap<String, Param>) -> Known {
    let meaning = |(name, param): (&String, &Param)| {
        let meaning = Meaning {
            since: 0,
            value: Some(Value::text(param_text(param))),
        };
        (name.clone(), meaning)
    };
    Known {
        variables: params.iter().map(meaning).collect(),
        hidden: Vec::new(),
    }
}

/// A parameter's value as text.
fn param_text(param: &Param) -> String {
    match param {
        Param::Text(text) | Param::Numeric(text) => text.clone(),
        Param::Integer(number) => number.to_string(),
        Param::Boolean(truth) => truth.to_string(),
    }
}

impl Known {
    fn take_in(&mut self, since: usize, lines: &Lines, line: usize) {
        let Some(reply) = &lines.lines[line].reply else { return };
        for (column, (name, type_oid)) in reply.columns.iter().flatten().enumerate() {
            if !is_name(name) {
                continue;
            }
            let type_oid = match *type_oid {
                UNKNOWN | RECORD | VOID => 0,
                other => other,
            };
            let text = reply.row.as_ref().and_then(|row| row.get(column).cloned().flatten());
            let meaning = Meaning {
                since,
                value: (reply.rows < 2).then_some(Value { type_oid, text }),
            };
            if let Some(before) = self.variables.insert(name.clone(), meaning) {
                self.hidden.push((name.clone(), before));
            }
        }
    }
}

/// Whether a column's name can be that of a variable.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
