//! Tokens of a specification.

use std::ops::Range;

use super::error::Mistake;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: TokenKind,
    /// Bytes of the file.
    pub span: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenKind {
    Keyword(Keyword),
    /// Plain or in quotes.
    Name(String),
    /// The text between braces, without the blanks (but with the line ends) next to them; the range is its place.
    Sql(Range<usize>),
    Integer(u64),
    Comma,
    Open,
    Close,
    Star,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Notices,
    Permutation,
    Session,
    Setup,
    Step,
    Teardown,
}

impl Keyword {
    const ALL: [Keyword; 6] = [
        Keyword::Notices,
        Keyword::Permutation,
        Keyword::Session,
        Keyword::Setup,
        Keyword::Step,
        Keyword::Teardown,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Keyword::Notices => "notices",
            Keyword::Permutation => "permutation",
            Keyword::Session => "session",
            Keyword::Setup => "setup",
            Keyword::Step => "step",
            Keyword::Teardown => "teardown",
        }
    }
}

/// A mistake and its byte range.
pub(super) type Misplaced = (Mistake, Range<usize>);

/// The tokens of a text, the last of which is the end.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Misplaced> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next()?;
        let ended = token.kind == TokenKind::End;
        tokens.push(token);
        if ended {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Token, Misplaced> {
        self.skip_space_and_comments();
        let start = self.at;
        let Some(first) = self.rest().chars().next() else {
            return Ok(self.token(start, TokenKind::End));
        };
        let single = match first {
            ',' => Some(TokenKind::Comma),
            '(' => Some(TokenKind::Open),
            ')' => Some(TokenKind::Close),
            '*' => Some(TokenKind::Star),
            _ => None,
        };
        if let Some(kind) = single {
            self.at += 1;
            return Ok(self.token(start, kind));
        }
        match first {
            '"' => self.quoted_name(),
            '{' => self.sql(),
            '0'..='9' => self.integer(),
            first if starts_name(first) => {
                let word = self.take_while(continues_name);
                let keyword = Keyword::ALL.into_iter().find(|keyword| keyword.as_str() == word);
                let kind = match keyword {
                    Some(keyword) => TokenKind::Keyword(keyword),
                    None => TokenKind::Name(word.to_owned()),
                };
                Ok(self.token(start, kind))
            }
            other => Err((Mistake::Character(other), start..start + other.len_utf8())),
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn token(&self, start: usize, kind: TokenKind) -> Token {
        Token {
            kind,
            span: start..self.at,
        }
    }

    fn skip_space_and_comments(&mut self) {
        loop {
            self.take_while(|c| is_blank(c) || c == '\n');
            if !self.rest().starts_with('#') {
                return;
            }
            self.take_while(|c| c != '\n' && c != '\r');
        }
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &str {
        let start = self.at;
        let rest = &self.text[start..];
        self.at += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        &self.text[start..self.at]
    }

    /// A quote within the name is written twice.
    fn quoted_name(&mut self) -> Result<Token, Misplaced> {
        let start = self.at;
        let mut name = String::new();
        let mut characters = self.rest().char_indices().skip(1).peekable();
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' if characters.next_if(|(_, next)| *next == '"').is_some() => name.push('"'),
                '"' => {
                    self.at = start + offset + 1;
                    return Ok(self.token(start, TokenKind::Name(name)));
                }
                '\n' => return Err((Mistake::OpenQuote, start..start + offset)),
                other => name.push(other),
            }
        }
        Err((Mistake::OpenQuote, start..self.text.len()))
    }

    fn sql(&mut self) -> Result<Token, Misplaced> {
        let start = self.at;
        let Some(length) = self.rest().find('}') else {
            return Err((Mistake::OpenSql, start..start + 1));
        };
        self.at = start + length + 1;
        let inner = &self.text[start + 1..self.at - 1];
        let from = self.at - 1 - inner.trim_start_matches(is_blank).len();
        let to = from + self.text[from..self.at - 1].trim_end_matches(is_blank).len();
        Ok(self.token(start, TokenKind::Sql(from..to)))
    }

    fn integer(&mut self) -> Result<Token, Misplaced> {
        let start = self.at;
        let value = self.take_while(|c| c.is_ascii_digit()).parse();
        let value = value.map_err(|_| (Mistake::LargeNumber, start..self.at))?;
        Ok(self.token(start, TokenKind::Integer(value)))
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\u{c}')
}

fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn continues_name(c: char) -> bool {
    starts_name(c) || c.is_ascii_digit() || c == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        let tokens = tokens(text).unwrap();
        tokens.into_iter().map(|token| token.kind).collect()
    }

    fn sql(text: &str) -> String {
        match &tokens(text).unwrap()[0].kind {
            TokenKind::Sql(range) => text[range.clone()].to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_are_plain_or_quoted() {
        let name = |text: &str| TokenKind::Name(text.to_owned());
        assert_eq!(
            kinds(r#"s1 _a$9 Step "step" "say ""hi""" é"#),
            [
                name("s1"),
                name("_a$9"),
                name("Step"),
                name("step"),
                name("say \"hi\""),
                name("é"),
                TokenKind::End
            ]
        );
    }

    #[test]
    fn comments_end_with_the_line() {
        assert_eq!(
            kinds("# session\nstep # a {\n*"),
            [TokenKind::Keyword(Keyword::Step), TokenKind::Star, TokenKind::End]
        );
    }

    #[test]
    fn sql_loses_the_blanks_next_to_its_braces_but_no_line_ends() {
        assert_eq!(sql("{ \t SELECT 1; }"), "SELECT 1;");
        assert_eq!(sql("{\n  SELECT 1;\n  }"), "\n  SELECT 1;\n");
        assert_eq!(sql("{ # no comment }"), "# no comment");
        assert_eq!(sql("{   }"), "");
        assert_eq!(sql("{}"), "");
    }

    #[test]
    fn a_number_ends_where_a_name_begins() {
        assert_eq!(
            kinds("12ab"),
            [TokenKind::Integer(12), TokenKind::Name("ab".to_owned()), TokenKind::End]
        );
    }

    #[test]
    fn mistakes_have_a_place() {
        assert_eq!(tokens("a ; b").unwrap_err(), (Mistake::Character(';'), 2..3));
        assert_eq!(tokens("\"ab\ncd\"").unwrap_err(), (Mistake::OpenQuote, 0..3));
        assert_eq!(tokens("step {").unwrap_err(), (Mistake::OpenSql, 5..6));
        assert_eq!(
            tokens("99999999999999999999").unwrap_err(),
            (Mistake::LargeNumber, 0..20)
        );
    }
}
