//! The reply to a step, in brief.

use crate::history::{StepError, StepResult};
use crate::report::text::layout::{counted, fields, shorten, visible};

/// The most rows of a result that are shown.
const ROWS_SHOWN: usize = 3;
/// The longest row or message that is shown, in columns.
const LINE_WIDTH: usize = 240;

/// The result of a step that did not fail: a first line and, if there are several rows, one line for each.
pub(crate) fn reply_lines(result: &StepResult) -> Vec<String> {
    match result {
        StepResult::Done { tag } => vec![meaning(tag)],
        StepResult::Error(error) => vec![error_line(error)],
        StepResult::Rows { columns, rows, tag, .. } => {
            let read = tag.starts_with("SELECT") || tag.starts_with("FETCH");
            match rows.as_slice() {
                [] if read => vec!["no row".to_owned()],
                [] => vec![meaning(tag)],
                [row] if row.is_empty() => vec!["1 row".to_owned()],
                [row] if read => vec![shorten(&fields(columns, row), LINE_WIDTH)],
                [row] => vec![shorten(
                    &format!("{}: {}", meaning(tag), fields(columns, row)),
                    LINE_WIDTH,
                )],
                several => {
                    let count = counted(several.len() as u64, "row");
                    let head = if read { count } else { meaning(tag) };
                    let shown = several
                        .iter()
                        .take(ROWS_SHOWN)
                        .map(|row| shorten(&fields(columns, row), LINE_WIDTH));
                    let left = several.len().saturating_sub(ROWS_SHOWN) as u64;
                    let more = (left > 0).then(|| format!("… {}", counted(left, "more row")));
                    std::iter::once(head).chain(shown).chain(more).collect()
                }
            }
        }
    }
}

/// `23505 duplicate key value …`.
pub(crate) fn error_line(error: &StepError) -> String {
    let message = error.message.split_whitespace().collect::<Vec<_>>().join(" ");
    shorten(
        &format!("{} {}", visible(&error.sqlstate), visible(&message)),
        LINE_WIDTH,
    )
}

/// What a command tag means: `UPDATE 1` is `1 row updated`.
fn meaning(tag: &str) -> String {
    let done = |verb: &str, count: &str| match count.parse() {
        Ok(n) => format!("{} {verb}", counted(n, "row")),
        Err(_) => visible(tag),
    };
    match tag.split(' ').collect::<Vec<_>>().as_slice() {
        ["INSERT", _, n] => done("inserted", n),
        ["UPDATE", n] => done("updated", n),
        ["DELETE", n] => done("deleted", n),
        ["MERGE", n] => done("merged", n),
        ["COPY", n] => done("copied", n),
        ["SELECT" | "FETCH", n] => done("read", n),
        ["COMMIT"] => "committed".to_owned(),
        ["ROLLBACK"] => "rolled back".to_owned(),
        ["TRUNCATE", "TABLE"] => "emptied".to_owned(),
        ["DISCONNECT"] => "its advisory locks are free".to_owned(),
        ["LOCK", "TABLE"] => "locked".to_owned(),
        _ => visible(tag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::testing::{self, done, error};

    fn rows(columns: &[&str], rows: &[&[Option<&str>]], tag: &str) -> Vec<String> {
        reply_lines(&testing::rows(columns, rows, tag))
    }

    #[test]
    fn a_tag_is_shown_by_its_meaning() {
        let shown = |tag: &str| reply_lines(&done(tag)).join("|");
        assert_eq!(shown("UPDATE 1"), "1 row updated");
        assert_eq!(shown("UPDATE 0"), "0 rows updated");
        assert_eq!(shown("INSERT 0 12345"), "12,345 rows inserted");
        assert_eq!(shown("DELETE 2"), "2 rows deleted");
        assert_eq!(shown("COMMIT"), "committed");
        assert_eq!(shown("ROLLBACK"), "rolled back");
        assert_eq!(shown("CREATE TABLE"), "CREATE TABLE");
        assert_eq!(shown("UPDATE many"), "UPDATE many");
    }

    #[test]
    fn rows_are_shown_by_column() {
        assert_eq!(rows(&["views"], &[&[Some("0")]], "SELECT 1"), ["views = 0"]);
        assert_eq!(
            rows(&["id", "by"], &[&[Some("a"), None]], "SELECT 1"),
            ["id = a, by = NULL"]
        );
        assert_eq!(rows(&["by"], &[&[Some("NULL")]], "SELECT 1"), ["by = 'NULL'"]);
        assert_eq!(rows(&["?column?"], &[&[Some("")]], "SELECT 1"), ["''"]);
        assert_eq!(rows(&["id"], &[], "SELECT 0"), ["no row"]);
        assert_eq!(rows(&["id"], &[], "UPDATE 0"), ["0 rows updated"]);
        assert_eq!(rows(&["id"], &[&[Some("7")]], "INSERT 0 1"), ["1 row inserted: id = 7"]);
        assert_eq!(rows(&[], &[&[]], "SELECT 1"), ["1 row"]);
    }

    #[test]
    fn of_many_rows_the_first_are_shown() {
        let row: &[Option<&str>] = &[Some("1")];
        assert_eq!(
            rows(&["id"], &[row; 5], "SELECT 5"),
            ["5 rows", "id = 1", "id = 1", "id = 1", "… 2 more rows"]
        );
    }

    #[test]
    fn an_error_is_its_sqlstate_and_its_message_on_one_line() {
        let error = error("23505", "duplicate key\nvalue");
        assert_eq!(reply_lines(&error), ["23505 duplicate key value"]);
    }
}
