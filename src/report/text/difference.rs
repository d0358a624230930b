//! Where an outcome differs from that of a serial order, in brief.

use crate::report::text::layout::{counted, fields, visible};
use crate::report::text::reply::reply_lines;
use crate::verdict::outcome::TableContent;
use crate::verdict::serializability::Difference;

/// The most rows of a table that are shown on either side.
const ROWS_SHOWN: usize = 4;

/// One line without a break.
pub(crate) fn difference_line(difference: &Difference) -> String {
    match difference {
        Difference::Step {
            session,
            step,
            seen,
            serial,
        } => format!(
            "{}, step {}: {}; in that order {}",
            visible(session),
            visible(step),
            reply_lines(seen).join(" | "),
            reply_lines(serial).join(" | ")
        ),
        Difference::OtherSteps { session, seen, serial } => format!(
            "{}: {}; in that order {}",
            visible(session),
            next_statement(seen.as_deref()),
            next_statement(serial.as_deref())
        ),
        Difference::Table { seen, serial } => format!(
            "{} at the end: {}; in that order {}",
            visible(&seen.name),
            rows_apart_from(seen, serial),
            rows_apart_from(serial, seen)
        ),
    }
}

/// A statement on one line.
fn next_statement(sql: Option<&str>) -> String {
    match sql {
        None => "nothing more that committed".to_owned(),
        Some(sql) => {
            let words: Vec<&str> = sql.split_whitespace().collect();
            visible(&words.join(" "))
        }
    }
}

/// The rows that the other content does not have.
fn rows_apart_from(content: &TableContent, other: &TableContent) -> String {
    let mut others: Vec<_> = other.rows.iter().collect();
    let mut own = Vec::new();
    for row in &content.rows {
        match others.iter().position(|other| *other == row) {
            Some(place) => drop(others.swap_remove(place)),
            None => own.push(row),
        }
    }
    if own.is_empty() {
        return "no such row".to_owned();
    }
    let mut shown: Vec<String> = own
        .iter()
        .take(ROWS_SHOWN)
        .map(|row| format!("({})", fields(&content.columns, row)))
        .collect();
    let left = own.len().saturating_sub(ROWS_SHOWN) as u64;
    if left > 0 {
        shown.push(format!("… {}", counted(left, "more row")));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::testing::row;

    fn table(rows: &[&str]) -> TableContent {
        TableContent {
            name: "t".to_owned(),
            columns: vec!["n".to_owned()],
            rows: rows.iter().map(|&value| vec![Some(value.to_owned())]).collect(),
        }
    }

    #[test]
    fn rows_that_both_have_are_left_out() {
        let line = |seen: &[&str], serial: &[&str]| {
            difference_line(&Difference::Table {
                seen: table(seen),
                serial: table(serial),
            })
        };
        assert_eq!(
            line(&["1", "2"], &["1", "3"]),
            "t at the end: (n = 2); in that order (n = 3)"
        );
        assert_eq!(
            line(&["1", "1"], &["1"]),
            "t at the end: (n = 1); in that order no such row"
        );
    }

    #[test]
    fn other_steps_are_told_by_their_statements() {
        let difference = Difference::OtherSteps {
            session: "a".to_owned(),
            seen: Some("SELECT 1\n  FROM t".to_owned()),
            serial: None,
        };
        assert_eq!(
            difference_line(&difference),
            "a: SELECT 1 FROM t; in that order nothing more that committed"
        );
    }

    #[test]
    fn a_step_shows_both_results() {
        let difference = Difference::Step {
            session: "a".to_owned(),
            step: "read".to_owned(),
            seen: row(&[("n", Some("0"))]),
            serial: row(&[("n", Some("1"))]),
        };
        assert_eq!(difference_line(&difference), "a, step read: n = 0; in that order n = 1");
    }
}
