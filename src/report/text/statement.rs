//! A statement as a report shows it: on one line, and which tables it mentions.

use crate::report::text::layout::visible;
use crate::sql::lexer::{TokenKind, tokens};

/// The statement on one line: white space between its words collapsed, comments left out.
pub(crate) fn one_line(sql: &str) -> String {
    let mut line = String::with_capacity(sql.len());
    for token in tokens(sql) {
        if !token.is_blank() {
            line.push_str(&visible(token.text));
        } else if !line.is_empty() && !line.ends_with(' ') {
            line.push(' ');
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
    tokens(sql).any(|token| match token.kind {
        TokenKind::Word => token.text.eq_ignore_ascii_case(name),
        TokenKind::QuotedName => token.text.trim_start_matches(['U', 'u', '&']).trim_matches('"') == name,
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
        assert!(mentions(r#"SELECT count(*) = 0 FROM U&"Order""#, "Order"));
        assert!(mentions(r#"SELECT count(*) = 0 FROM "a""b""#, r#""a""b""#));
        assert!(!mentions(r#"SELECT count(*) = 0 FROM "a""b""#, "a"));
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
