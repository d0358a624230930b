//! SQL as a person reads it: on one line, and which names it mentions.

use crate::report::text::layout::visible;

/// A piece of SQL text, as far as a reader distinguishes pieces.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// A keyword, an identifier or a number.
    Word(&'a str),
    /// A quoted identifier, quotes included.
    QuotedName(&'a str),
    /// A string, quotes included.
    Literal(&'a str),
    /// White space or a comment.
    Gap,
    Other(&'a str),
}

/// The statement on one line: white space between its words collapsed, comments left out.
pub(crate) fn one_line(sql: &str) -> String {
    let mut line = String::with_capacity(sql.len());
    for piece in pieces(sql) {
        match piece {
            Piece::Gap if line.is_empty() || line.ends_with(' ') => {}
            Piece::Gap => line.push(' '),
            Piece::Word(text) | Piece::QuotedName(text) | Piece::Literal(text) | Piece::Other(text) => {
                line.push_str(&visible(text));
            }
        }
    }
    line.truncate(line.trim_end_matches([' ', ';']).len());
    line
}

/// Whether the SQL mentions a table by name, outside of strings and comments.
///
/// `table` may be qualified; then its last part decides.
pub(crate) fn mentions(sql: &str, table: &str) -> bool {
    let name = table.rsplit_once('.').map_or(table, |(_, name)| name);
    let name = name.trim_matches('"');
    pieces(sql).into_iter().any(|piece| match piece {
        Piece::Word(word) => word.eq_ignore_ascii_case(name),
        Piece::QuotedName(quoted) => quoted.trim_matches('"') == name,
        _ => false,
    })
}

/// Whether a new clause of a statement starts with this word.
pub(crate) fn starts_clause(word: &str) -> bool {
    const CLAUSES: [&str; 17] = [
        "FROM",
        "WHERE",
        "SET",
        "VALUES",
        "AND",
        "OR",
        "ON",
        "ORDER",
        "GROUP",
        "HAVING",
        "LIMIT",
        "FOR",
        "RETURNING",
        "JOIN",
        "LEFT",
        "SELECT",
        "UNION",
    ];
    CLAUSES.iter().any(|clause| word.eq_ignore_ascii_case(clause))
}

fn pieces(sql: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let escapes = matches!(pieces.last(), Some(Piece::Word("E" | "e")));
        let length = match first {
            '\'' => quoted_length(rest, '\'', escapes),
            '"' => quoted_length(rest, '"', false),
            '$' => dollar_quoted_length(rest).unwrap_or(1),
            _ if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => comment_length(rest),
            _ if first.is_whitespace() => run_length(rest, char::is_whitespace),
            _ if is_word(first) => run_length(rest, |c| is_word(c) || c == '$'),
            _ => first.len_utf8(),
        };
        let (text, after) = rest.split_at(length);
        pieces.push(match first {
            '\'' => Piece::Literal(text),
            '$' if length > 1 => Piece::Literal(text),
            '"' => Piece::QuotedName(text),
            _ if text.starts_with("--") || text.starts_with("/*") || first.is_whitespace() => Piece::Gap,
            _ if is_word(first) => Piece::Word(text),
            _ => Piece::Other(text),
        });
        rest = after;
    }
    pieces
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn run_length(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// Bytes of the quoted text that `text` starts with. A doubled quote makes it two texts in a row, which reads the same.
fn quoted_length(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' if escapes => {
                chars.next();
            }
            _ if c == quote => return i + 1,
            _ => {}
        }
    }
    text.len()
}

/// Bytes of the `$tag$…$tag$` that `text` starts with, if it does.
fn dollar_quoted_length(text: &str) -> Option<usize> {
    let tag_length = 1 + run_length(&text[1..], is_word);
    if text[1..].starts_with(|c: char| c.is_ascii_digit()) || !text[tag_length..].starts_with('$') {
        return None;
    }
    let tag = &text[..=tag_length];
    let body = &text[tag.len()..];
    Some(body.find(tag).map_or(text.len(), |end| tag.len() + end + tag.len()))
}

/// Bytes of the comment that `text` starts with; such comments nest.
fn comment_length(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_and_comments_are_collapsed_but_strings_are_kept() {
        let sql =
            "  UPDATE t -- the row\n  SET a = 'x  -- y\n',\n\tb = $q$ /* $q$ /* gone /* too */ */ WHERE id = 1;\n";
        assert_eq!(
            one_line(sql),
            r"UPDATE t SET a = 'x  -- y\n', b = $q$ /* $q$ WHERE id = 1"
        );
    }

    #[test]
    fn quotes_inside_strings_do_not_end_them() {
        assert_eq!(
            one_line(r"SELECT E'it\'s   ok',  'it''s   ok'"),
            r"SELECT E'it\'s   ok', 'it''s   ok'"
        );
    }

    #[test]
    fn a_table_is_mentioned_by_name_only_outside_strings_and_comments() {
        assert!(mentions("SELECT sum(a.n) = 2 FROM public.Accounts a", "accounts"));
        assert!(mentions("SELECT count(*) = 0 FROM audit.log", "audit.log"));
        assert!(mentions(r#"SELECT count(*) = 0 FROM "Order""#, "Order"));
        assert!(!mentions("SELECT 'accounts' = x FROM t -- accounts", "accounts"));
        assert!(!mentions("SELECT true FROM accounts_old", "accounts"));
    }

    #[test]
    fn unfinished_quotes_and_comments_end_with_the_text() {
        for sql in [
            "SELECT 'a",
            "SELECT \"a",
            "SELECT $a$ b",
            "SELECT /* a",
            "SELECT -- a",
            "$",
            "$1",
            "E'\\",
        ] {
            one_line(sql);
            assert!(!mentions(sql, "b"), "{sql}");
        }
    }
}
