//! A test run of specifications: a line for each, what differs, and a summary.

mod json;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::junit::{Case, CaseOutcome};
use super::text::{TextOptions, Tone, paint};
use crate::isolation::Mismatch;
use crate::terminal::{visible, visible_lines};
pub use json::json;

/// A specification that was compared with its expected output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    pub name: String,
    pub elapsed: Duration,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Differs(Mismatch),
    /// It was run, but there is nothing to compare it with: this file is not there.
    NothingExpected(PathBuf),
    /// It could not be run.
    Error(String),
}

/// What stands below a line is set in by so much.
const HANG: &str = "                    ";

/// One line for a specification, and below it what is wrong.
pub fn entry(compared: &Compared, options: &TextOptions) -> String {
    let (word, tone) = match compared.outcome {
        Outcome::Passed => ("PASS", Tone::Good),
        Outcome::Differs(_) => ("FAIL", Tone::Bad),
        Outcome::NothingExpected(_) | Outcome::Error(_) => ("ERROR", Tone::Bad),
    };
    let word = paint(&format!("{word:>7}"), tone, options.colour);
    let mut text = format!(
        "{word} [{:>8.3}s] {}",
        compared.elapsed.as_secs_f64(),
        visible(&compared.name)
    );
    match &compared.outcome {
        Outcome::Passed => {}
        Outcome::Differs(mismatch) => {
            text.push('\n');
            for line in mismatch.difference.lines() {
                let tone = match line.as_bytes().first() {
                    Some(b'+') => Tone::Good,
                    Some(b'-') => Tone::Bad,
                    Some(b'@') => Tone::Blocked,
                    _ => Tone::Plain,
                };
                let _ = write!(text, "\n{}", paint(&visible_lines(line), tone, options.colour));
            }
            text.push('\n');
        }
        Outcome::NothingExpected(path) => {
            let _ = write!(text, ": {}", visible(&nothing_expected(path)));
        }
        Outcome::Error(message) => {
            for line in message.trim_end().lines() {
                let _ = write!(text, "\n{HANG}{}", visible_lines(line));
            }
        }
    }
    text
}

fn nothing_expected(path: &Path) -> String {
    format!("there is no expected output {}", path.display())
}

/// How many passed, and the names of those that did not.
pub fn summary(compared: &[Compared], elapsed: Duration, options: &TextOptions) -> String {
    let names = |wanted: fn(&Outcome) -> bool| -> Vec<String> {
        let chosen = compared.iter().filter(|one| wanted(&one.outcome));
        chosen.map(|one| visible(&one.name)).collect()
    };
    let passed = names(|outcome| matches!(outcome, Outcome::Passed)).len();
    let failed = names(|outcome| matches!(outcome, Outcome::Differs(_)));
    let errors = names(|outcome| matches!(outcome, Outcome::Error(_)));
    let nothing_expected = names(|outcome| matches!(outcome, Outcome::NothingExpected(_)));
    let plural = if compared.len() == 1 { "" } else { "s" };
    let mut text = format!("{} specification{plural}: {passed} passed", compared.len());
    let others = [
        (failed, "failed"),
        (nothing_expected, "without expected output"),
        (errors, "could not be run"),
    ];
    for (names, what) in &others {
        if !names.is_empty() {
            let _ = write!(text, ", {} {what}", names.len());
        }
    }
    let _ = write!(text, " ({:.3} s)", elapsed.as_secs_f64());
    let tone = if passed == compared.len() {
        Tone::Good
    } else {
        Tone::Bad
    };
    text = paint(&text, tone, options.colour);
    for (names, what) in others {
        if !names.is_empty() {
            let _ = write!(text, "\n{what}: {}", names.join(", "));
        }
    }
    text
}

impl Compared {
    /// The same as a test of JUnit.
    pub fn case(&self) -> Case {
        let outcome = match &self.outcome {
            Outcome::Passed => CaseOutcome::Pass,
            Outcome::Differs(mismatch) => CaseOutcome::Failure {
                message: format!(
                    "the output differs from {}: {} lines added, {} removed",
                    mismatch.closest.display(),
                    mismatch.lines_added,
                    mismatch.lines_removed
                ),
                text: mismatch.difference.clone(),
            },
            Outcome::NothingExpected(path) => CaseOutcome::Error {
                message: nothing_expected(path),
                text: String::new(),
            },
            Outcome::Error(message) => CaseOutcome::Error {
                message: message.lines().next().unwrap_or_default().to_owned(),
                text: message.clone(),
            },
        };
        Case {
            name: self.name.clone(),
            elapsed: self.elapsed,
            outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Vec<Compared> {
        let compared = |name: &str, outcome| Compared {
            name: name.to_owned(),
            elapsed: Duration::from_millis(1250),
            outcome,
        };
        vec![
            compared("a", Outcome::Passed),
            compared(
                "b",
                Outcome::Differs(Mismatch {
                    closest: PathBuf::from("expected/b.out"),
                    difference: "@@ -1 +1 @@\n-old\n+new\n".to_owned(),
                    lines_added: 1,
                    lines_removed: 1,
                }),
            ),
            compared("c", Outcome::Error("setup failed:\nERROR:  no".to_owned())),
            compared("d", Outcome::NothingExpected(PathBuf::from("expected/d.out"))),
        ]
    }

    #[test]
    fn every_specification_has_its_line() {
        let options = TextOptions::default();
        let text: Vec<String> = run().iter().map(|one| entry(one, &options)).collect();
        assert_eq!(text[0], "   PASS [   1.250s] a");
        assert_eq!(text[1], "   FAIL [   1.250s] b\n\n@@ -1 +1 @@\n-old\n+new\n");
        assert_eq!(
            text[2],
            "  ERROR [   1.250s] c\n                    setup failed:\n                    ERROR:  no"
        );
        assert_eq!(
            text[3],
            "  ERROR [   1.250s] d: there is no expected output expected/d.out"
        );
    }

    #[test]
    fn a_program_is_told_the_same() {
        let report: serde_json::Value = serde_json::from_str(&json(&run(), Duration::from_secs(2))).unwrap();
        assert_eq!(report["verdict"], "failed");
        assert_eq!([&report["passed"], &report["failed"], &report["errors"]], [1, 1, 2]);
        let specifications = report["specifications"].as_array().unwrap();
        assert_eq!(specifications[1]["difference"]["diff"], "@@ -1 +1 @@\n-old\n+new\n");
        assert_eq!(
            specifications[3]["message"],
            "there is no expected output expected/d.out"
        );
    }

    #[test]
    fn the_summary_names_what_did_not_pass() {
        let text = summary(&run(), Duration::from_millis(2500), &TextOptions::default());
        assert_eq!(
            text,
            "4 specifications: 1 passed, 1 failed, 1 without expected output, 1 could not be run (2.500 s)\n\
             failed: b\nwithout expected output: d\ncould not be run: c"
        );
    }

    #[test]
    fn differences_are_failures_and_the_rest_errors() {
        let outcomes: Vec<CaseOutcome> = run().iter().map(|one| one.case().outcome).collect();
        assert_eq!(outcomes[0], CaseOutcome::Pass);
        assert!(matches!(&outcomes[1], CaseOutcome::Failure { message, .. } if message.contains("expected/b.out")));
        assert!(matches!(&outcomes[2], CaseOutcome::Error { message, .. } if message == "setup failed:"));
    }

    #[test]
    fn nothing_steers_the_terminal() {
        let mismatch = Mismatch {
            closest: PathBuf::from("a.out"),
            difference: "-\u{1b}[2J\told\n+\u{9b}\rnew\n".to_owned(),
            lines_added: 1,
            lines_removed: 1,
        };
        for outcome in [
            Outcome::Differs(mismatch),
            Outcome::NothingExpected(PathBuf::from("\u{1b}.out")),
            Outcome::Error("a\nb\u{202e}".to_owned()),
        ] {
            let name = "n\u{1b}".to_owned();
            let elapsed = Duration::ZERO;
            let one = Compared { name, elapsed, outcome };
            let options = TextOptions::default();
            let text = entry(&one, &options) + &summary(&[one], elapsed, &options);
            let steers = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || c == '\u{202e}';
            assert!(!text.contains(steers), "{text:?}");
        }
    }
}
