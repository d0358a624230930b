//! The lines of a source that an error shows.

use std::ops::Range;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use crate::scenario::source::Source;
use crate::terminal::{is_hidden, visible};

/// The lines around some labels. Of a long line only the parts around its labels are kept, since it would fill the
/// terminal, and miette cannot draw a label beyond column 65,535. Nothing in it can steer a terminal.
#[derive(Debug)]
pub(super) struct Excerpt {
    name: String,
    text: String,
    /// The number of source lines before the text.
    lines_ahead: usize,
    /// Where the labels are in the text.
    pub labels: Vec<Range<usize>>,
    /// Where each label begins in the source: line and column, counted from 0.
    places: Vec<(usize, usize)>,
}

/// Lines shown above and below a label: one more than miette asks for.
const LINES_AROUND: usize = 2;
/// Longest line shown in full, in bytes.
const LONGEST_LINE: usize = 240;
/// In a longer line, the bytes shown before and after a label's ends.
const AHEAD: usize = 60;
const BEHIND: usize = 100;

impl Excerpt {
    /// The excerpt of a source with these labels, which are ranges of its bytes.
    pub fn new(source: &Source, labels: &[Range<usize>]) -> Excerpt {
        let text = source.text.as_str();
        let first = labels.iter().map(|label| label.start).min().unwrap_or(0);
        let last = labels.iter().map(|label| label.end).max().unwrap_or(0);
        let from = lines_up(text, floor(text, first), LINES_AROUND);
        let to = lines_down(text, floor(text, last), LINES_AROUND);

        let mut ends: Vec<usize> = labels.iter().flat_map(|label| [label.start, label.end]).collect();
        ends.sort_unstable();
        ends.dedup();
        let mut cut = Cut {
            text: String::new(),
            ends: &ends,
            moved: Vec::new(),
        };
        let mut at = from;
        for line in text[from..to].split_inclusive('\n') {
            cut.add_line(line, at);
            at += line.len();
        }
        cut.end(to);

        let moved = |end: usize| ends.binary_search(&end).map_or(0, |index| cut.moved[index]);
        let place = |label: &Range<usize>| {
            let ahead = &text[..floor(text, label.start)];
            let line_start = ahead.rfind('\n').map_or(0, |end| end + 1);
            (ahead.matches('\n').count(), ahead[line_start..].chars().count())
        };
        Excerpt {
            name: visible(&source.name),
            lines_ahead: text[..from].matches('\n').count(),
            labels: labels
                .iter()
                .map(|label| moved(label.start)..moved(label.end).max(moved(label.start)))
                .collect(),
            places: labels.iter().map(place).collect(),
            text: cut.text,
        }
    }
}

/// Lines while they are copied.
struct Cut<'a> {
    text: String,
    /// Ends of labels in the source, ascending.
    ends: &'a [usize],
    /// Where the first of them are in the text.
    moved: Vec<usize>,
}

impl Cut<'_> {
    /// What begins at `at` in the source is next in the text.
    fn reach(&mut self, at: usize) {
        while self.ends.get(self.moved.len()).is_some_and(|&end| end <= at) {
            self.moved.push(self.text.len());
        }
    }

    /// `start` is where the line begins in the source.
    fn add_line(&mut self, line: &str, start: usize) {
        let body = line.strip_suffix('\n').unwrap_or(line);
        let body = body.strip_suffix('\r').unwrap_or(body);
        let mut at = 0;
        for part in self.shown(body, start) {
            if part.start > at {
                self.text.push('…');
            }
            for (index, c) in body[part.clone()].char_indices() {
                self.reach(start + part.start + index);
                match is_hidden(c) && c != '\t' {
                    true => self.text.extend(c.escape_default()),
                    false => self.text.push(c),
                }
            }
            at = part.end;
        }
        self.reach(start + at);
        if at < body.len() {
            self.text.push('…');
        }
        if line.ends_with('\n') {
            self.reach(start + line.len() - 1);
            self.text.push('\n');
        }
    }

    /// The parts of a line that are shown, apart from each other.
    fn shown(&self, body: &str, start: usize) -> Vec<Range<usize>> {
        if body.len() <= LONGEST_LINE {
            return std::iter::once(0..body.len()).collect();
        }
        let ends = self.ends.iter().filter_map(|end| end.checked_sub(start));
        let ends: Vec<usize> = ends.filter(|end| *end <= body.len()).collect();
        if ends.is_empty() {
            return std::iter::once(0..floor(body, LONGEST_LINE)).collect();
        }
        let mut parts: Vec<Range<usize>> = Vec::new();
        for end in ends {
            let part = floor(body, end.saturating_sub(AHEAD))..floor(body, end.saturating_add(BEHIND));
            match parts.last_mut() {
                Some(last) if part.start <= last.end => last.end = part.end,
                _ => parts.push(part),
            }
        }
        parts
    }

    fn end(&mut self, at: usize) {
        self.reach(at);
        self.moved.resize(self.ends.len(), self.text.len());
    }
}

/// The last character boundary up to an offset.
fn floor(text: &str, offset: usize) -> usize {
    let offset = offset.min(text.len());
    (0..=offset).rfind(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// The start of the line that is `lines` lines above the one with this offset.
fn lines_up(text: &str, offset: usize, lines: usize) -> usize {
    let breaks = text[..offset].rmatch_indices('\n');
    breaks.map(|(at, _)| at + 1).nth(lines).unwrap_or(0)
}

/// The end, line break included, of the line that is `lines` lines below the one with this offset.
fn lines_down(text: &str, offset: usize, lines: usize) -> usize {
    let breaks = text[offset..].match_indices('\n');
    breaks.map(|(at, _)| offset + at + 1).nth(lines).unwrap_or(text.len())
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.read_span(span, lines_before, lines_after)?;
        let label = self.labels.iter().position(|label| label.start == span.offset());
        // miette asks without lines around it to learn its place
        let (line, column) = match label.filter(|_| lines_before == 0) {
            Some(label) => self.places[label],
            None => (self.lines_ahead + inner.line(), inner.column()),
        };
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            line,
            column,
            inner.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn excerpt(text: &str, labels: &[Range<usize>]) -> Excerpt {
        let source = Source {
            name: "a\u{1b}.toml".to_owned(),
            text: text.to_owned(),
        };
        Excerpt::new(&source, labels)
    }

    #[test]
    fn of_a_long_line_the_parts_around_the_labels_are_kept() {
        let line = format!("{}A{}B{}", "x".repeat(70_000), "y".repeat(70_000), "z".repeat(70_000));
        let text = format!("one\n{line}\nthree\n");
        let a = 4 + 70_000;
        let found = excerpt(&text, &[a..a + 1, a + 70_001..a + 70_002]);
        assert!(found.text.len() < 600, "{}", found.text.len());
        assert!(found.text.starts_with("one\n…xxx") && found.text.ends_with("zzz…\nthree\n"));
        let shown: Vec<&str> = found.labels.iter().map(|label| &found.text[label.clone()]).collect();
        assert_eq!(shown, ["A", "B"]);
        assert_eq!(found.places, [(1, 70_000), (1, 140_001)]);
    }

    #[test]
    fn labels_move_with_what_is_written_out() {
        let text = "0\n1\n2\n3\n\u{1b}[2J\r\u{9b} é = here\r\n5\n6\n7\n";
        let at = text.find("here").unwrap();
        let label = at..at + 4;
        let found = excerpt(text, std::slice::from_ref(&label));
        assert_eq!(found.text, "2\n3\n\\u{1b}[2J\\r\\u{9b} é = here\n5\n6\n");
        assert_eq!(&found.text[found.labels[0].clone()], "here");
        assert_eq!((found.lines_ahead, found.places[0]), (2, (4, 11)));
        assert_eq!(found.name, r"a\u{1b}.toml");
    }

    proptest! {
        #[test]
        fn a_label_begins_where_it_did(
            text in "([ab\u{1b}é\r]{0,5}|x{300}|\n){0,12}",
            labels in prop::collection::vec((0..4_000usize, 0..400usize), 1..4),
        ) {
            let boundary = |at: usize| floor(&text, at);
            let labels: Vec<Range<usize>> = labels
                .into_iter()
                .map(|(start, length)| boundary(start)..boundary(start + length))
                .collect();
            let found = excerpt(&text, &labels);
            for (label, moved) in labels.iter().zip(&found.labels) {
                prop_assert!(found.text.is_char_boundary(moved.start) && found.text.is_char_boundary(moved.end));
                let (was, is) = (text[label.start..].chars().next(), found.text[moved.start..].chars().next());
                if was.is_some_and(|c| !c.is_control()) {
                    prop_assert_eq!(was, is);
                }
            }
            prop_assert!(!found.text.chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}
