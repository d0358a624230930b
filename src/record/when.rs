//! Why some copies did without a statement: a variable tells them from the others.

use super::bind::shown;
use super::known::Known;
use super::lines::Lines;
use super::rows::{Cell, Row};
use super::values::{number, same, whole};
use crate::postgres::quote_literal;
use crate::postgres::type_oid::{BOOL, INT2, INT4, INT8};
use crate::postgres::wire::Value;
use crate::sql::StatementKind;
use crate::sql::classify::first_word;

/// The condition of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// An SQL expression.
    pub sql: String,
    pub variable: String,
    pub remark: String,
}

/// By row: its condition, where copies did without it. `None` where no variable tells the copies from each other.
pub fn conditions(rows: &[Row], known: &[Vec<Known>]) -> Option<Vec<Option<When>>> {
    let mut found: Vec<Option<When>> = Vec::with_capacity(rows.len());
    let mut diverged = 0;
    for (index, row) in rows.iter().enumerate() {
        if row.skipped_by().next().is_none() {
            found.push(None);
            continue;
        }
        let continues = index > 0 && cells(&rows[index - 1]) == cells(row);
        if !continues {
            diverged = index;
        }
        found.push(Some(condition(row, &known[diverged], &known[index])?));
    }
    Some(found)
}

/// Who sent it; an error that has ended a copy meanwhile changes nothing.
fn cells(row: &Row) -> Vec<bool> {
    row.cells.iter().map(|cell| *cell != Cell::Skipped).collect()
}

/// What tells the copies apart, given what they knew where their paths diverged, and what they know at the step.
fn condition(row: &Row, diverged: &[Known], now: &[Known]) -> Option<When> {
    let with: Vec<usize> = row.lines().map(|(copy, _)| copy).collect();
    let without: Vec<usize> = row.skipped_by().collect();
    let mut found: Vec<(usize, When)> = Vec::new();
    for (name, meaning) in &diverged[*with.first()?].variables {
        // parameters tell all copies from each other, whatever happens
        if meaning.since == 0 {
            continue;
        }
        // a step since then may have set it anew
        let is_still = |copy: &usize| now[*copy].variables.get(name) == diverged[*copy].variables.get(name);
        let values = |copies: &[usize]| -> Option<Vec<&Value>> {
            let value = |copy: &usize| diverged[*copy].variables.get(name)?.value.as_ref();
            copies.iter().map(value).collect()
        };
        let (Some(yes), Some(no)) = (values(&with), values(&without)) else {
            continue;
        };
        if with.iter().chain(&without).all(is_still)
            && let Some(sql) = separates(&format!(":{name}"), &yes, &no)
        {
            let remark = format!(
                "the program did this when `:{name}` was {}, and not when it was {}",
                several(&yes),
                several(&no)
            );
            let when = When {
                sql,
                variable: name.clone(),
                remark,
            };
            found.push((meaning.since, when));
        }
    }
    // the latest first
    found.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.variable.cmp(&other.1.variable)));
    let mut found = found.into_iter().map(|(_, when)| when);
    let mut taken = found.next()?;
    let others: Vec<String> = found.map(|when| format!("`:{}`", when.variable)).collect();
    if !others.is_empty() {
        taken.remark += &format!("; {} would tell that, too", others.join(", "));
    }
    Some(taken)
}

/// A condition on `subject`, an SQL expression, that is true of the first values, and of none of the others.
pub fn separates(subject: &str, yes: &[&Value], no: &[&Value]) -> Option<String> {
    let all_are = |values: &[&Value], value: &Value| values.iter().all(|other| same(other, value));
    let none_is = |values: &[&Value], value: &Value| !values.iter().any(|other| same(other, value));
    let null = Value {
        type_oid: yes[0].type_oid,
        text: None,
    };
    if all_are(yes, &null) && none_is(no, &null) {
        return Some(format!("{subject} IS NULL"));
    }
    if all_are(no, &null) && none_is(yes, &null) {
        return Some(format!("{subject} IS NOT NULL"));
    }
    if yes[0].type_oid == BOOL && all_are(yes, yes[0]) && none_is(no, yes[0]) {
        return Some(match yes[0].text.as_deref() {
            Some("t" | "true") => subject.to_owned(),
            _ => format!("NOT {subject}"),
        });
    }
    if yes.iter().chain(no).any(|value| value.text.is_none()) {
        return None;
    }
    let is_zero = |value: &Value| matches!(value.text.as_deref(), Some("0" | ""));
    if is_zero(no[0]) && all_are(no, no[0]) && none_is(yes, no[0]) {
        return Some(format!("{subject} <> {}", constant(no[0])));
    }
    if all_are(yes, yes[0]) && none_is(no, yes[0]) {
        return Some(format!("{subject} = {}", constant(yes[0])));
    }
    let numbers = |values: &[&Value]| -> Option<Vec<f64>> { values.iter().map(|value| number(value)).collect() };
    if let (Some(yes), Some(no)) = (numbers(yes), numbers(no)) {
        let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if least(&yes) > most(&no) {
            return Some(format!("{subject} > {}", most(&no)));
        }
        if most(&yes) < least(&no) {
            return Some(format!("{subject} < {}", least(&no)));
        }
    }
    (all_are(no, no[0]) && none_is(yes, no[0])).then(|| format!("{subject} <> {}", constant(no[0])))
}

fn constant(value: &Value) -> String {
    match (value.type_oid, whole(value), &value.text) {
        (INT2 | INT4 | INT8, Some(number), _) => number.to_string(),
        (_, _, Some(text)) => quote_literal(text),
        (_, _, None) => "NULL".to_owned(),
    }
}

fn several(values: &[&Value]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in values.iter().map(|value| shown(value)) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        texts => texts.concat(),
    }
}

/// A transaction of one statement that some copies did without is that statement by itself: what it returns may set the
/// variable that its condition is about, and its COMMIT would not come.
pub fn unwrap_single_statements(rows: Vec<Row>, copies: &[&Lines]) -> Vec<Row> {
    let kind = |row: &Row| row.line(copies).map(|line| (line.kind(), line.sql.clone()));
    let is_plain_begin = |sql: &str| {
        let sql = sql.to_uppercase();
        ["BEGIN", "BEGIN TRANSACTION", "START TRANSACTION"].contains(&sql.trim())
    };
    let ends = |last: StatementKind, sql: &str| match last {
        StatementKind::Commit { chain } => !chain,
        // what only reads may as well be committed
        StatementKind::Rollback { chain } => !chain && first_word(sql).is_some_and(|word| word == "select"),
        _ => false,
    };
    let mut kept = Vec::with_capacity(rows.len());
    let mut rest = rows.as_slice();
    while let [first, after @ ..] = rest {
        rest = after;
        if let [statement, end, others @ ..] = after
            && first.skipped_by().next().is_some()
            && let (Some((StatementKind::Begin, sql)), Some((StatementKind::Plain, read)), Some((last, _))) =
                (kind(first), kind(statement), kind(end))
            && is_plain_begin(&sql)
            && ends(last, &read)
            && cells(first) == cells(statement)
            && cells(first) == cells(end)
        {
            kept.push(statement.clone());
            rest = others;
            continue;
        }
        kept.push(first.clone());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(type_oid: u32, texts: &[&str]) -> Vec<Value> {
        let value = |text: &&str| Value {
            type_oid,
            text: (*text != "NULL").then(|| (*text).to_owned()),
        };
        texts.iter().map(value).collect()
    }

    /// What is true of `yes` and not of `no`.
    fn between(type_oid: u32, yes: &[&str], no: &[&str]) -> Option<String> {
        let (yes, no) = (values(type_oid, yes), values(type_oid, no));
        separates(":v", &yes.iter().collect::<Vec<_>>(), &no.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_condition_is_what_a_program_would_ask() {
        const TEXT: u32 = 25;
        let found = [
            between(INT8, &["0"], &["1"]),
            between(INT8, &["1"], &["0"]),
            between(INT4, &["500", "100"], &["0"]),
            between(INT4, &["300", "200"], &["50", "20"]),
            between(INT4, &["20"], &["50", "30"]),
            between(INT4, &["NULL"], &["7"]),
            between(INT4, &["7", "8"], &["NULL"]),
            between(BOOL, &["f"], &["t"]),
            between(BOOL, &["t"], &["f", "NULL"]),
            between(TEXT, &["new"], &["it's"]),
            between(TEXT, &["a", "b"], &["it's"]),
            between(INT4, &["1", "3"], &["2"]),
            between(INT4, &["1", "3"], &["3"]),
            between(INT4, &["NULL", "1"], &["2"]),
        ];
        let expected = [
            Some(":v = 0"),
            Some(":v <> 0"),
            Some(":v <> 0"),
            Some(":v > 50"),
            Some(":v = 20"),
            Some(":v IS NULL"),
            Some(":v IS NOT NULL"),
            Some("NOT :v"),
            Some(":v"),
            Some(":v = 'new'"),
            Some(":v <> 'it''s'"),
            Some(":v <> 2"),
            None,
            None,
        ];
        assert_eq!(
            found.map(|sql| sql.unwrap_or_default()),
            expected.map(|sql| sql.unwrap_or_default().to_owned())
        );
    }
}
