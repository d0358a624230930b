//! The outcomes that an exploration found, as a table.

use crate::report::document::Outcome;
use crate::report::text::layout::{
    TextOptions, Tone, counted, grouped, paint, share, shorten, table, table_overhead, visible, width, wrap,
};

/// The most runs of the same session that are shown of an order.
const RUNS_SHOWN: usize = 8;
/// The first columns, which are never wrapped.
const COUNT_COLUMNS: usize = 2;
const NARROWEST_TEXT: usize = 16;

/// The most rows that are shown.
const ROWS_SHOWN: usize = 12;

/// Draws the outcomes in the given order, one per row. The last line has no line break. If there are many, only the
/// first are shown, failing ones before the others.
///
/// No line is wider than `options.width` if that is at least 80 and the ids are short.
pub(super) fn outcomes(rows: &[Outcome], options: &TextOptions) -> String {
    if rows.len() > ROWS_SHOWN {
        let (mut shown, mut others): (Vec<Outcome>, Vec<Outcome>) = rows.iter().cloned().partition(Outcome::fails);
        shown.append(&mut others);
        let more = shown.split_off(ROWS_SHOWN);
        let failing = match more.iter().filter(|row| row.fails()).count() {
            0 => String::new(),
            failing => format!(", {} of which fail", grouped(&failing.to_string())),
        };
        return format!(
            "{}\n … and {}{failing}; --format json has all",
            outcomes(&shown, options),
            counted(more.len() as u64, "more outcome"),
        );
    }
    let heads = ["outcome", "schedules", "verdict", "example"];
    let texts: Vec<Vec<String>> = rows.iter().map(texts).collect();
    let longest = |column: usize| texts.iter().map(|row| width(&row[column])).max().unwrap_or(0);
    let natural: Vec<usize> = (0..heads.len())
        .map(|column| longest(column).max(width(heads[column])))
        .collect();
    let (counts, described) = natural.split_at(COUNT_COLUMNS);
    let room = options
        .width
        .saturating_sub(counts.iter().sum::<usize>() + table_overhead(heads.len()));
    let widths = [counts, &share(described, room.max(NARROWEST_TEXT * described.len()))].concat();

    let head = heads
        .iter()
        .map(|head| paint(head, Tone::Head, options.colour))
        .collect();
    let body = rows.iter().zip(texts).map(|(row, texts)| {
        let cell = |(column, text): (usize, String)| {
            let tone = if column == 2 && row.fails() {
                Tone::Bad
            } else {
                Tone::Plain
            };
            let lines = wrap(&text, widths[column], |_| false);
            lines
                .iter()
                .map(|line| paint(line, tone, options.colour))
                .collect::<Vec<_>>()
                .join("\n")
        };
        texts.into_iter().enumerate().map(cell).collect()
    });
    table(std::iter::once(head).chain(body))
}

fn texts(row: &Outcome) -> Vec<String> {
    const LONGEST: usize = 200;
    let verdict = match row.fails() {
        false => "holds".to_owned(),
        true => format!("fails: {}", shorten(&visible(&row.violations.join(", ")), LONGEST)),
    };
    let schedules = grouped(&row.schedules.to_string());
    vec![
        visible(&row.id),
        format!("{schedules:>9}"),
        verdict,
        compact_order(&row.order),
    ]
}

/// An order in which consecutive steps of one session are joined: `worker-1 ×2, worker-2 ×3, worker-1`.
///
/// Of a long order, only the first are shown, and the number of steps that follow.
pub(super) fn compact_order(order: &[String]) -> String {
    let runs: Vec<&[String]> = order.chunk_by(|a, b| a == b).collect();
    let shown = if runs.len() > RUNS_SHOWN {
        RUNS_SHOWN - 1
    } else {
        runs.len()
    };
    let run = |run: &&[String]| match run {
        [name] => visible(name),
        several => format!("{} ×{}", visible(&several[0]), several.len()),
    };
    let mut parts: Vec<String> = runs.iter().take(shown).map(run).collect();
    let left: usize = runs.iter().skip(shown).map(|run| run.len()).sum();
    if left > 0 {
        parts.push(format!("… {left} more steps"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn order(names: &str) -> Vec<String> {
        names.split(' ').map(str::to_owned).collect()
    }

    fn row(id: &str, schedules: u64, violations: &[&str], names: &str) -> Outcome {
        Outcome {
            id: id.to_owned(),
            schedules,
            violations: violations.iter().map(|&name| name.to_owned()).collect(),
            order: order(names),
        }
    }

    fn two() -> Vec<Outcome> {
        vec![
            row(
                "3f9a1c",
                12_345,
                &[],
                "worker-1 worker-1 worker-1 worker-2 worker-2 worker-2",
            ),
            row(
                "b07e52",
                18,
                &["no update is lost", "40P01 in worker-2"],
                "worker-1 worker-2 worker-1 worker-2 worker-1 worker-2",
            ),
        ]
    }

    #[test]
    fn outcomes_with_their_counts_verdicts_and_examples() {
        assert_snapshot!(outcomes(&two(), &TextOptions::default()), @"
         outcome │ schedules │ verdict                            │ example
        ─────────┼───────────┼────────────────────────────────────┼────────────────────────────────
         3f9a1c  │    12,345 │ holds                              │ worker-1 ×3, worker-2 ×3
         b07e52  │        18 │ fails: no update is lost, 40P01 in │ worker-1, worker-2, worker-1,
                 │           │   worker-2                         │   worker-2, worker-1, worker-2
        ");
    }

    #[test]
    fn the_lines_fit_the_width() {
        let mut rows = two();
        rows[0].violations = vec!["x".repeat(300); 3];
        rows[1].order = order(&"worker".repeat(20));
        for max in [80, 100, 140] {
            for line in outcomes(
                &rows,
                &TextOptions {
                    width: max,
                    colour: false,
                },
            )
            .lines()
            {
                assert!(width(line) <= max, "{line}");
            }
        }
    }

    #[test]
    fn steps_in_a_row_are_joined() {
        assert_eq!(compact_order(&order("a a b b b a")), "a ×2, b ×3, a");
        assert_eq!(compact_order(&[]), "");
    }

    #[test]
    fn a_long_order_is_cut() {
        assert_eq!(compact_order(&order("a b a b a b a b")), "a, b, a, b, a, b, a, b");
        assert_eq!(
            compact_order(&order("a b a b a b a b a a")),
            "a, b, a, b, a, b, a, … 3 more steps"
        );
    }
}
