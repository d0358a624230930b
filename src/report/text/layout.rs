//! How values and words are put into text of a bounded width.

use std::collections::VecDeque;

use owo_colors::OwoColorize;
use tabled::builder::Builder;
use tabled::settings::Style;
use tabled::settings::style::HorizontalLine;
use unicode_width::UnicodeWidthStr;

pub(crate) use crate::terminal::visible;

/// How a report for people is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns of the terminal that a line may take.
    pub width: usize,
    /// Whether to use ANSI colours.
    pub colour: bool,
}

impl Default for TextOptions {
    fn default() -> Self {
        TextOptions {
            width: 100,
            colour: false,
        }
    }
}

/// What a piece of text is about, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Head,
    Blocked,
    Good,
    Bad,
}

/// `text` in its tone's colour, or unchanged if colours are off.
pub(crate) fn paint(text: &str, tone: Tone, colour: bool) -> String {
    match tone {
        _ if !colour => text.to_owned(),
        Tone::Plain => text.to_owned(),
        Tone::Head => text.bold().to_string(),
        Tone::Blocked => text.yellow().to_string(),
        Tone::Good => text.green().bold().to_string(),
        Tone::Bad => text.red().to_string(),
    }
}

/// Longest value shown, in columns.
const VALUE_WIDTH: usize = 60;

/// Columns that `text` takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// `text` cut to at most `max` columns, between two words if that does not cut much more; `…` marks the cut.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    if width(text) <= max {
        return text.to_owned();
    }
    let cut = &text[..chars_fitting(text, max.saturating_sub(1))];
    let between_words = cut.rfind(' ').filter(|&end| end * 4 >= cut.len() * 3);
    let kept = &cut[..between_words.unwrap_or(cut.len())];
    format!("{}…", kept.trim_end_matches([' ', ',']))
}

/// A value of a row: NULL as `NULL`, and in quotes if it could be mistaken for something else.
pub(crate) fn value(value: Option<&str>) -> String {
    let Some(text) = value else { return "NULL".to_owned() };
    let ambiguous = text.is_empty() || text == "NULL" || text.trim() != text || text.contains(", ");
    let shown = shorten(&visible(text), VALUE_WIDTH);
    if ambiguous { format!("'{shown}'") } else { shown }
}

/// A row as `column = value, …`; the value alone if the column has no name.
pub(crate) fn fields(columns: &[String], row: &[Option<String>]) -> String {
    let field = |(i, cell): (usize, &Option<String>)| {
        let cell = value(cell.as_deref());
        match columns.get(i) {
            Some(column) if column != "?column?" => format!("{} = {cell}", visible(column)),
            _ => cell,
        }
    };
    row.iter().enumerate().map(field).collect::<Vec<_>>().join(", ")
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn joined<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// `1 row`, `3 rows`.
pub fn counted(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(&n.to_string()))
}

/// Decimal digits in groups of three.
pub fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The indentation of the second and later lines of a wrapped text.
const HANG: &str = "  ";

/// Wraps at spaces into lines of at most `max` columns, indenting later ones; a word too long for a line is broken.
///
/// A line preferably ends before a word for which `starts_part` is true, rather than after as many words as fit.
pub(crate) fn wrap(text: &str, max: usize, starts_part: impl Fn(&str) -> bool) -> Vec<String> {
    let mut words: VecDeque<&str> = text.split(' ').collect();
    let mut lines: Vec<String> = Vec::new();
    while let Some(&first) = words.front() {
        let indent = if lines.is_empty() { "" } else { HANG };
        let room = max.saturating_sub(indent.len());
        let fit = words_fitting(&words, room);
        let line = if fit == 0 {
            let (head, tail) = first.split_at(broken_at(first, room));
            words[0] = tail;
            head.to_owned()
        } else {
            let enough = |&k: &usize| width(&spaced(&words, k)) * 3 >= room;
            let take = match words.len() {
                all if all == fit => fit,
                _ => (1..=fit)
                    .rev()
                    .filter(enough)
                    .find(|&k| starts_part(words[k]))
                    .unwrap_or(fit),
            };
            let line = spaced(&words, take);
            words.drain(..take);
            line
        };
        lines.push(format!("{indent}{line}"));
    }
    lines
}

fn spaced(words: &VecDeque<&str>, n: usize) -> String {
    words.iter().take(n).copied().collect::<Vec<_>>().join(" ")
}

/// How many of the first words fit into `room` columns.
fn words_fitting(words: &VecDeque<&str>, room: usize) -> usize {
    (1..=words.len())
        .take_while(|&n| width(&spaced(words, n)) <= room)
        .last()
        .unwrap_or(0)
}

/// The length in bytes of the longest start of `text` that fits into `room` columns; at least one character.
fn chars_fitting(text: &str, room: usize) -> usize {
    let ends = text.char_indices().map(|(i, c)| i + c.len_utf8());
    ends.clone()
        .take_while(|&end| width(&text[..end]) <= room)
        .last()
        .or_else(|| ends.clone().next())
        .unwrap_or(0)
}

/// The length in bytes of the first part of a word that is too long for `room` columns: preferably up to a punctuation
/// mark instead of inside a name.
fn broken_at(word: &str, room: usize) -> usize {
    let end = chars_fitting(word, room);
    let signs = word[..end]
        .char_indices()
        .filter(|(_, c)| !c.is_alphanumeric())
        .map(|(i, c)| i + c.len_utf8());
    signs.rev().find(|&after| after * 2 >= end).unwrap_or(end)
}

/// A table with a line under its heads and lines between its columns, but no frame.
pub(crate) fn table(rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut builder = Builder::default();
    for row in rows {
        builder.push_record(row);
    }
    let under_heads = HorizontalLine::new('─').intersection('┼');
    let style = Style::empty().vertical('│').horizontals([(1, under_heads)]);
    let drawn = builder.build().with(style).to_string();
    drawn.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The columns of text that the lines and spaces of a [`table`] with this many columns take.
pub(crate) fn table_overhead(columns: usize) -> usize {
    (3 * columns).saturating_sub(1)
}

/// Distributes `room`: a column that needs less than an equal share gets what it needs, the others share the rest.
pub(crate) fn share(natural: &[usize], room: usize) -> Vec<usize> {
    let mut by_need: Vec<usize> = (0..natural.len()).collect();
    by_need.sort_by_key(|&column| natural[column]);
    let mut widths = vec![0; natural.len()];
    let mut left = room;
    for (done, &column) in by_need.iter().enumerate() {
        let fair = left / (natural.len() - done);
        widths[column] = natural[column].min(fair);
        left -= widths[column];
    }
    widths
}
