//! What copies sent, side by side.

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::lines::{Line, Lines};
use super::pieces::{Piece, pieces};
use crate::sql::StatementKind;
use crate::sql::classify::first_word;

/// A statement, as each of the copies sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// By copy.
    pub cells: Vec<Cell>,
}

/// A copy's part in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// The line of this index.
    Line(usize),
    /// The copy did without it.
    Skipped,
    /// An error had ended the copy.
    Over,
}

impl Row {
    /// The copies that sent it, and their lines.
    pub fn lines(&self) -> impl Iterator<Item = (usize, usize)> {
        let line = |(copy, cell): (usize, &Cell)| match cell {
            Cell::Line(line) => Some((copy, *line)),
            Cell::Skipped | Cell::Over => None,
        };
        self.cells.iter().enumerate().filter_map(line)
    }

    /// The copies that did without it.
    pub fn skipped_by(&self) -> impl Iterator<Item = usize> {
        let cells = self.cells.iter().enumerate();
        cells.filter(|(_, cell)| **cell == Cell::Skipped).map(|(copy, _)| copy)
    }

    /// The line that stands for it: that of the first copy, or of the first that commits where others roll back.
    pub fn line<'a>(&self, copies: &[&'a Lines]) -> Option<&'a Line> {
        let mut lines = self.lines().map(|(copy, line)| &copies[copy].lines[line]);
        let first = lines.next()?;
        match first.kind() {
            StatementKind::Rollback { .. } => lines.find(|line| line.kind() != first.kind()).or(Some(first)),
            _ => Some(first),
        }
    }
}

/// The statements of all copies, each once, in an order that is that of every copy.
pub fn rows(copies: &[&Lines]) -> Vec<Row> {
    let mut merged: Vec<(String, Vec<Option<usize>>)> = Vec::new();
    for (copy, lines) in copies.iter().enumerate() {
        let shapes = shapes(lines);
        let own = |line: usize| {
            let mut cells = vec![None; copies.len()];
            cells[copy] = Some(line);
            (shapes[line].clone(), cells)
        };
        let before: Vec<&String> = merged.iter().map(|(shape, _)| shape).collect();
        let after: Vec<&String> = shapes.iter().collect();
        let mut next = Vec::new();
        for operation in capture_diff_slices(Algorithm::Lcs, &before, &after) {
            let (_, old, new) = operation.as_tag_tuple();
            next.extend(merged[old.clone()].iter().cloned());
            match operation {
                DiffOp::Equal { .. } => {
                    let first = next.len() - old.len();
                    for (row, line) in next[first..].iter_mut().zip(new) {
                        row.1[copy] = Some(line);
                    }
                }
                _ => next.extend(new.map(own)),
            }
        }
        merged = next;
    }
    let last: Vec<usize> = (0..copies.len())
        .map(|copy| merged.iter().rposition(|(_, cells)| cells[copy].is_some()).unwrap_or(0))
        .collect();
    let row = |(index, (_, cells)): (usize, (String, Vec<Option<usize>>))| Row {
        cells: cells
            .into_iter()
            .enumerate()
            .map(|(copy, line)| match line {
                Some(line) => Cell::Line(line),
                None if copies[copy].error.is_some() && index > last[copy] => Cell::Over,
                None => Cell::Skipped,
            })
            .collect(),
    };
    merged.into_iter().enumerate().map(row).collect()
}

/// Whether two sessions sent the same statements, but for values.
pub fn alike(one: &Lines, other: &Lines) -> bool {
    shapes(one) == shapes(other) && one.isolation == other.isolation && one.error == other.error
}

/// By line: its text without values.
fn shapes(lines: &Lines) -> Vec<String> {
    let mut found: Vec<String> = Vec::with_capacity(lines.lines.len());
    let mut only_reads = true;
    for line in &lines.lines {
        let kind = line.kind();
        found.push(match kind {
            StatementKind::Commit { chain: false } => "COMMIT".to_owned(),
            // where nothing was written the two are the same
            StatementKind::Rollback { chain: false } if only_reads => "COMMIT".to_owned(),
            _ => shape(line),
        });
        only_reads = match kind {
            StatementKind::Begin => true,
            StatementKind::Plain => only_reads && first_word(&line.sql).is_some_and(|word| word == "select"),
            _ => only_reads,
        };
    }
    // an error ended it, so that this one was never run
    if lines.error.is_some() && lines.lines.last().is_some_and(|line| line.name.is_none()) {
        found.pop();
    }
    found
}

fn shape(line: &Line) -> String {
    let mut text = format!("{} ", line.values.len());
    for piece in pieces(&line.sql) {
        match piece {
            Piece::Text(piece) => text += &piece,
            Piece::Parameter(number) => text += &format!("${number}"),
            Piece::Literal(_) => text.push('\0'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(sql: &[&str]) -> Lines {
        let line = |sql: &&str| Line {
            name: Some(sql.to_lowercase()),
            ..Line::plain(*sql)
        };
        Lines {
            lines: sql.iter().map(line).collect(),
            ..Lines::default()
        }
    }

    /// By row: `+` for a copy that sent it, `-` for one that did without it, `.` for one that was over.
    fn drawn(copies: &[&Lines]) -> Vec<String> {
        let drawn = |row: &Row| {
            let cells = row.cells.iter().map(|cell| match cell {
                Cell::Line(_) => '+',
                Cell::Skipped => '-',
                Cell::Over => '.',
            });
            let line = row.line(copies).expect("a line");
            format!("{} {}", cells.collect::<String>(), line.sql)
        };
        rows(copies).iter().map(drawn).collect()
    }

    #[test]
    fn copies_are_laid_side_by_side() {
        let found = drawn(&[
            &path(&["BEGIN", "SELECT 1", "UPDATE t", "COMMIT"]),
            &path(&["BEGIN", "SELECT 2", "ROLLBACK"]),
            &path(&["BEGIN", "SELECT 3", "DELETE FROM t", "COMMIT"]),
        ]);
        let expected = [
            "+++ BEGIN",
            "+++ SELECT 1",
            "+-- UPDATE t",
            "--+ DELETE FROM t",
            "+++ COMMIT",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_copies_have_in_common_comes_first() {
        let found = drawn(&[
            &path(&["BEGIN", "UPDATE t", "COMMIT"]),
            &path(&["BEGIN", "UPDATE t", "COMMIT", "BEGIN", "SELECT 1", "ROLLBACK"]),
        ]);
        let expected = [
            "++ BEGIN",
            "++ UPDATE t",
            "++ COMMIT",
            "-+ BEGIN",
            "-+ SELECT 1",
            "-+ ROLLBACK",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_rollback_of_changes_is_no_commit() {
        let found = drawn(&[
            &path(&["BEGIN", "UPDATE t", "COMMIT"]),
            &path(&["BEGIN", "UPDATE t", "ROLLBACK"]),
        ]);
        assert_eq!(found, ["++ BEGIN", "++ UPDATE t", "+- COMMIT", "-+ ROLLBACK"]);
    }

    #[test]
    fn what_would_have_come_after_an_error_was_not_skipped() {
        let mut failed = path(&["BEGIN", "INSERT INTO t"]);
        failed.lines.push(Line::plain("ROLLBACK"));
        failed.error = Some("23505".to_owned());
        let found = drawn(&[&path(&["BEGIN", "INSERT INTO t", "UPDATE t", "COMMIT"]), &failed]);
        assert_eq!(found, ["++ BEGIN", "++ INSERT INTO t", "+. UPDATE t", "+. COMMIT"]);
        // where nobody came further, it still ends
        assert_eq!(drawn(&[&failed]), ["+ BEGIN", "+ INSERT INTO t"]);
    }
}
