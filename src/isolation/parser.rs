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
use crate::scenario::source::{Origin, Source, SqlText};

impl Specification {
    /// Reads a file; the specification has the file's name without its extension.
    ///
    /// # Errors
    ///
    /// The first mistake in the file, or that it cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Specification, SpecificationError> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let file = std::fs::File::open(path).map_err(|cause| unreadable(&shown, &cause))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Specification::from_reader(&name, &shown, file)
    }

    /// Reads everything that `reader` gives, which errors call `source_name`.
    ///
    /// # Errors
    ///
    /// The first mistake in the text, or that it cannot be read.
    pub fn from_reader(
        name: &str,
        source_name: &str,
        mut reader: impl Read,
    ) -> Result<Specification, SpecificationError> {
        let mut bytes = Vec::new();
        reader
            .read_to_end(&mut bytes)
            .map_err(|cause| unreadable(source_name, &cause))?;
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
        read().map_err(|(mistake, span)| SpecificationError::at(&source, mistake, span))
    }
}

fn unreadable(path: &str, cause: &std::io::Error) -> SpecificationError {
    SpecificationError::new(Mistake::Unreadable {
        path: path.to_owned(),
        cause: cause.to_string(),
    })
}

/// What the file says, its names not yet looked up.
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

/// A step's place in a permutation.
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

    /// A keyword with SQL, if it is what comes next.
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
                origin: Some(Origin {
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
