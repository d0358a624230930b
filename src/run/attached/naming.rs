//! How a program's statements are named and shown.

use std::borrow::Cow;
use std::sync::Arc;

use crate::history::Volatile;
use crate::postgres::quote_literal;
use crate::postgres::type_oid::{BOOL, FLOAT4, FLOAT8, INT2, INT4, INT8, NUMERIC, OID};
use crate::postgres::wire::{Column, Value};
use crate::proxy::{Asked, readable};
use crate::sql::commands::split;
use crate::sql::lexer::{Token, TokenKind, tokens};

/// A comment that names a statement: `/* pgbraid: read */`.
const NAMES: &str = "pgbraid:";

/// What a statement does, and to which table: `update account`. A comment can give another name.
pub fn name(sql: &str) -> String {
    let comment = tokens(sql)
        .filter(|token| token.kind == TokenKind::Comment)
        .find_map(named_by);
    if let Some(name) = comment {
        return name;
    }
    let commands = split(sql);
    let Some(command) = commands.first() else {
        return "empty".to_owned();
    };
    let word = |index: usize| command.get(index);
    let Some(first) = word(0) else {
        return "statement".to_owned();
    };
    let verb = match first.kind {
        TokenKind::Word => first.text.to_lowercase(),
        _ => "statement".to_owned(),
    };
    let place = match verb.as_str() {
        "insert" | "delete" | "merge" => Some(2),
        "update" | "truncate" | "copy" => Some(1),
        "select" | "with" => command.iter().position(|token| token.is("FROM")).map(|from| from + 1),
        "lock" => Some(1),
        _ => None,
    };
    match place.and_then(|place| table(command, place)) {
        Some(table) => format!("{verb} {table}"),
        None => verb,
    }
}

fn named_by(comment: Token<'_>) -> Option<String> {
    let text = comment.text.strip_prefix("/*").and_then(|text| text.strip_suffix("*/"));
    let text = text.or_else(|| comment.text.strip_prefix("--"))?;
    let name = text.trim().strip_prefix(NAMES)?.trim();
    let plain = !name.is_empty() && name.len() <= 60 && !name.contains(|c: char| c.is_control());
    plain.then(|| name.to_owned())
}

/// The table's name that begins at a place, without its schema.
fn table(command: &[Token<'_>], mut place: usize) -> Option<String> {
    while command.get(place)?.is_one_of(&["ONLY", "TABLE"]) {
        place += 1;
    }
    let mut last = command.get(place)?;
    while command.get(place + 1).is_some_and(|token| token.text == ".") {
        place += 2;
        last = command.get(place)?;
    }
    match last.kind {
        TokenKind::Word => Some(last.text.to_lowercase()),
        TokenKind::QuotedName => Some(last.text.trim_matches('"').to_owned()),
        _ => None,
    }
}

/// The values of a statement's parameters, as people read them and as they are the same in every run.
pub fn values(asked: &Asked, volatile: &Volatile) -> Vec<Shown> {
    let shown = |(index, value): (usize, &Option<crate::proxy::Bound>)| {
        let type_oid = asked.types.get(index).copied().unwrap_or_default();
        let text = value
            .as_ref()
            .map(|bound| readable(type_oid, bound.binary, &bound.bytes));
        let column = Column {
            name: String::new(),
            type_oid,
            table_oid: 0,
            attribute: 0,
        };
        let shown = volatile.show(&column, &text);
        Shown {
            type_oid,
            plain: shown == text,
            text: shown,
            sent: text,
        }
    };
    asked.values.iter().enumerate().map(shown).collect()
}

/// A value as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub type_oid: u32,
    /// `None` for NULL.
    pub text: Option<String>,
    /// It is shown as it is.
    pub plain: bool,
    /// As it was sent.
    sent: Option<String>,
}

/// A statement in which constants that the program has made anew are parameters, behind those that it has, and their values.
pub fn with_parameters(sql: &str, parameters: usize, volatile: &Volatile) -> (String, Vec<Shown>) {
    let mut made = Vec::new();
    let pieces = tokens(sql).map(|token| {
        let is_constant = matches!(token.kind, TokenKind::String | TokenKind::Number);
        match volatile.mask(token.text) {
            Cow::Owned(masked) if is_constant && masked != token.text => {
                let text = Some(masked.trim_matches('\'').to_owned());
                made.push(Shown {
                    type_oid: 0,
                    text,
                    plain: false,
                    sent: None,
                });
                format!("${}", parameters + made.len())
            }
            _ => token.text.to_owned(),
        }
    });
    let sql: String = pieces.collect();
    (sql, made)
}

impl Shown {
    /// Whether it is a time that was taken in the run.
    pub fn is_of_clock(&self) -> bool {
        !self.plain && self.text.as_ref().is_some_and(|text| text.contains("<now>"))
    }

    /// The same as the value of a parameter.
    pub fn into_value(self) -> Value {
        Value {
            type_oid: self.type_oid,
            text: self.sent,
        }
    }

    fn literal(&self) -> String {
        match (&self.text, self.type_oid) {
            (None, _) => "NULL".to_owned(),
            (Some(text), INT2 | INT4 | INT8 | OID | FLOAT4 | FLOAT8 | NUMERIC) => text.clone(),
            (Some(text), BOOL) => if text.starts_with('t') { "true" } else { "false" }.to_owned(),
            (Some(text), _) => quote_literal(text),
        }
    }
}

/// A statement with its parameters' values in place of their numbers.
pub fn filled(sql: &Arc<str>, values: &[Shown]) -> String {
    let piece = |token: Token<'_>| {
        let number = (token.kind == TokenKind::Parameter).then(|| token.text.trim_start_matches('$').parse::<usize>());
        let value = number
            .and_then(Result::ok)
            .and_then(|number| values.get(number.checked_sub(1)?));
        value.map_or_else(|| token.text.to_owned(), Shown::literal)
    };
    tokens(sql).map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_named_by_what_they_do_and_to_what() {
        for (sql, expected) in [
            ("INSERT INTO account (id) VALUES ($1)", "insert account"),
            ("update \"Account\" set x = 1", "update Account"),
            ("DELETE FROM ONLY public.account", "delete account"),
            ("SELECT a, b FROM shop.seat WHERE x FOR UPDATE", "select seat"),
            ("SELECT 1", "select"),
            ("SELECT x FROM (SELECT 1) AS y", "select"),
            ("COMMIT", "commit"),
            ("  ", "empty"),
            ("SELECT /* pgbraid: read */ views FROM articles", "read"),
            ("LOCK TABLE parent IN SHARE MODE", "lock parent"),
        ] {
            assert_eq!(name(sql), expected, "{sql}");
        }
    }

    #[test]
    fn values_stand_in_place_of_numbers() {
        let shown = |type_oid, text: Option<&str>| Shown {
            type_oid,
            text: text.map(str::to_owned),
            plain: true,
            sent: None,
        };
        let values = [shown(INT4, Some("7")), shown(25, Some("it's")), shown(0, None)];
        assert_eq!(
            filled(&"SELECT $1, $2, $3, '$1', $4".into(), &values),
            "SELECT 7, 'it''s', NULL, '$1', $4"
        );
    }
}
