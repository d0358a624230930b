//! A statement as the step of a script.

use std::collections::BTreeMap;

use super::bind::{Origin, Slot};
use super::lines::Line;
use super::pieces::{Piece, append, pieces};
use super::when::When;
use crate::postgres::quote_literal;
use crate::postgres::type_oid::{BOOL, FLOAT4, FLOAT8, INT2, INT4, INT8, NUMERIC};
use crate::postgres::wire::Value;
use crate::scenario::source::SqlText;
use crate::scenario::unique::UniqueNames;
use crate::scenario::{Condition, Step};
use crate::sql::classify::first_word;
use crate::sql::{Statement, StatementKind, Template};

/// The step of a statement, with variables for values whose origins are known.
pub fn step(line: &Line, origins: &BTreeMap<Slot, Origin>, when: Option<&When>, names: &mut UniqueNames) -> Step {
    let sql = sql(line, origins);
    let statement = Statement::classify(&sql);
    let first = first_word(&sql).unwrap_or_else(|| "step".to_owned());
    let is_bare = matches!(
        statement.kind,
        StatementKind::Begin | StatementKind::Commit { .. } | StatementKind::Rollback { .. }
    );
    let condition = |when: &When| Condition {
        sql: SqlText::unplaced(&when.sql),
        template: Template::parse(&when.sql),
    };
    Step {
        // these need no name in the file, which numbers them by itself
        name: match is_bare && when.is_none() {
            true => first,
            false => names.take(line.name.as_ref().unwrap_or(&first)),
        },
        named: false,
        template: Template::parse(&sql),
        sql: SqlText::unplaced(sql),
        statement,
        when: when.map(condition),
    }
}

fn sql(line: &Line, origins: &BTreeMap<Slot, Origin>) -> String {
    let mut sql = String::new();
    for (place, piece) in pieces(&line.sql).into_iter().enumerate() {
        let (slot, value) = match &piece {
            Piece::Text(text) => {
                sql += text;
                continue;
            }
            // what stands behind PREPARE has parameters of its own
            Piece::Parameter(number) if line.values.is_empty() => {
                append(&mut sql, &format!("${}", number + 1));
                continue;
            }
            Piece::Parameter(number) => (
                Slot::Parameter(*number),
                line.values.get(*number).map_or_else(|| "NULL".to_owned(), constant),
            ),
            Piece::Literal(text) => (Slot::Literal(place), text.clone()),
        };
        match origins.get(&slot) {
            Some(Origin::Expression(expression)) => append(&mut sql, expression),
            // a literal stands where it stood
            _ if matches!(piece, Piece::Literal(_)) => sql += &value,
            _ => append(&mut sql, &value),
        }
    }
    sql
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

    fn text(sql: &str, values: &[(u32, Option<&str>)], origins: &[(Slot, Origin)]) -> String {
        let value = |(type_oid, text): &(u32, Option<&str>)| Value {
            type_oid: *type_oid,
            text: text.map(str::to_owned),
        };
        let line = Line {
            values: values.iter().map(value).collect(),
            ..Line::plain(sql)
        };
        let origins = origins.iter().cloned().collect();
        step(&line, &origins, None, &mut UniqueNames::default()).sql.text
    }

    #[test]
    fn values_stand_as_literals_or_variables() {
        let found = text(
            "UPDATE t SET a=$1,b=$2,c=$3 WHERE id=$4 AND d-$5>0 AND s = ANY($6[1:n]) AND u = $7::uuid",
            &[
                (0, Some("it's")),
                (BOOL, Some("t")),
                (INT4, None),
                (INT4, Some("7")),
                (INT4, Some("-1")),
                (0, Some("{}")),
                (0, Some("x")),
            ],
            &[
                (Slot::Parameter(3), Origin::Expression(":id".into())),
                (Slot::Parameter(6), Origin::Expression(":key".into())),
            ],
        );
        assert_eq!(
            found,
            "UPDATE t SET a='it''s',b=true,c=NULL WHERE id=:id AND d-(-1)>0 AND s = ANY('{}'[1: n]) AND u = :key::uuid"
        );
        let sum = [(Slot::Literal(1), Origin::Expression("(:a - 2)".into()))];
        assert_eq!(text("UPDATE t SET a = 5", &[], &sum), "UPDATE t SET a = (:a - 2)");
        assert_eq!(text("PREPARE p AS SELECT $1", &[], &[]), "PREPARE p AS SELECT $1");
    }

    #[test]
    fn steps_are_named_as_in_the_timeline_and_plain_ones_need_no_name() {
        let mut names = UniqueNames::default();
        let mut name = |name: Option<&str>, sql: &str, when: Option<&When>| {
            let line = Line {
                name: name.map(str::to_owned),
                ..Line::plain(sql)
            };
            step(&line, &BTreeMap::new(), when, &mut names).name
        };
        let when = When {
            sql: ":a IS NULL".into(),
            variable: "a".into(),
            remark: String::new(),
        };
        assert_eq!(name(None, "BEGIN", None), "begin");
        assert_eq!(name(Some("update t"), "UPDATE t SET a = 1", None), "update t");
        assert_eq!(name(Some("update t"), "UPDATE t SET a = 2", None), "update t-2");
        assert_eq!(name(Some("commit"), "COMMIT", None), "commit");
        assert_eq!(name(Some("commit"), "COMMIT", Some(&when)), "commit");
        assert_eq!(name(Some("commit"), "COMMIT", Some(&when)), "commit-2");
    }
}
