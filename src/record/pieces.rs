//! A statement in pieces: text, and the values in it.

use crate::sql::lexer::{Token, TokenKind, tokens};

/// A part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// `$1` is 0.
    Parameter(usize),
    /// A number or a string that stands in the text.
    Literal(String),
}

/// The pieces of a statement. What would be a variable in a script stays text.
pub fn pieces(sql: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    for token in tokens(sql) {
        let piece = match token.kind {
            TokenKind::Parameter => parameter(token).map(Piece::Parameter),
            _ if is_value(&token) => Some(Piece::Literal(token.text.to_owned())),
            _ => None,
        };
        match piece {
            Some(piece) => {
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                pieces.push(piece);
            }
            // the bound of a slice: a script has a blank after such a colon
            None if token.kind == TokenKind::Variable => {
                text += ": ";
                text += &token.text[1..];
            }
            None => text += token.text,
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

/// Whether a token is a value, or stands for one.
pub fn is_value(token: &Token<'_>) -> bool {
    match token.kind {
        TokenKind::Parameter => parameter(*token).is_some(),
        kind => matches!(kind, TokenKind::Number | TokenKind::String),
    }
}

fn parameter(token: Token<'_>) -> Option<usize> {
    token.text.trim_start_matches('$').parse::<usize>().ok()?.checked_sub(1)
}

/// The value of a literal; `None` where it is none that a reply could hold.
pub fn literal_value(literal: &str) -> Option<String> {
    match literal.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        Some(text) => Some(text.replace("''", "'")),
        None => literal
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| literal.to_owned()),
    }
}

/// Appends a value to a statement. Where it would be read as one token with the text before it, a blank stands between.
pub fn append(sql: &mut String, value: &str) {
    let joins = |before: char| before.is_alphanumeric() || "_$:".contains(before) || !before.is_ascii();
    if sql.chars().last().is_some_and(joins) {
        sql.push(' ');
    }
    *sql += value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_from_text() {
        let found = pieces("UPDATE t1 SET a[1:n] = $2, b = 'it''s' -- $1");
        let expected = [
            Piece::Text("UPDATE t1 SET a[".into()),
            Piece::Literal("1".into()),
            Piece::Text(": n] = ".into()),
            Piece::Parameter(1),
            Piece::Text(", b = ".into()),
            Piece::Literal("'it''s'".into()),
            Piece::Text(" -- $1".into()),
        ];
        assert_eq!(found, expected);
        assert_eq!(literal_value("'it''s'").as_deref(), Some("it's"));
        assert_eq!(literal_value("12").as_deref(), Some("12"));
        assert_eq!(literal_value("E'a'"), None);
        assert_eq!(literal_value("$$a$$"), None);
    }

    #[test]
    fn a_value_does_not_run_into_the_text_before_it() {
        let mut sql = "LIMIT".to_owned();
        append(&mut sql, "5");
        append(&mut sql, ":n");
        assert_eq!(sql, "LIMIT 5 :n");
        let mut slice = "a[1:".to_owned();
        append(&mut slice, ":n");
        assert_eq!(slice, "a[1: :n");
    }
}
