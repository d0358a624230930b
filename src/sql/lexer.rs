//! PostgreSQL's lexical rules, as far as they are needed to tell code from strings, comments and quoted names.
//!
//! The lexer is total: it splits any text into tokens whose texts, joined, are the text again. Strings are read with
//! `standard_conforming_strings` on, the server's default.

/// A piece of SQL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: TokenKind,
    pub text: &'a str,
    /// Byte offset in the SQL.
    pub offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    Whitespace,
    /// `-- …`, or `/* … */` with others nested in it
    Comment,
    /// `'…'`, `E'…'`, `B'…'`, `X'…'`, `N'…'`, `U&'…'`, `$tag$…$tag$`
    String,
    /// A keyword or a name without quotes
    Word,
    /// `"…"`, `U&"…"`
    QuotedName,
    Number,
    /// `$1`
    Parameter,
    /// `:name`
    Variable,
    /// `::`
    Cast,
    /// `:=`
    Assign,
    Operator,
    /// `(` or `[`
    Open,
    /// `)` or `]`
    Close,
    Semicolon,
    /// Comma, dot, a lone colon, and what is not SQL
    Other,
}

impl<'a> Token<'a> {
    /// Whether it is this keyword, given in capitals. A quoted name never is one.
    pub fn is(&self, keyword: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Whether it is one of these keywords, given in capitals.
    pub fn is_one_of(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    /// Whether the grammar ignores it.
    pub fn is_blank(&self) -> bool {
        matches!(self.kind, TokenKind::Whitespace | TokenKind::Comment)
    }

    /// Byte offset one past its end.
    pub fn end(&self) -> usize {
        self.offset + self.text.len()
    }
}

/// Splits SQL into tokens; blank space and comments are tokens too.
pub fn tokens(sql: &str) -> Tokens<'_> {
    Tokens { sql, offset: 0 }
}

/// The tokens other than blank space and comments.
pub fn significant(sql: &str) -> Vec<Token<'_>> {
    tokens(sql).filter(|token| !token.is_blank()).collect()
}

pub struct Tokens<'a> {
    sql: &'a str,
    offset: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.sql.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let (kind, length) = first_token(rest);
        let text = rest.get(..length).unwrap_or(rest);
        let token = Token {
            kind,
            text,
            offset: self.offset,
        };
        self.offset += text.len();
        Some(token)
    }
}

/// The kind and the length in bytes of the first token of a text that is not empty.
fn first_token(rest: &str) -> (TokenKind, usize) {
    let bytes = rest.as_bytes();
    let second = bytes.get(1).copied().unwrap_or(0);
    match bytes[0] {
        first if is_space(first) => (TokenKind::Whitespace, run(bytes, is_space)),
        b'-' if second == b'-' => (TokenKind::Comment, line_comment(bytes)),
        b'/' if second == b'*' => (TokenKind::Comment, block_comment(bytes)),
        b'\'' => (TokenKind::String, quoted(bytes, 0, b'\'')),
        b'"' => (TokenKind::QuotedName, quoted(bytes, 0, b'"')),
        b'e' | b'E' if second == b'\'' => (TokenKind::String, escape_string(bytes)),
        b'b' | b'B' | b'x' | b'X' | b'n' | b'N' if second == b'\'' => (TokenKind::String, quoted(bytes, 1, b'\'')),
        b'u' | b'U' if bytes[1..].starts_with(b"&'") => (TokenKind::String, quoted(bytes, 2, b'\'')),
        b'u' | b'U' if bytes[1..].starts_with(b"&\"") => (TokenKind::QuotedName, quoted(bytes, 2, b'"')),
        first if is_word_start(first) => (TokenKind::Word, run(bytes, is_word_part)),
        first if first.is_ascii_digit() || (first == b'.' && second.is_ascii_digit()) => {
            (TokenKind::Number, number(bytes))
        }
        b'$' if second.is_ascii_digit() => (TokenKind::Parameter, 1 + run(&bytes[1..], |byte| byte.is_ascii_digit())),
        b'$' => match dollar_string(rest) {
            Some(length) => (TokenKind::String, length),
            None => (TokenKind::Other, 1),
        },
        b':' if second == b':' => (TokenKind::Cast, 2),
        b':' if second == b'=' => (TokenKind::Assign, 2),
        b':' if second.is_ascii_alphabetic() || second == b'_' => (
            TokenKind::Variable,
            1 + run(&bytes[1..], |byte| byte.is_ascii_alphanumeric() || byte == b'_'),
        ),
        b'(' | b'[' => (TokenKind::Open, 1),
        b')' | b']' => (TokenKind::Close, 1),
        b';' => (TokenKind::Semicolon, 1),
        first if is_operator(first) => (TokenKind::Operator, operator(bytes)),
        _ => (TokenKind::Other, rest.chars().next().map_or(1, char::len_utf8)),
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Every byte of a non-ASCII character can be part of a name.
fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word_part(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_operator(byte: u8) -> bool {
    b"~!@#^&|`?+-*/%<>=".contains(&byte)
}

/// How many bytes from the start are of a kind.
fn run(bytes: &[u8], of_kind: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&byte| !of_kind(byte)).unwrap_or(bytes.len())
}

fn line_comment(bytes: &[u8]) -> usize {
    run(bytes, |byte| byte != b'\n' && byte != b'\r')
}

fn block_comment(bytes: &[u8]) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The length of a prefix and the quoted text after it; a doubled quote is part of the text.
fn quoted(bytes: &[u8], prefix: usize, quote: u8) -> usize {
    let mut at = prefix + 1;
    while at < bytes.len() {
        if bytes[at] != quote {
            at += 1;
        } else if bytes.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return at + 1;
        }
    }
    bytes.len()
}

/// The length of `E'…'`. Unlike with other strings, its rules also apply to a continuation on a later line.
fn escape_string(bytes: &[u8]) -> usize {
    let mut at = 2;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => match continuation(&bytes[at + 1..]) {
                Some(gap) => at += 1 + gap + 1,
                None => return at + 1,
            },
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of the gap between a string's end and the quote of its continuation: blank space and line comments that
/// contain a newline.
fn continuation(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += run(&bytes[at..], is_space);
        if !bytes[at..].starts_with(b"--") {
            break;
        }
        at += line_comment(&bytes[at..]);
    }
    let newline = bytes[..at].iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    (newline && bytes.get(at) == Some(&b'\'')).then_some(at)
}

fn dollar_string(rest: &str) -> Option<usize> {
    let after = &rest[1..];
    let tag = run(after.as_bytes(), |byte| is_word_part(byte) && byte != b'$');
    let starts_right = tag == 0 || is_word_start(after.as_bytes()[0]);
    if !starts_right || after.as_bytes().get(tag) != Some(&b'$') {
        return None;
    }
    let delimiter = &rest[..tag + 2];
    let body = &rest[delimiter.len()..];
    Some(match body.find(delimiter) {
        Some(end) => delimiter.len() + end + delimiter.len(),
        None => rest.len(),
    })
}

fn number(bytes: &[u8]) -> usize {
    let digits = |from: usize| run(&bytes[from..], |byte| byte.is_ascii_digit() || byte == b'_');
    if bytes[0] == b'0' && bytes.get(1).is_some_and(|byte| b"xXoObB".contains(byte)) {
        return 2 + run(&bytes[2..], |byte| byte.is_ascii_hexdigit() || byte == b'_');
    }
    let mut at = digits(0);
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        at += digits(at);
    }
    if bytes.get(at).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'e')) {
        let sign = usize::from(bytes.get(at + 1).is_some_and(|byte| b"+-".contains(byte)));
        let exponent = digits(at + 1 + sign);
        if exponent > 0 {
            at += 1 + sign + exponent;
        }
    }
    at
}

/// An operator ends where a comment begins.
fn operator(bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() && is_operator(bytes[at]) {
        if bytes[at..].starts_with(b"--") || bytes[at..].starts_with(b"/*") {
            break;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::TokenKind::*;
    use super::*;

    fn cut(sql: &str) -> Vec<(TokenKind, &str)> {
        let tokens = significant(sql).into_iter();
        tokens.map(|token| (token.kind, token.text)).collect()
    }

    #[test]
    fn strings_of_every_form_are_one_token() {
        for string in [
            "'it''s'",
            r"'back\'",
            r"E'it\'s'",
            r"e'a\\'",
            "B'101'",
            "x'1F'",
            "N'n'",
            "U&'\\0061'",
            "$$it's $1 :a$$",
            "$tag$ $$ $other$ $tag$",
            "$é$x$é$",
            "E'a'\n  -- more\n 'it\\'s'",
        ] {
            assert_eq!(cut(string), [(String, string)], "{string}");
        }
        assert_eq!(cut("'a' 'b'"), [(String, "'a'"), (String, "'b'")]);
        assert_eq!(cut("E'a' 'b\\'"), [(String, "E'a'"), (String, "'b\\'")]);
    }

    #[test]
    fn what_is_not_closed_runs_to_the_end() {
        for (sql, kind) in [
            ("'abc :x", String),
            ("E'abc\\", String),
            ("$$ :x", String),
            ("$tag$ $$ :x", String),
            ("\"abc :x", QuotedName),
            ("/* /* */ :x", Comment),
        ] {
            assert_eq!(tokens(sql).map(|token| token.kind).collect::<Vec<_>>(), [kind], "{sql}");
        }
    }

    #[test]
    fn comments_nest_and_end_operators() {
        assert_eq!(cut("1 /* a /* b */ c */ + 2 -- :x\n;").len(), 4);
        assert_eq!(cut("1 +-- :x\n2"), [(Number, "1"), (Operator, "+"), (Number, "2")]);
        assert_eq!(cut("1 */* :x */2"), [(Number, "1"), (Operator, "*"), (Number, "2")]);
    }

    #[test]
    fn colons_are_told_apart() {
        assert_eq!(
            cut("a::int :b x := :c :::d 'x'=:e"),
            [
                (Word, "a"),
                (Cast, "::"),
                (Word, "int"),
                (Variable, ":b"),
                (Word, "x"),
                (Assign, ":="),
                (Variable, ":c"),
                (Cast, "::"),
                (Variable, ":d"),
                (String, "'x'"),
                (Operator, "="),
                (Variable, ":e"),
            ]
        );
        assert_eq!(cut("[1:2]")[2], (Other, ":"));
    }

    #[test]
    fn numbers_names_and_parameters() {
        assert_eq!(
            cut("1.5e-3 .5 1_000 0xFF 12e a$1 $12 \"a\"\"b\" größe U&\"d\""),
            [
                (Number, "1.5e-3"),
                (Number, ".5"),
                (Number, "1_000"),
                (Number, "0xFF"),
                (Number, "12"),
                (Word, "e"),
                (Word, "a$1"),
                (Parameter, "$12"),
                (QuotedName, "\"a\"\"b\""),
                (Word, "größe"),
                (QuotedName, "U&\"d\""),
            ]
        );
    }

    /// Text dense in what the lexer has to distinguish.
    fn sql_like() -> impl Strategy<Value = std::string::String> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "'", "''", "\"", "$$", "$a$", "$1", ":", "::", ":=", ":a", "--", "/*", "*/", "\n", "\r\n", "\\", "E'",
                "U&'", "U&\"", "b'", "(", ")", "[", "]", ";", "é", "€", "1", ".5", "1e", "0x", "+", "-", "abc", " ",
            ])
            .prop_map(str::to_owned),
            any::<char>().prop_map(|c| c.to_string()),
        ];
        prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn tokens_reproduce_the_text(sql in sql_like()) {
            let mut offset = 0;
            for token in tokens(&sql) {
                prop_assert!(!token.text.is_empty());
                prop_assert_eq!(token.offset, offset);
                prop_assert_eq!(&sql[offset..token.end()], token.text);
                offset = token.end();
            }
            prop_assert_eq!(offset, sql.len());
        }
    }
}
