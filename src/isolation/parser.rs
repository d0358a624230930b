//! Reads a specification. The grammar:
//!
//! ```text
//! file        = { setup } [ teardown ] session { session } { permutation }
//! session     = "session" name [ setup ] step { step } [ teardown ]
//! setup       = "setup" sql
//! teardown    = "teardown" sql
//! step        = "step" name sql
//! permutation = "permutation" use { use }
//! use         = name [ "(" marker { "," marker } ")" ]
//! marker      = "*" | name [ "notices" integer ]
//! ```

use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::error::{Mistake, SpecificationError};
use super::lexer::{Keyword, Misplaced, Token, TokenKind, tokens};
use super::link::link;
use super::specification::Specification;
use crate::scenario::bounded;
use crate::scenario::source::{Placement, Source, SqlText};

impl Specification {
    /// Reads a file; the specification is named after the file, without its extension.
    ///
    /// # Errors
    ///
    /// The first mistake in the file, or a file that cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Specification, SpecificationError> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let bytes = bounded::read(path).map_err(|cause| unreadable(&shown, &cause))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Specification::from_bytes(&name, &shown, bytes)
    }

    /// Reads everything that `reader` gives, which errors call `source_name`.
    ///
    /// # Errors
    ///
    /// The first mistake in the text, or that it cannot be read.
    pub fn from_reader(name: &str, source_name: &str, reader: impl Read) -> Result<Specification, SpecificationError> {
        let bytes = bounded::read_all(reader).map_err(|cause| unreadable(source_name, &cause))?;
        Specification::from_bytes(name, source_name, bytes)
    }

    fn from_bytes(name: &str, source_name: &str, bytes: Vec<u8>) -> Result<Specification, SpecificationError> {
        let text =
            String::from_utf8(bytes).map_err(|_| SpecificationError::new(Mistake::NotUtf8(source_name.to_owned())))?;
        Specification::parse(name, source_name, text)
    }

    /// Reads a text, which errors call `source_name`.
    ///
    /// # Errors
    ///
    /// The first mistake in the text.
    pub fn parse(name: &str, source_name: &str, text: String) -> Result<Specification, SpecificationError> {
        let source = Arc::new(Source {
            name: source_name.to_owned(),
            text,
        });
        let read = || link(name, &source, Parser::new(&source, tokens(&source.text)?).file()?);
        read().map_err(|(mistake, span)| {
            let hint = mistake.hint();
            let before = span.start;
            let error = SpecificationError::new(mistake).at(&source, span, "here");
            let error = match runaway_brace(&source.text).filter(|brace| *brace < before) {
                Some(brace) => error.at(&source, brace..brace + 1, "is the `}` of this missing?"),
                None => error,
            };
            match hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }
}

/// The brace of the first SQL that seems to extend into what follows it.
fn runaway_brace(text: &str) -> Option<usize> {
    let begins_a_part = |line: &str| {
        let mut words = line.split(|c: char| c.is_whitespace() || c == '{');
        let is_keyword = matches!(
            words.next(),
            Some("setup" | "teardown" | "session" | "step" | "permutation")
        );
        is_keyword && (line.contains('{') || words.count() == 1)
    };
    let tokens = tokens(text).ok()?;
    let runaway = tokens.iter().find(|token| match &token.kind {
        TokenKind::Sql(range) => text[range.clone()]
            .lines()
            .skip(1)
            .any(|line| begins_a_part(line.trim())),
        _ => false,
    })?;
    Some(runaway.span.start)
}

fn unreadable(path: &str, cause: &std::io::Error) -> SpecificationError {
    SpecificationError::new(Mistake::Unreadable {
        path: path.to_owned(),
        cause: cause.to_string(),
    })
}

/// The content of the file, with its names not yet looked up.
pub(super) struct File {
    pub setups: Vec<SqlText>,
    pub teardown: Option<SqlText>,
    pub sessions: Vec<NamedSession>,
    pub permutations: Vec<Vec<NamedUse>>,
}

pub(super) struct NamedSession {
    pub name: Name,
    pub setup: Option<SqlText>,
    pub steps: Vec<NamedStep>,
    pub teardown: Option<SqlText>,
}

pub(super) struct NamedStep {
    pub name: Name,
    pub sql: SqlText,
}

/// A step's position in a permutation.
pub(super) struct NamedUse {
    pub step: Name,
    pub markers: Vec<NamedMarker>,
}

pub(super) enum NamedMarker {
    Waiting,
    Completed(Name),
    Notices { of: Name, count: u64 },
}

pub(super) struct Name {
    pub text: String,
    pub span: Range<usize>,
}

struct Parser<'a> {
    source: &'a Arc<Source>,
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

type Parsed<T> = Result<T, Misplaced>;

impl<'a> Parser<'a> {
    fn new(source: &'a Arc<Source>, tokens: Vec<Token>) -> Parser<'a> {
        Parser {
            source,
            tokens: tokens.into_iter().peekable(),
        }
    }

    fn file(&mut self) -> Parsed<File> {
        let mut setups = Vec::new();
        while let Some(setup) = self.block(Keyword::Setup)? {
            setups.push(setup);
        }
        let teardown = self.block(Keyword::Teardown)?;
        let mut sessions = Vec::new();
        while self.takes(&TokenKind::Keyword(Keyword::Session)) {
            sessions.push(self.session()?);
        }
        if sessions.is_empty() {
            return Err(self.unexpected(match (&teardown, setups.is_empty()) {
                (Some(_), _) => "`session`",
                (None, true) => "`setup` or `session`",
                (None, false) => "`setup`, `teardown` or `session`",
            }));
        }
        let mut permutations = Vec::new();
        while self.takes(&TokenKind::Keyword(Keyword::Permutation)) {
            permutations.push(self.permutation()?);
        }
        if !self.takes(&TokenKind::End) {
            return Err(self.unexpected(match permutations.is_empty() {
                true => "`step`, `teardown`, `session`, `permutation` or the end of the file",
                false => "the name of a step, `permutation` or the end of the file",
            }));
        }
        Ok(File {
            setups,
            teardown,
            sessions,
            permutations,
        })
    }

    fn session(&mut self) -> Parsed<NamedSession> {
        let name = self.name("the name of a session")?;
        let setup = self.block(Keyword::Setup)?;
        let mut steps = Vec::new();
        while self.takes(&TokenKind::Keyword(Keyword::Step)) {
            steps.push(NamedStep {
                name: self.name("the name of a step")?,
                sql: self.sql()?,
            });
        }
        if steps.is_empty() {
            return Err(self.unexpected(match setup {
                Some(_) => "`step`",
                None => "`setup` or `step`",
            }));
        }
        Ok(NamedSession {
            name,
            setup,
            steps,
            teardown: self.block(Keyword::Teardown)?,
        })
    }

    fn permutation(&mut self) -> Parsed<Vec<NamedUse>> {
        let mut uses = Vec::new();
        while uses.is_empty() || matches!(self.peek(), Some(TokenKind::Name(_))) {
            uses.push(NamedUse {
                step: self.name("the name of a step")?,
                markers: self.markers()?,
            });
        }
        Ok(uses)
    }

    fn markers(&mut self) -> Parsed<Vec<NamedMarker>> {
        let mut markers = Vec::new();
        if !self.takes(&TokenKind::Open) {
            return Ok(markers);
        }
        loop {
            markers.push(self.marker()?);
            if self.takes(&TokenKind::Close) {
                return Ok(markers);
            }
            if !self.takes(&TokenKind::Comma) {
                return Err(self.unexpected("`,` or `)`"));
            }
        }
    }

    fn marker(&mut self) -> Parsed<NamedMarker> {
        if self.takes(&TokenKind::Star) {
            return Ok(NamedMarker::Waiting);
        }
        let of = self.name("`*` or the name of a step")?;
        if !self.takes(&TokenKind::Keyword(Keyword::Notices)) {
            return Ok(NamedMarker::Completed(of));
        }
        match self.take() {
            Some(Token {
                kind: TokenKind::Integer(count),
                ..
            }) => Ok(NamedMarker::Notices { of, count }),
            other => Err(unexpected("the number of notices", other, self.source)),
        }
    }

    /// A keyword with SQL, if that comes next.
    fn block(&mut self, keyword: Keyword) -> Parsed<Option<SqlText>> {
        match self.takes(&TokenKind::Keyword(keyword)) {
            true => self.sql().map(Some),
            false => Ok(None),
        }
    }

    fn sql(&mut self) -> Parsed<SqlText> {
        match self.take() {
            Some(Token {
                kind: TokenKind::Sql(range),
                ..
            }) => Ok(SqlText {
                text: self.source.text[range.clone()].to_owned(),
                origin: Some(Placement {
                    source: self.source.clone(),
                    offsets: (range.start..=range.end).collect(),
                }),
            }),
            other => Err(unexpected("SQL in braces", other, self.source)),
        }
    }

    fn name(&mut self, wanted: &'static str) -> Parsed<Name> {
        match self.take() {
            Some(Token {
                kind: TokenKind::Name(text),
                span,
            }) => Ok(Name { text, span }),
            other => Err(unexpected(wanted, other, self.source)),
        }
    }

    fn peek(&mut self) -> Option<&TokenKind> {
        self.tokens.peek().map(|token| &token.kind)
    }

    fn take(&mut self) -> Option<Token> {
        self.tokens.next()
    }

    fn takes(&mut self, kind: &TokenKind) -> bool {
        self.tokens.next_if(|token| token.kind == *kind).is_some()
    }

    fn unexpected(&mut self, wanted: &'static str) -> Misplaced {
        let token = self.take();
        unexpected(wanted, token, self.source)
    }
}

/// `token` stands where `wanted` should.
fn unexpected(wanted: &'static str, token: Option<Token>, source: &Source) -> Misplaced {
    let span = token.map_or(source.text.len()..source.text.len(), |token| token.span);
    let found = match &source.text[span.clone()] {
        "" => "the end of the file".to_owned(),
        text if text.starts_with('{') => "SQL".to_owned(),
        text => format!("`{text}`"),
    };
    (Mistake::Unexpected { wanted, found }, span)
}

#[cfg(test)]
mod tests {
    use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
    use proptest::prelude::*;

    use super::*;
    use crate::isolation::specification::{Marker, StepId};

    fn parse(text: &str) -> Result<Specification, SpecificationError> {
        Specification::parse("x", "x.spec", text.to_owned())
    }

    #[test]
    fn every_part_is_read() {
        let specification = parse(
            r#"
            # two setups, and a teardown
            setup { CREATE TABLE t (a int); }
            setup
            {
              VACUUM t;
            }
            teardown { DROP TABLE t; }

            session s1
            setup { BEGIN; }
            step a { SELECT 1; }
            step "step" { SELECT 2; }
            teardown { COMMIT; }
            session "second session"
            step b { }

            permutation a "step" b
            permutation b(*) a(b, b notices 2) a "step"
            "#,
        )
        .unwrap();
        let setups: Vec<&str> = specification.setups.iter().map(|setup| setup.text.as_str()).collect();
        assert_eq!(setups, ["CREATE TABLE t (a int);", "\n              VACUUM t;\n"]);
        assert_eq!(specification.teardown.unwrap().text, "DROP TABLE t;");
        let [first, second] = specification.sessions.as_slice() else {
            panic!("{:?}", specification.sessions);
        };
        assert_eq!((first.name.as_str(), second.name.as_str()), ("s1", "second session"));
        assert_eq!(first.setup.as_ref().unwrap().text, "BEGIN;");
        assert_eq!(first.teardown.as_ref().unwrap().text, "COMMIT;");
        assert_eq!(first.steps[1].name, "step");
        assert_eq!(second.steps[0].sql.text, "");
        let permutations = specification.permutations.unwrap();
        let b = StepId { session: 1, step: 0 };
        let markers: Vec<&[Marker]> = permutations[1]
            .steps
            .iter()
            .map(|step| step.markers.as_slice())
            .collect();
        let notices = Marker::Notices { of: b, count: 2 };
        assert_eq!(
            markers,
            [&[Marker::Waiting] as &[_], &[Marker::Completed(b), notices], &[], &[]]
        );
    }

    #[test]
    fn sql_knows_its_place() {
        let text = "session s step a {\n  SELECT 1 }";
        let specification = parse(text).unwrap();
        let sql = &specification.sessions[0].steps[0].sql;
        let (source, range) = sql.locate(3..9);
        assert_eq!(&source.text[range], "SELECT");
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        let shown = |text: &str| {
            let error = parse(text).unwrap_err();
            let mut report = String::new();
            let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
            handler.render_report(&mut report, &error).unwrap();
            report
        };
        let reports = [
            "",
            "setup { SELECT 1 }",
            "session s\nstep a { SELECT 1",
            "session s\nstep a { SELECT 1;\nstep b { SELECT 2; }\npermutation b a",
            "session s\nstep a SELECT",
            "session permutation step a { }",
            "session s\npermutation a",
            "session s step a { }\nsession t\nstep a { }",
            "session s step a { }\npermutation a b",
            "session s step a { } step b { }\npermutation a(b) b",
            "session s step a { } session t step b { }\npermutation a(b)",
            "session s step a { }\npermutation a(",
            "session s step a { }\npermutation a(a notices many)",
            "session s step a { };",
            "session s step a { } setup { }",
        ]
        .map(shown);
        insta::assert_snapshot!(reports.join("\n"));
    }

    #[test]
    fn interleavings_come_in_the_order_of_a_depth_first_search() {
        let specification = parse("session s step a {} step b {} session t step c {}").unwrap();
        let written: Vec<String> = specification
            .permutations()
            .map(|permutation| specification.written(&permutation).to_string())
            .collect();
        assert_eq!(
            written,
            [
                r#"permutation "a" "b" "c""#,
                r#"permutation "a" "c" "b""#,
                r#"permutation "c" "a" "b""#
            ]
        );
    }

    #[test]
    fn steps_that_no_permutation_uses_are_named() {
        let specification = parse("session s step b {} step a {} step c {} permutation a").unwrap();
        assert_eq!(specification.unused_steps(), ["b", "c"]);
        assert!(parse("session s step b {}").unwrap().unused_steps().is_empty());
    }

    /// Words of the format, in an order that is often nearly right.
    fn fragments() -> impl Strategy<Value = String> {
        let fragment = prop::sample::select(vec![
            "setup",
            "teardown",
            "session",
            "step",
            "permutation",
            "notices",
            "{ SELECT 1; }",
            "{}",
            "{",
            "}",
            "a",
            "b",
            "\"a\"",
            "\"",
            "(",
            ")",
            "*",
            ",",
            "7",
            "#",
            "\n",
            " ",
            "é",
            "a(*)",
            "session a step b { }",
        ]);
        prop::collection::vec(fragment, 0..30).prop_map(|fragments| fragments.join(" "))
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = parse(&text);
        }

        #[test]
        fn any_order_of_words_is_read_or_refused_in_its_place(text in fragments()) {
            if let Err(error) = parse(&text) {
                let label = error.labels().and_then(|mut labels| labels.next()).expect("a mistake in the text has a place");
                let shown = error.source_code().expect("the text is shown");
                let read = shown.read_span(label.inner(), 0, 0).expect("the place is in what is shown");
                prop_assert!(std::str::from_utf8(read.data()).is_ok());
            }
        }

        #[test]
        fn permutations_are_written_as_they_are_read(
            names in prop::collection::btree_set("[a-zé\" ]{1,4}", 2..5),
            order in prop::collection::vec((0usize..5, prop::option::of(0usize..5)), 1..6),
        ) {
            let quoted: Vec<String> = names.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
            let mut text: String = quoted.iter().map(|name| format!("session {name} step {name} {{ }}\n")).collect();
            text += "permutation";
            for (step, marker) in &order {
                text += &format!(" {}", quoted[step % quoted.len()]);
                let marker = marker.map(|marker| marker % quoted.len());
                let used = |marker: &usize| order.iter().any(|(step, _)| step % quoted.len() == *marker);
                if let Some(marker) = marker.filter(|marker| *marker != step % quoted.len() && used(marker)) {
                    text += &format!("(*, {}, {} notices 3)", quoted[marker], quoted[marker]);
                }
            }
            let specification = parse(&text).unwrap();
            let permutation = specification.permutations().next().unwrap();
            let written = specification.written(&permutation).to_string();
            prop_assert!(text.ends_with(&written), "{written}\n{text}");
        }
    }
}
