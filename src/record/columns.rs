//! Which columns the values of a statement are for.

use super::pieces::is_value;
use crate::sql::lexer::{Token, TokenKind, significant};

/// A column that a value is compared with, or becomes the value of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub column: String,
    /// It replaces what was there, as in UPDATE … SET.
    pub replaces: bool,
}

/// The columns of a statement's values, in the order of its pieces; `None` where it is not plain.
pub fn targets(sql: &str) -> Vec<Option<Target>> {
    let tokens = significant(sql);
    let inserted = inserted_columns(&tokens);
    let mut sets = false;
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if token.is_one_of(&["SET", "WHERE", "FROM", "RETURNING"]) {
            sets = token.is("SET");
        }
        if !is_value(token) {
            continue;
        }
        let inserted = inserted.iter().find(|(place, _)| *place == index);
        found.push(match inserted {
            Some((_, column)) => Some(Target {
                column: column.clone(),
                replaces: false,
            }),
            None => compared(&tokens[..index]).map(|column| Target {
                column,
                replaces: sets
                    && tokens[..index]
                        .iter()
                        .rfind(|token| token.text != "(")
                        .is_some_and(|it| it.text == "="),
            }),
        });
    }
    found
}

/// The column of `column = `, at the end of what comes before a value.
fn compared(before: &[Token<'_>]) -> Option<String> {
    let end = before.iter().rposition(|token| token.text != "(")?;
    match &before[..=end] {
        [.., name, operator] if ["=", "<", ">", "<=", ">=", "<>", "!="].contains(&operator.text) => name_of(name),
        _ => None,
    }
}

/// Of INSERT INTO t (a, b) VALUES (…, …), the places of the values that stand there by themselves, and their columns.
fn inserted_columns(tokens: &[Token<'_>]) -> Vec<(usize, String)> {
    let is = |index: usize, text: &str| {
        tokens
            .get(index)
            .is_some_and(|token| token.text.eq_ignore_ascii_case(text))
    };
    let Some(open) = tokens.iter().position(|token| token.text == "(") else {
        return Vec::new();
    };
    let Some(close) = tokens[open..].iter().position(|token| token.text == ")") else {
        return Vec::new();
    };
    let values = open + close + 1;
    if !is(0, "INSERT") || !is(values, "VALUES") {
        return Vec::new();
    }
    let names = tokens[open + 1..open + close].iter().filter(|token| token.text != ",");
    let names: Vec<Option<String>> = names.map(name_of).collect();
    let mut found = Vec::new();
    let (mut depth, mut place) = (0, 0);
    for (index, token) in tokens.iter().enumerate().skip(values + 1) {
        match (token.kind, depth) {
            (TokenKind::Open, _) => {
                depth += 1;
                if depth == 1 {
                    place = 0;
                }
            }
            (TokenKind::Close, _) => depth -= 1,
            (_, 1) if token.text == "," => place += 1,
            (TokenKind::Word, 0) => break,
            _ if is_value(token) && depth > 0 => {
                let column = names.get(place).cloned().flatten();
                found.extend(column.map(|column| (index, column)));
            }
            _ => {}
        }
    }
    found
}

fn name_of(token: &Token<'_>) -> Option<String> {
    match token.kind {
        TokenKind::Word => Some(token.text.to_lowercase()),
        TokenKind::QuotedName => Some(token.text.trim_matches('"').to_owned()),
        _ => None,
    }
}

/// Whether a variable is named after a column, as `users_id` and `id` are.
pub fn is_named_after(variable: &str, column: &str) -> bool {
    let (variable, column) = (variable.to_lowercase(), column.to_lowercase());
    let is_end_of = |end: &str, whole: &str| whole.strip_suffix(end).is_some_and(|rest| rest.ends_with('_'));
    variable == column || is_end_of(&column, &variable) || is_end_of(&variable, &column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(sql: &str) -> Vec<String> {
        let drawn = |target: Option<Target>| match target {
            Some(target) if target.replaces => format!("{}!", target.column),
            Some(target) => target.column,
            None => "-".to_owned(),
        };
        targets(sql).into_iter().map(drawn).collect()
    }

    #[test]
    fn values_have_columns() {
        let sql = r#"UPDATE t SET a = $1, "b" = ($2), c = d + $3 WHERE t.id = $4 AND e >= 'x' AND f IN ($5)"#;
        assert_eq!(drawn(sql), ["a!", "b!", "-", "id", "e", "-"]);
        let sql = r#"INSERT INTO s.t ("a", b, c) VALUES ($1, now(), $2::int), ('x', f($3), 1) RETURNING id = $4"#;
        assert_eq!(drawn(sql), ["a", "c", "a", "b", "c", "id"]);
        assert_eq!(drawn("INSERT INTO t VALUES ($1)"), ["-"]);
        assert_eq!(drawn("SELECT 1"), ["-"]);
    }

    #[test]
    fn names_need_not_be_the_same() {
        assert!(is_named_after("users_id", "id") && is_named_after("id", "seat_id") && is_named_after("ID", "id"));
        assert!(!is_named_after("paid", "id") && !is_named_after("id", "name"));
    }
}
