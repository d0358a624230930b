//! Errors as they are shown.

use std::error::Error;
use std::fmt::{self, Debug, Display};

use miette::{Diagnostic, LabeledSpan, Report, SourceCode};

use crate::report::text::layout::shorten;
use crate::terminal::visible_lines;

/// The longest line of a message, in columns. What a message quotes may be a whole file.
const LINE_WIDTH: usize = 1_000;

/// `error` for a terminal: text that it quotes from files and servers is escaped where it would steer the terminal, and
/// shortened where it is too long.
pub fn shown<D: Diagnostic + Send + Sync + 'static>(error: D) -> Report {
    let mut chain: Vec<String> = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        chain.push(fit(&cause.to_string()));
        source = cause.source();
    }
    let cause = chain
        .into_iter()
        .rev()
        .fold(None, |inner: Option<Box<Cause>>, message| {
            Some(Box::new(Cause { message, inner }))
        });
    Report::new(Shown { error, cause })
}

fn fit(text: &str) -> String {
    let lines = text.split('\n').map(|line| shorten(&visible_lines(line), LINE_WIDTH));
    lines.collect::<Vec<_>>().join("\n")
}

struct Shown<D> {
    error: D,
    cause: Option<Box<Cause>>,
}

struct Cause {
    message: String,
    inner: Option<Box<Cause>>,
}

impl<D: Diagnostic> Debug for Shown<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.error, formatter)
    }
}

impl<D: Diagnostic> Display for Shown<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&fit(&self.error.to_string()))
    }
}

impl<D: Diagnostic> Error for Shown<D> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

impl<D: Diagnostic> Diagnostic for Shown<D> {
    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        let help = self.error.help()?;
        Some(Box::new(fit(&help.to_string())))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.error.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = |label: LabeledSpan| {
            let (text, span) = (label.label().map(fit), *label.inner());
            match label.primary() {
                true => LabeledSpan::new_primary_with_span(text, span),
                false => LabeledSpan::new_with_span(text, span),
            }
        };
        Some(Box::new(self.error.labels()?.map(label)))
    }
}

impl Debug for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}
