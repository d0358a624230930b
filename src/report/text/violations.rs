//! Why a schedule fails, with the values that show it.

use crate::history::{History, StepError, StepResult, Turn, Wait};
use crate::report::text::difference::difference_line;
use crate::report::text::layout::{
    TextOptions, Tone, counted, fields, joined, paint, shorten, table, value, visible, width, wrap,
};
use crate::report::text::outcomes::compact_order;
use crate::report::text::reply::error_line;
use crate::report::text::statement::{mentions, one_line, starts_clause};
use crate::verdict::outcome::{TableContent, Violation};

/// The most rows that are shown of a table or of what an invariant returned.
const ROWS_SHOWN: usize = 10;
/// Printed if an outcome is not that of a serial order.
const IGNORE_HINT: &str =
    "Columns that differ between orders by nature, such as ids drawn from a sequence, go into `ignore`.";
/// The longest statement that is shown, in columns.
const STATEMENT_WIDTH: usize = 600;

/// Says for each violation what is wrong, with the values that were seen: for an invariant its SQL, what it returned
/// and the final content of the tables that the SQL mentions.
///
/// `tables` is the final content of the run that `history` belongs to. The last line has no line break.
pub fn violations(
    violations: &[Violation],
    tables: &[TableContent],
    history: &History,
    options: &TextOptions,
) -> String {
    let paragraph = |violation: &Violation| {
        let mut lines = Vec::new();
        let head = wrap(&format!("✗ {}", headline(violation, history)), options.width, |_| {
            false
        });
        lines.extend(head.iter().map(|line| paint(line, Tone::Bad, options.colour)));
        match violation {
            Violation::Invariant { sql, columns, rows, .. } => {
                let sql = shorten(&one_line(sql), STATEMENT_WIDTH);
                lines.extend(indented(wrap(&sql, inner_width(options), starts_clause)));
                lines.extend(indented(wrap(&returned(columns, rows), inner_width(options), |_| {
                    false
                })));
                for content in tables.iter().filter(|content| mentions(&sql, &content.name)) {
                    lines.push(String::new());
                    lines.extend(indented(table_lines(content, options)));
                }
            }
            Violation::Deadlock { sessions } => {
                for wait in cycle(history, sessions) {
                    lines.extend(indented(wrap(&wait, inner_width(options), |_| false)));
                }
            }
            Violation::NotSerializable {
                orders,
                nearest,
                differences,
            } => {
                let mut text = nearest_order(*orders, nearest);
                text.extend(differences.iter().take(ROWS_SHOWN).map(difference_line));
                text.push(IGNORE_HINT.to_owned());
                for line in text {
                    lines.extend(indented(wrap(&line, inner_width(options), |_| false)));
                }
            }
            Violation::InvariantError { .. }
            | Violation::Error { .. }
            | Violation::Exit { .. }
            | Violation::Status { .. }
            | Violation::NoAnswer { .. } => {}
        }
        lines.join("\n")
    };
    violations.iter().map(paragraph).collect::<Vec<_>>().join("\n\n")
}

fn headline(violation: &Violation, history: &History) -> String {
    match violation {
        Violation::Invariant { name, .. } => format!("invariant broken: {}", visible(name)),
        Violation::InvariantError {
            name,
            sqlstate,
            message,
        } => {
            format!(
                "invariant not evaluated: {}: {}",
                visible(name),
                error_text(sqlstate, message)
            )
        }
        Violation::Error {
            session,
            step,
            sqlstate,
            message,
        } => {
            let turn = erring_turn(history, session, step, sqlstate);
            let turn = turn.map_or_else(String::new, |turn| format!(", turn {}", turn + 1));
            let error = error_text(sqlstate, message);
            format!("error in {}, step {}{turn}: {error}", visible(session), visible(step))
        }
        Violation::Exit { session, exit } => format!("the program of {} ended with {exit}", visible(session)),
        Violation::Status { session, status } => {
            format!("{} was answered with status {status}", visible(session))
        }
        Violation::NoAnswer { session, cause } => format!("{} got no answer: {cause}", visible(session)),
        Violation::Deadlock { sessions } => {
            let names: Vec<String> = sessions.iter().map(|name| visible(name)).collect();
            format!("deadlock: {} waited for each other", joined(&names))
        }
        Violation::NotSerializable { .. } => {
            "not serializable: no serial order of the committed transactions leads to this outcome".to_owned()
        }
    }
}

fn nearest_order(compared: usize, nearest: &[String]) -> Vec<String> {
    let order = compact_order(nearest);
    match compared {
        0 => Vec::new(),
        1 => vec![format!("A serial order is {order}. It differs in:")],
        _ => vec![format!(
            "Of {} that this was compared with the nearest is {order}. It differs in:",
            counted(compared as u64, "serial order"),
        )],
    }
}

fn error_text(sqlstate: &str, message: &str) -> String {
    error_line(&StepError {
        sqlstate: sqlstate.to_owned(),
        message: message.to_owned(),
    })
}

/// The last turn of the step that ended in this error, counted from 0.
fn erring_turn(history: &History, session: &str, step: &str, sqlstate: &str) -> Option<usize> {
    history.turns.iter().rposition(|turn| {
        history.sessions.get(turn.session).is_some_and(|name| name == session)
            && turn.step == step
            && matches!(&turn.result, StepResult::Error(error) if error.sqlstate == sqlstate)
    })
}

fn returned(columns: &[String], rows: &[Vec<Option<String>>]) -> String {
    match rows {
        [] => "→ no row; expected one row that begins with true".to_owned(),
        [row] => match row.as_slice() {
            [single] => format!("→ {}", truth(single.as_deref())),
            _ => format!("→ {}; expected one row that begins with true", fields(columns, row)),
        },
        several => {
            let mut shown: Vec<String> = several
                .iter()
                .take(ROWS_SHOWN)
                .map(|row| format!("({})", fields(columns, row)))
                .collect();
            if several.len() > ROWS_SHOWN {
                shown.push("…".to_owned());
            }
            let count = counted(several.len() as u64, "row");
            format!(
                "→ {count}: {}; expected one row that begins with true",
                shown.join(", ")
            )
        }
    }
}

/// What an invariant's only value says.
fn truth(cell: Option<&str>) -> String {
    match cell {
        Some("f") => "false".to_owned(),
        other => format!("{}; expected true", value(other)),
    }
}

/// One line for each session that waited when the server found the deadlock.
fn cycle(history: &History, sessions: &[String]) -> Vec<String> {
    let name = |session: usize| history.sessions.get(session).filter(|name| sessions.contains(name));
    let is_victim = |turn: &&Turn| {
        name(turn.session).is_some() && matches!(&turn.result, StepResult::Error(error) if error.sqlstate == "40P01")
    };
    let Some(found) = history.turns.iter().find(is_victim).map(|turn| turn.finished_in) else {
        return Vec::new();
    };
    let in_cycle = |wait: &&Wait| {
        (wait.from..=wait.until).contains(&found) && wait.blocked_by.iter().any(|&blocker| name(blocker).is_some())
    };
    let line = |(index, turn): (usize, &Turn)| {
        let waiting = name(turn.session)?;
        let wait = turn.waits.iter().find(in_cycle)?;
        let blockers: Vec<String> = wait
            .blocked_by
            .iter()
            .filter_map(|&b| name(b))
            .map(|name| visible(name))
            .collect();
        let statement = shorten(&one_line(&turn.filled), STATEMENT_WIDTH);
        Some(format!(
            "{} waited for {} (turn {}): {statement}",
            visible(waiting),
            joined(&blockers),
            index + 1
        ))
    };
    history.turns.iter().enumerate().filter_map(line).collect()
}

/// The content of a table: drawn if that fits, otherwise one line for each row.
fn table_lines(content: &TableContent, options: &TextOptions) -> Vec<String> {
    let name = visible(&content.name);
    if content.rows.is_empty() {
        return vec![format!("{name} at the end: empty")];
    }
    let heads = content.columns.iter().map(|column| visible(column)).collect();
    let shown = content.rows.iter().take(ROWS_SHOWN);
    let rows = shown
        .clone()
        .map(|row| row.iter().map(|cell| value(cell.as_deref())).collect());
    let drawn = table(std::iter::once(heads).chain(rows));
    let mut lines = vec![format!("{name} at the end:")];
    if drawn.lines().all(|line| width(line) <= inner_width(options)) {
        lines.extend(drawn.lines().map(str::to_owned));
    } else {
        lines.extend(shown.flat_map(|row| wrap(&fields(&content.columns, row), inner_width(options), |_| false)));
    }
    let left = content.rows.len().saturating_sub(ROWS_SHOWN) as u64;
    if left > 0 {
        lines.push(format!("… {}", counted(left, "more row")));
    }
    lines
}

const INDENT: &str = "  ";

pub(super) fn inner_width(options: &TextOptions) -> usize {
    options.width.saturating_sub(INDENT.len())
}

pub(super) fn indented(lines: Vec<String>) -> impl Iterator<Item = String> {
    lines.into_iter().map(|line| format!("{INDENT}{line}"))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::history::testing::{Sample, deadlock, done, error, lost_update};

    fn content(name: &str, columns: &[&str], rows: &[&[Option<&str>]]) -> TableContent {
        TableContent {
            name: name.to_owned(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            rows: rows
                .iter()
                .map(|row| row.iter().map(|cell| cell.map(str::to_owned)).collect())
                .collect(),
        }
    }

    fn invariant(sql: &str, rows: &[&[Option<&str>]]) -> Violation {
        Violation::Invariant {
            name: "no update is lost".to_owned(),
            sql: sql.to_owned(),
            columns: vec!["?column?".to_owned()],
            rows: rows
                .iter()
                .map(|row| row.iter().map(|cell| cell.map(str::to_owned)).collect())
                .collect(),
        }
    }

    fn said(violation: Violation, tables: &[TableContent], history: &History) -> String {
        violations(&[violation], tables, history, &TextOptions::default())
    }

    #[test]
    fn an_invariant_with_the_table_that_it_saw() {
        let tables = [
            content(
                "articles",
                &["id", "views"],
                &[&[Some("a1"), Some("1")], &[Some("a2"), None]],
            ),
            content("authors", &["id"], &[&[Some("1")]]),
        ];
        let broken = invariant("SELECT views = 2\n  FROM articles WHERE id = 'a1'", &[&[Some("f")]]);
        assert_snapshot!(said(broken, &tables, &lost_update()), @"
        ✗ invariant broken: no update is lost
          SELECT views = 2 FROM articles WHERE id = 'a1'
          → false

          articles at the end:
           id │ views
          ────┼───────
           a1 │ 1
           a2 │ NULL
        ");
    }

    #[test]
    fn what_is_no_boolean_row_is_said() {
        let returned = |rows| said(invariant("SELECT x", rows), &[], &lost_update());
        assert!(returned(&[]).ends_with("→ no row; expected one row that begins with true"));
        assert!(returned(&[&[None]]).ends_with("→ NULL; expected true"));
        assert!(
            returned(&[&[Some("t")], &[Some("f")]])
                .ends_with("→ 2 rows: (t), (f); expected one row that begins with true")
        );
    }

    #[test]
    fn of_a_long_table_the_first_rows_are_shown_and_a_wide_one_has_a_line_a_row() {
        let long = "x".repeat(55);
        let wide: &[Option<&str>] = &[Some(&long), Some(&long)];
        let one: &[Option<&str>] = &[Some("7")];
        let tables = [
            content("many", &["n"], &[one; 13]),
            content("wide", &["a", "b"], &[wide]),
            content("none", &[], &[]),
        ];
        let broken = invariant("SELECT false FROM many, wide, none", &[&[Some("f")]]);
        assert_snapshot!(said(broken, &tables, &lost_update()), @"
        ✗ invariant broken: no update is lost
          SELECT false FROM many, wide, none
          → false

          many at the end:
           n
          ───
           7
           7
           7
           7
           7
           7
           7
           7
           7
           7
          … 3 more rows

          wide at the end:
          a = xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, b =
            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx

          none at the end: empty
        ");
    }

    #[test]
    fn an_error_names_session_step_turn_and_message() {
        let history = Sample::new(&["a", "b"])
            .turn(0, "INSERT INTO t VALUES (1)", done("INSERT 0 1"))
            .turn(1, "INSERT INTO t VALUES (1)", error("23505", "duplicate key value"))
            .history();
        let ended = Violation::Error {
            session: "b".to_owned(),
            step: "insert".to_owned(),
            sqlstate: "23505".to_owned(),
            message: "duplicate key value".to_owned(),
        };
        assert_eq!(ended.name(), "error 23505 in b");
        assert_snapshot!(said(ended, &[], &history), @"✗ error in b, step insert, turn 2: 23505 duplicate key value");
    }

    #[test]
    fn a_deadlock_names_who_waited_for_whom() {
        let sessions = vec!["worker-1".to_owned(), "worker-2".to_owned()];
        assert_snapshot!(said(Violation::Deadlock { sessions }, &[], &deadlock()), @"
        ✗ deadlock: worker-1 and worker-2 waited for each other
          worker-1 waited for worker-2 (turn 3): UPDATE accounts SET n = n + 1 WHERE id = 2
          worker-2 waited for worker-1 (turn 4): UPDATE accounts SET n = n + 1 WHERE id = 1
        ");
    }

    #[test]
    fn an_invariant_that_errs() {
        let broken = Violation::InvariantError {
            name: "no update is lost".to_owned(),
            sqlstate: "22012".to_owned(),
            message: "division by zero".to_owned(),
        };
        let said = said(broken, &[], &lost_update());
        assert_snapshot!(said, @"✗ invariant not evaluated: no update is lost: 22012 division by zero");
    }
}
