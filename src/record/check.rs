//! Whether a script does what the programs did.

use crate::history::has_placeholder;
use crate::run::Run;
use crate::verdict::outcome::TableContent;

/// In which ways the script's run differs from that of the programs, in a sentence each. Both ran one session after the
/// other. `invariants` are those that the script has.
pub fn differences(programs: &Run, script: &Run, invariants: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for table in &programs.outcome.tables {
        let others = &script.outcome.tables;
        match others.iter().find(|other| other.name == table.name) {
            Some(other) if same(table, other) => {}
            _ => found.push(format!("table {} holds other rows at the end", table.name)),
        }
    }
    for invariant in invariants {
        let breaks = |run: &Run| run.violated().contains(invariant);
        match (breaks(programs), breaks(script)) {
            (false, true) => found.push(format!("the steps break \"{invariant}\", and the programs did not")),
            (true, false) => found.push(format!("the programs broke \"{invariant}\", and the steps do not")),
            _ => {}
        }
    }
    found
}

fn same(one: &TableContent, other: &TableContent) -> bool {
    // a program makes these anew each time; a script has them as they were sent, and rows are sorted by them
    let is_new = |value: &Option<String>| value.as_deref().is_some_and(has_placeholder);
    let made: Vec<usize> = (0..one.columns.len())
        .filter(|column| one.rows.iter().any(|row| row.get(*column).is_some_and(is_new)))
        .collect();
    let without = |table: &TableContent| {
        let rest = |row: &Vec<Option<String>>| -> Vec<Option<String>> {
            let cells = row.iter().enumerate().filter(|(column, _)| !made.contains(column));
            cells.map(|(_, value)| value.clone()).collect()
        };
        let mut rows: Vec<_> = table.rows.iter().map(rest).collect();
        rows.sort();
        rows
    };
    without(one) == without(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 2]]) -> TableContent {
        TableContent {
            name: "t".to_owned(),
            columns: vec!["a".to_owned(), "b".to_owned()],
            rows: rows
                .iter()
                .map(|row| row.map(|value| Some(value.to_owned())).to_vec())
                .collect(),
        }
    }

    #[test]
    fn values_made_anew_are_not_compared() {
        assert!(same(&table(&[["1", "x"]]), &table(&[["1", "x"]])));
        assert!(!same(&table(&[["1", "x"]]), &table(&[["1", "y"]])));
        let times = table(&[["<now>", "1"], ["<now>", "2"]]);
        assert!(same(
            &times,
            &table(&[["2026-01-01 00:00:01", "2"], ["2026-01-01 00:00:02", "1"]])
        ));
        assert!(!same(&times, &table(&[["<now>", "1"], ["<now>", "3"]])));
    }
}
