//! Errors and notices in the format of libpq.

use unicode_width::UnicodeWidthChar;

use crate::postgres::wire::MessageFields;

/// What libpq says when the connection ends in the middle of a query.
pub(super) const CONNECTION_LOST: &str = "server closed the connection unexpectedly\n\
     \tThis probably means the server terminated abnormally\n\
     \tbefore or while processing the request.\n";

/// The widest excerpt of a query, in columns of the screen.
const EXCERPT_WIDTH: usize = 60;

/// How many columns after the position an excerpt shows, if it is cut at both ends.
const EXCERPT_RIGHT: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Notice,
    /// Shows its context too.
    Error,
}

/// The whole message, in several lines. `query` is what the session was doing.
pub(crate) fn in_full(report: &MessageFields, query: &str, severity: Severity) -> String {
    let mut text = headline(report);
    let excerpt = match (report.position, &report.internal_query, report.internal_position) {
        (Some(position), _, _) => excerpt(query, position),
        (None, Some(internal), Some(position)) => excerpt(internal, position),
        (None, None, Some(position)) => {
            text += &format!(" at character {position}");
            None
        }
        (None, _, None) => None,
    };
    text.push('\n');
    text += &excerpt.unwrap_or_default();
    let context = report.context.as_ref().filter(|_| severity == Severity::Error);
    for (label, value) in [
        ("DETAIL", report.detail.as_ref()),
        ("HINT", report.hint.as_ref()),
        ("QUERY", report.internal_query.as_ref()),
        ("CONTEXT", context),
    ] {
        if let Some(value) = value {
            text += &format!("{label}:  {value}\n");
        }
    }
    text
}

/// Severity and message.
pub(super) fn headline(report: &MessageFields) -> String {
    format!("{}:  {}", report.severity, report.message)
}

/// The line of the query that holds a character, counted from 1, with a mark below it.
fn excerpt(query: &str, position: usize) -> Option<String> {
    let at = position.checked_sub(1)?;
    // a tab takes one column
    let characters: Vec<char> = query.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
    if at > characters.len() {
        return None;
    }
    let ends_line = |index: usize| matches!(characters[index], '\n' | '\r');
    let start = (0..at)
        .rev()
        .find(|&index| ends_line(index))
        .map_or(0, |index| index + 1);
    let end = (at..characters.len())
        .find(|&index| ends_line(index))
        .unwrap_or(characters.len());
    let line_ends = (0..at).filter(|&index| match characters[index] {
        '\r' => true,
        '\n' => index == 0 || characters[index - 1] != '\r',
        _ => false,
    });
    let width = |range: std::ops::Range<usize>| -> usize { characters[range].iter().map(|&c| columns(c)).sum() };

    let (mut from, mut to) = (start, end);
    if width(start..end) > EXCERPT_WIDTH {
        if EXCERPT_WIDTH >= width(start..at) + EXCERPT_RIGHT {
            while width(from..to) > EXCERPT_WIDTH {
                to -= 1;
            }
        } else {
            while width(start..at) + EXCERPT_RIGHT < width(start..to) {
                to -= 1;
            }
            while width(from..to) > EXCERPT_WIDTH {
                from += 1;
            }
        }
    }
    let cut = |is_cut| if is_cut { "..." } else { "" };
    let label = format!("LINE {}: {}", line_ends.count() + 1, cut(from > start));
    let shown: String = characters[from..to].iter().collect();
    let indent = label.len() + width(from.min(at)..at);
    Some(format!("{label}{shown}{}\n{:indent$}^\n", cut(to < end), ""))
}

fn columns(c: char) -> usize {
    c.width().unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_shows_detail_and_hint_but_no_context() {
        let report = MessageFields {
            severity: "NOTICE".into(),
            message: "m".into(),
            detail: Some("d".into()),
            hint: Some("h".into()),
            context: Some("c".into()),
            ..MessageFields::default()
        };
        assert_eq!(
            in_full(&report, "", Severity::Notice),
            "NOTICE:  m\nDETAIL:  d\nHINT:  h\n"
        );
        assert!(in_full(&report, "", Severity::Error).ends_with("HINT:  h\nCONTEXT:  c\n"));
    }

    #[test]
    fn a_position_is_marked_in_its_line() {
        let report = |position| MessageFields {
            severity: "ERROR".into(),
            message: "m".into(),
            position: Some(position),
            ..MessageFields::default()
        };
        let query = "SELECT\r\n\tnone";
        let text = in_full(&report(10), query, Severity::Error);
        assert_eq!(text, "ERROR:  m\nLINE 2:  none\n         ^\n");
        assert_eq!(in_full(&report(99), query, Severity::Error), "ERROR:  m\n");
    }

    #[test]
    fn a_long_line_is_cut_on_both_sides_of_the_position() {
        let query = format!("{}X{}", "a".repeat(80), "b".repeat(80));
        let text = excerpt(&query, 81).unwrap();
        let (line, mark) = text.split_once('\n').unwrap();
        assert_eq!(line, format!("LINE 1: ...{}X{}...", "a".repeat(50), "b".repeat(9)));
        assert_eq!(mark.find('^'), line.find('X'));
        let text = excerpt(&query, 3).unwrap();
        assert_eq!(text, format!("LINE 1: {}...\n          ^\n", "a".repeat(60)));
    }
}
