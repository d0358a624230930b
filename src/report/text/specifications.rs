//! A test run of specifications: a line for each, what differs, and a summary.

use std::fmt::Write;
use std::path::Path;

use crate::report::document::{Compared, Comparison, Specifications};
use crate::report::text::layout::{TextOptions, Tone, paint};
use crate::terminal::{visible, visible_lines};

/// The indentation of what is printed below a line.
const HANG: &str = "                    ";

/// One line for a specification, and below it what is wrong.
pub fn entry(compared: &Compared, options: &TextOptions) -> String {
    let (word, tone) = match compared.outcome {
        Comparison::Passed => ("PASS", Tone::Good),
        Comparison::Differs(_) => ("FAIL", Tone::Bad),
        Comparison::NothingExpected(_) | Comparison::Error(_) => ("ERROR", Tone::Bad),
    };
    let word = paint(&format!("{word:>7}"), tone, options.colour);
    let mut text = format!(
        "{word} [{:>8.3}s] {}",
        compared.elapsed.as_secs_f64(),
        visible(&compared.name)
    );
    match &compared.outcome {
        Comparison::Passed => {}
        Comparison::Differs(mismatch) => {
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
        Comparison::NothingExpected(path) => {
            let _ = write!(text, ": {}", visible(&nothing_expected(path)));
        }
        Comparison::Error(message) => {
            for line in message.trim_end().lines() {
                let _ = write!(text, "\n{HANG}{}", visible_lines(line));
            }
        }
    }
    text
}

pub(in crate::report) fn nothing_expected(path: &Path) -> String {
    format!("there is no expected output {}", path.display())
}

/// How many passed, and the names of those that did not.
pub(super) fn summary(run: &Specifications, options: &TextOptions) -> String {
    let Specifications { compared, elapsed } = run;
    let names = |wanted: fn(&Comparison) -> bool| -> Vec<String> {
        let chosen = compared.iter().filter(|one| wanted(&one.outcome));
        chosen.map(|one| visible(&one.name)).collect()
    };
    let passed = names(|outcome| matches!(outcome, Comparison::Passed)).len();
    let failed = names(|outcome| matches!(outcome, Comparison::Differs(_)));
    let errors = names(|outcome| matches!(outcome, Comparison::Error(_)));
    let nothing_expected = names(|outcome| matches!(outcome, Comparison::NothingExpected(_)));
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::isolation::Mismatch;
    use crate::report::document::Document;
    use crate::report::json::json;
    use crate::report::junit::junit;

    fn run() -> Vec<Compared> {
        let compared = |name: &str, outcome| Compared {
            name: name.to_owned(),
            elapsed: Duration::from_millis(1250),
            outcome,
        };
        vec![
            compared("a", Comparison::Passed),
            compared(
                "b",
                Comparison::Differs(Mismatch {
                    closest: PathBuf::from("expected/b.out"),
                    difference: "@@ -1 +1 @@\n-old\n+new\n".to_owned(),
                    lines_added: 1,
                    lines_removed: 1,
                }),
            ),
            compared("c", Comparison::Error("setup failed:\nERROR:  no".to_owned())),
            compared("d", Comparison::NothingExpected(PathBuf::from("expected/d.out"))),
        ]
    }

    fn document() -> Document {
        Document::of_specifications(run(), Duration::from_millis(2500))
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
        let report: serde_json::Value = serde_json::from_str(&json(&document())).unwrap();
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
        let run = Specifications {
            compared: run(),
            elapsed: Duration::from_millis(2500),
        };
        let text = summary(&run, &TextOptions::default());
        assert_eq!(
            text,
            "4 specifications: 1 passed, 1 failed, 1 without expected output, 1 could not be run (2.500 s)\n\
             failed: b\nwithout expected output: d\ncould not be run: c"
        );
    }

    #[test]
    fn differences_are_failures_and_the_rest_errors() {
        let xml = junit(&document()).expect("it is serialized");
        assert!(
            xml.contains(r#"tests="4" skipped="0" errors="2" failures="1""#),
            "{xml}"
        );
        let differs = r#"<failure message="the output differs from expected/b.out: 1 lines added, 1 removed">"#;
        assert!(xml.contains(differs), "{xml}");
        assert!(xml.contains(r#"<error message="setup failed:">"#), "{xml}");
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
            Comparison::Differs(mismatch),
            Comparison::NothingExpected(PathBuf::from("\u{1b}.out")),
            Comparison::Error("a\nb\u{202e}".to_owned()),
        ] {
            let name = "n\u{1b}".to_owned();
            let elapsed = Duration::ZERO;
            let one = Compared { name, elapsed, outcome };
            let options = TextOptions::default();
            let text = entry(&one, &options);
            let compared = vec![one];
            let text = text + &summary(&Specifications { compared, elapsed }, &options);
            let steers = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || c == '\u{202e}';
            assert!(!text.contains(steers), "{text:?}");
        }
    }
}
