//! Exit codes and statuses, which a script does not have: they are told from how its sessions end.

use std::collections::BTreeMap;

use super::known::{Known, Meaning};
use super::when::separates;
use crate::history::Exit;
use crate::history::SessionEnd;
use crate::postgres::quote_literal;
use crate::postgres::type_oid::{BOOL, INT2, INT4, INT8, NUMERIC};
use crate::postgres::wire::Value;
use crate::sql::lexer::{TokenKind, significant};

/// How a program's session ended, and what the script of it knows then.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The session in the script.
    pub name: String,
    /// Its `[[session]]` entry.
    pub entry: usize,
    /// The SQLSTATE of the error that ended it.
    pub error: Option<String>,
    pub known: Known,
    pub exit_code: Option<i64>,
    pub status: Option<i64>,
}

impl Ended {
    pub fn new(name: String, entry: usize, error: Option<String>, known: Known, end: &SessionEnd) -> Ended {
        Ended {
            name,
            entry,
            error,
            known,
            exit_code: match end.exit {
                Some(Exit::Code(code)) => Some(code.into()),
                _ => None,
            },
            status: match &end.answer {
                Some(Ok(answer)) => Some(answer.status.into()),
                _ => None,
            },
        }
    }
}

/// Columns of pgbraid.sessions that only programs have.
const OF_PROGRAMS: [&str; 4] = ["exit_code", "stdout", "status", "body"];

/// The columns of programs that an invariant asks pgbraid.sessions for.
pub fn columns_asked(sql: &str) -> Vec<&'static str> {
    let tokens = significant(sql);
    let is_about_sessions = tokens
        .windows(2)
        .any(|pair| pair[0].is("PGBRAID") && pair[1].text == ".");
    let is_asked = |column: &&'static str| {
        is_about_sessions
            && tokens
                .iter()
                .any(|token| token.text.trim_matches('"').eq_ignore_ascii_case(column))
    };
    OF_PROGRAMS.into_iter().filter(is_asked).collect()
}

/// The same invariant of a script. `None` where nothing tells the columns.
pub fn rewritten(sql: &str, columns: &[&str], ended: &[Ended]) -> Option<String> {
    let mut told = Vec::new();
    for column in columns {
        let expression = match *column {
            "exit_code" => expression(ended, |ended| ended.exit_code)?,
            "status" => expression(ended, |ended| ended.status)?,
            _ => return None,
        };
        told.push(format!("{expression} AS {column}"));
    }
    let sessions = format!(
        "(\n  SELECT name, committed, sqlstate, variables, {}\n  FROM pgbraid.sessions\n)",
        told.join(",\n    ")
    );
    let tokens = significant(sql);
    let mut text = String::new();
    let mut from = 0;
    for (index, words) in tokens.windows(3).enumerate() {
        let [schema, dot, table] = words else { continue };
        if !schema.is("PGBRAID") || dot.text != "." || !table.is("SESSIONS") {
            continue;
        }
        text += &sql[from..schema.offset];
        text += &sessions;
        from = table.end();
        match tokens.get(index + 3) {
            // a column by its table's whole name
            Some(next) if next.text == "." => return None,
            Some(next) if next.is("AS") || (next.kind == TokenKind::Word && !next.is_one_of(&AFTER_TABLES)) => {}
            _ => text += " AS sessions",
        }
    }
    text += &sql[from..];
    Some(text)
}

/// Words after a table that are no other name of it.
const AFTER_TABLES: [&str; 16] = [
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "JOIN",
    "CROSS",
    "INNER",
    "LEFT",
    "RIGHT",
    "FULL",
];

/// An expression over pgbraid.sessions that is each session's value.
fn expression(ended: &[Ended], value: impl Fn(&Ended) -> Option<i64>) -> Option<String> {
    let mut entries: BTreeMap<usize, Vec<(&Ended, i64)>> = BTreeMap::new();
    for one in ended {
        entries.entry(one.entry).or_default().push((one, value(one)?));
    }
    let mut cases = Vec::new();
    for copies in entries.values() {
        let names: Vec<String> = copies.iter().map(|(one, _)| quote_literal(&one.name)).collect();
        let of_entry = match entries.len() {
            1 => String::new(),
            _ => format!("name IN ({}) AND ", names.join(", ")),
        };
        for (condition, value) in entry_cases(copies)? {
            cases.push(format!("    WHEN {of_entry}{condition} THEN {value}"));
        }
    }
    (!cases.is_empty()).then(|| format!("CASE\n{}\n  END", cases.join("\n")))
}

/// The values of copies, each with a condition that is true of those that have it; the first that is true counts.
fn entry_cases(copies: &[(&Ended, i64)]) -> Option<Vec<(String, i64)>> {
    let mut cases = Vec::new();
    let mut by_error: BTreeMap<&String, i64> = BTreeMap::new();
    let mut rest = Vec::new();
    for (one, value) in copies {
        match &one.error {
            Some(error) if *by_error.entry(error).or_insert(*value) != *value => return None,
            Some(_) => {}
            None => rest.push((*one, *value)),
        }
    }
    for (error, value) in by_error {
        cases.push((format!("sqlstate = {}", quote_literal(error)), value));
    }
    while let Some((_, value)) = rest.first().copied() {
        let (yes, no): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, other)| *other == value);
        let condition = match no.is_empty() {
            true => String::new(),
            false => format!(" AND {}", variable_that_tells(&yes, &no)?),
        };
        cases.push((format!("sqlstate IS NULL{condition}"), value));
        rest = no;
    }
    Some(cases)
}

/// What is true of the first at their end, and of none of the others.
fn variable_that_tells(yes: &[(&Ended, i64)], no: &[(&Ended, i64)]) -> Option<String> {
    let (first, _) = yes.first()?;
    let mut names: Vec<(&String, &Meaning)> = first.known.variables.iter().collect();
    names.sort_by_key(|(_, meaning)| std::cmp::Reverse(meaning.since));
    names.into_iter().find_map(|(name, meaning)| {
        let values = |copies: &[(&Ended, i64)]| -> Option<Vec<Value>> {
            let value = |(one, _): &(&Ended, i64)| one.known.variables.get(name)?.value.clone();
            copies.iter().map(value).collect()
        };
        let (yes, no) = (values(yes)?, values(no)?);
        let text = format!("variables->>{}", quote_literal(name));
        let subject = match meaning.value.as_ref()?.type_oid {
            INT2 | INT4 | INT8 | NUMERIC => format!("({text})::numeric"),
            BOOL => format!("({text})::boolean"),
            _ => format!("({text})"),
        };
        // parameters tell all copies from each other, whatever happens
        let is_param = meaning.since == 0;
        let (yes, no): (Vec<&Value>, Vec<&Value>) = (yes.iter().collect(), no.iter().collect());
        separates(&subject, &yes, &no).filter(|_| !is_param)
    })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn ended(name: &str, entry: usize, error: Option<&str>, balance: Option<i64>, status: i64) -> Ended {
        let value = Value {
            type_oid: INT4,
            text: balance.map(|balance| balance.to_string()),
        };
        let meaning = Meaning {
            since: 1,
            value: Some(value),
        };
        Ended {
            name: name.to_owned(),
            entry,
            error: error.map(str::to_owned),
            known: Known {
                variables: BTreeMap::from([("balance".to_owned(), meaning)]),
                hidden: Vec::new(),
            },
            exit_code: None,
            status: Some(status),
        }
    }

    #[test]
    fn statuses_are_told_from_errors_and_variables() {
        let sessions = [
            ended("pay-1", 0, None, Some(100), 200),
            ended("pay-2", 0, None, Some(0), 409),
            ended("pay-3", 0, Some("23505"), Some(0), 422),
            ended("look", 1, None, None, 200),
        ];
        let sql = "SELECT count(*) FILTER (WHERE status = 200) = 1, (SELECT max(s.status) FROM pgbraid.sessions s)\n\
                   FROM pgbraid.sessions WHERE name LIKE 'pay%'";
        let columns = columns_asked(sql);
        assert_eq!(columns, ["status"]);
        assert_snapshot!(rewritten(sql, &columns, &sessions).unwrap());
    }

    #[test]
    fn what_nothing_tells_is_left_alone() {
        let alike = [
            ended("pay-1", 0, None, Some(100), 200),
            ended("pay-2", 0, None, Some(100), 409),
        ];
        assert_eq!(
            rewritten("SELECT status FROM pgbraid.sessions", &["status"], &alike),
            None
        );
        let body = "SELECT body = '' FROM pgbraid.sessions";
        assert_eq!(rewritten(body, &columns_asked(body), &alike[..1]), None);
        assert_eq!(columns_asked("SELECT status FROM orders"), [""; 0]);
    }
}
