//! A session's statements as the steps of a script.

use std::collections::BTreeMap;

use super::bind::{Origin, Slot};
use super::lines::Line;
use super::pieces::{Piece, append, pieces};
use crate::postgres::quote_literal;
use crate::postgres::type_oid::{BOOL, FLOAT4, FLOAT8, INT2, INT4, INT8, NUMERIC};
use crate::postgres::wire::Value;
use crate::scenario::Step;
use crate::scenario::source::SqlText;
use crate::scenario::unique::UniqueNames;
use crate::sql::classify::first_word;
use crate::sql::{Statement, StatementKind, Template};

/// The steps, with variables for values whose origins are known.
pub fn steps(lines: &[Line], origins: &BTreeMap<Slot, Origin>) -> Vec<Step> {
    let mut names = UniqueNames::default();
    let step = |(index, line): (usize, &Line)| {
        let sql = sql(index, line, origins);
        let statement = Statement::classify(&sql);
        let first = first_word(&sql).unwrap_or_else(|| "step".to_owned());
        let is_bare = matches!(
            statement.kind,
            StatementKind::Begin | StatementKind::Commit { .. } | StatementKind::Rollback { .. }
        );
        Step {
            // these need no name in the file, which numbers them by itself
            name: match is_bare {
                true => first,
                false => names.take(line.name.as_ref().unwrap_or(&first)),
            },
            named: false,
            template: Template::parse(&sql),
            sql: SqlText::unplaced(sql),
            statement,
            when: None,
        }
    };
    lines.iter().enumerate().map(step).collect()
}

fn sql(index: usize, line: &Line, origins: &BTreeMap<Slot, Origin>) -> String {
    // what stands behind PREPARE has parameters of its own
    if line.values.is_empty() && !origins.keys().any(|slot| slot.line() == index) {
        return unbound(line);
    }
    let mut sql = String::new();
    for (place, piece) in pieces(&line.sql).into_iter().enumerate() {
        let (slot, value) = match &piece {
            Piece::Text(text) => {
                sql += text;
                continue;
            }
            Piece::Parameter(number) => (
                Slot::Parameter(index, *number),
                line.values.get(*number).map_or_else(|| "NULL".to_owned(), constant),
            ),
            Piece::Literal(text) => (Slot::Literal(index, place), text.clone()),
        };
        match origins.get(&slot) {
            Some(Origin::Variable(name)) => append(&mut sql, &format!(":{name}")),
            Some(Origin::Sum(name, by)) if *by < 0 => append(&mut sql, &format!("(:{name} - {})", by.unsigned_abs())),
            Some(Origin::Sum(name, by)) => append(&mut sql, &format!("(:{name} + {by})")),
            // a literal stands where it stood
            _ if matches!(piece, Piece::Literal(_)) => sql += &value,
            _ => append(&mut sql, &value),
        }
    }
    sql
}

fn unbound(line: &Line) -> String {
    let text = |piece: Piece| match piece {
        Piece::Text(text) | Piece::Literal(text) => text,
        Piece::Parameter(number) => format!("${}", number + 1),
    };
    pieces(&line.sql).into_iter().map(text).collect()
}

/// A value as a literal.
fn constant(value: &Value) -> String {
    let Some(text) = &value.text else {
        return "NULL".to_owned();
    };
    let is_number = text.parse::<f64>().is_ok_and(f64::is_finite) && text.ends_with(|c: char| c.is_ascii_digit());
    match value.type_oid {
        INT2 | INT4 | INT8 | NUMERIC | FLOAT4 | FLOAT8 if is_number && text.starts_with('-') => format!("({text})"),
        INT2 | INT4 | INT8 | NUMERIC | FLOAT4 | FLOAT8 if is_number => text.clone(),
        BOOL if text.starts_with(['t', 'T', '1']) => "true".to_owned(),
        BOOL => "false".to_owned(),
        _ => quote_literal(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: Option<&str>, sql: &str, values: &[(u32, Option<&str>)]) -> Line {
        Line {
            name: name.map(str::to_owned),
            sql: sql.to_owned(),
            values: values
                .iter()
                .map(|(type_oid, text)| Value {
                    type_oid: *type_oid,
                    text: text.map(str::to_owned),
                })
                .collect(),
            reply: None,
            turn: None,
            commit: None,
        }
    }

    fn texts(lines: &[Line], origins: &[(Slot, Origin)]) -> Vec<(String, String)> {
        let steps = steps(lines, &origins.iter().cloned().collect());
        steps.into_iter().map(|step| (step.name, step.sql.text)).collect()
    }

    #[test]
    fn values_stand_as_literals_or_variables() {
        let lines = [
            line(None, "BEGIN", &[]),
            line(
                Some("update t"),
                "UPDATE t SET a=$1,b=$2,c=$3 WHERE id=$4 AND d-$5>0 AND s = ANY($6[1:n])",
                &[
                    (0, Some("it's")),
                    (16, Some("t")),
                    (23, None),
                    (23, Some("7")),
                    (23, Some("-1")),
                    (0, Some("{}")),
                ],
            ),
            line(Some("update t"), "UPDATE t SET a = 5", &[]),
            line(Some("prepare"), "PREPARE p AS SELECT $1", &[]),
            line(Some("commit"), "COMMIT", &[]),
        ];
        let origins = [
            (Slot::Parameter(1, 3), Origin::Variable("id".into())),
            (Slot::Literal(2, 1), Origin::Sum("a".into(), -2)),
        ];
        let expected = [
            ("begin", "BEGIN"),
            (
                "update t",
                "UPDATE t SET a='it''s',b=true,c=NULL WHERE id=:id AND d-(-1)>0 AND s = ANY('{}'[1: n])",
            ),
            ("update t-2", "UPDATE t SET a = (:a - 2)"),
            ("prepare", "PREPARE p AS SELECT $1"),
            ("commit", "COMMIT"),
        ];
        assert_eq!(
            texts(&lines, &origins),
            expected.map(|(name, sql)| (name.to_owned(), sql.to_owned()))
        );
    }
}
