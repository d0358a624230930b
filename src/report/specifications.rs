//! A test run of specifications: a line for each, what differs, and a summary.

use std::fmt::Write;
use std::time::Duration;

use super::junit::{Case, CaseOutcome};
use super::text::{TextOptions, Tone, paint};
use crate::isolation::Mismatch;

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
    /// It could not be run, or there is nothing to compare it with.
    Error(String),
}

/// One line for a specification, and below it what is wrong.
pub fn entry(compared: &Compared, options: &TextOptions) -> String {
    let (word, tone) = match compared.outcome {
        Outcome::Passed => ("pass", Tone::Good),
        Outcome::Differs(_) => ("FAIL", Tone::Bad),
        Outcome::Error(_) => ("ERROR", Tone::Bad),
    };
    let word = paint(&format!("{word:>7}"), tone, options.colour);
    let mut text = format!("{word} {:8.3}s  {}", compared.elapsed.as_secs_f64(), compared.name);
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
                let _ = write!(text, "\n{}", paint(line, tone, options.colour));
            }
            text.push('\n');
        }
        Outcome::Error(message) => {
            for line in message.trim_end().lines() {
                let _ = write!(text, "\n          {line}");
            }
        }
    }
    text
}

/// How many passed, and the names of those that did not.
pub fn summary(compared: &[Compared], elapsed: Duration, options: &TextOptions) -> String {
    let names = |wanted: fn(&Outcome) -> bool| -> Vec<&str> {
        let chosen = compared.iter().filter(|one| wanted(&one.outcome));
        chosen.map(|one| one.name.as_str()).collect()
    };
    let passed = names(|outcome| matches!(outcome, Outcome::Passed)).len();
    let failed = names(|outcome| matches!(outcome, Outcome::Differs(_)));
    let errors = names(|outcome| matches!(outcome, Outcome::Error(_)));
    let plural = if compared.len() == 1 { "" } else { "s" };
    let mut text = format!("{} specification{plural}: {passed} passed", compared.len());
    for (names, what) in [(&failed, "failed"), (&errors, "could not be run")] {
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
    for (names, what) in [(failed, "failed"), (errors, "could not be run")] {
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
    use std::path::PathBuf;

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
        ]
    }

    #[test]
    fn every_specification_has_its_line() {
        let options = TextOptions::default();
        let text: Vec<String> = run().iter().map(|one| entry(one, &options)).collect();
        assert_eq!(text[0], "   pass    1.250s  a");
        assert_eq!(text[1], "   FAIL    1.250s  b\n\n@@ -1 +1 @@\n-old\n+new\n");
        assert_eq!(
            text[2],
            "  ERROR    1.250s  c\n          setup failed:\n          ERROR:  no"
        );
    }

    #[test]
    fn the_summary_names_what_did_not_pass() {
        let text = summary(&run(), Duration::from_millis(2500), &TextOptions::default());
        assert_eq!(
            text,
            "3 specifications: 1 passed, 1 failed, 1 could not be run (2.500 s)\nfailed: b\ncould not be run: c"
        );
    }

    #[test]
    fn differences_are_failures_and_the_rest_errors() {
        let outcomes: Vec<CaseOutcome> = run().iter().map(|one| one.case().outcome).collect();
        assert_eq!(outcomes[0], CaseOutcome::Pass);
        assert!(matches!(&outcomes[1], CaseOutcome::Failure { message, .. } if message.contains("expected/b.out")));
        assert!(matches!(&outcomes[2], CaseOutcome::Error { message, .. } if message == "setup failed:"));
    }
}
