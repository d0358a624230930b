//! What came of all trials.

use std::collections::BTreeMap;
use std::fmt;

use super::fault::FAULTS;

/// What came of one.
#[derive(Debug, Default)]
pub struct Report {
    pub fault: &'static str,
    /// Task and fault, to find it again.
    pub what: String,
    /// `None` where the trial could not be made.
    pub code: Option<i32>,
    /// What should not be.
    pub wrong: Vec<String>,
    /// It left something, as it may, and the next run removed it.
    pub swept: bool,
}

#[derive(Debug, Default)]
struct Row {
    trials: usize,
    skipped: usize,
    codes: BTreeMap<i32, usize>,
    swept: usize,
    wrong: usize,
}

impl Row {
    fn add(&mut self, report: &Report) {
        match report.code {
            Some(code) => {
                self.trials += 1;
                *self.codes.entry(code).or_default() += 1;
            }
            // it went wrong before it began
            None if !report.wrong.is_empty() => self.trials += 1,
            None => self.skipped += 1,
        }
        self.swept += usize::from(report.swept);
        self.wrong += usize::from(!report.wrong.is_empty());
    }
}

#[derive(Debug, Default)]
pub struct Table(BTreeMap<&'static str, Row>, Row);

impl Table {
    pub fn add(&mut self, report: Report) {
        self.0.entry(report.fault).or_default().add(&report);
        self.1.add(&report);
    }

    pub fn wrong(&self) -> usize {
        self.1.wrong
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "| fault | trials | exit codes | swept by the next run | wrong |")?;
        writeln!(out, "|---|---|---|---|---|")?;
        let rows = FAULTS
            .iter()
            .filter_map(|(fault, _)| Some((*fault, self.0.get(fault)?)));
        for (fault, row) in rows.chain([("all", &self.1)]) {
            let codes: Vec<String> = row
                .codes
                .iter()
                .map(|(code, times)| format!("{code} ×{times}"))
                .collect();
            let skipped = match row.skipped {
                0 => String::new(),
                skipped => format!(" ({skipped} need root)"),
            };
            writeln!(
                out,
                "| {fault} | {}{skipped} | {} | {} | {} |",
                row.trials,
                codes.join(", "),
                row.swept,
                row.wrong
            )?;
        }
        Ok(())
    }
}
