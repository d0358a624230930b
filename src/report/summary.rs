//! The last lines of a report: the verdict, and what it rests on.

use std::time::Duration;

use num_bigint::BigUint;

use crate::explore::{self, Exploration};
use crate::report::text::{TextOptions, Tone, counted, grouped, paint, visible, wrap};
use crate::scenario::Scenario;

/// What an exploration came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The scenario's name.
    pub scenario: String,
    pub verdict: Verdict,
    /// The strategy's name, as the command line spells it.
    pub strategy: String,
    /// It ended with the first failing schedule, as it was meant to.
    pub stopped_at_failure: bool,
    /// The seed of a strategy that samples; `None` for one that enumerates.
    pub seed: Option<u64>,
    pub schedules_run: u64,
    /// How many interleavings there are.
    pub interleavings: BigUint,
    pub elapsed: Duration,
    pub warnings: Vec<String>,
    pub notes: Vec<String>,
}

impl Summary {
    /// That of an exploration of `scenario`, with these notes.
    pub fn new(scenario: &Scenario, exploration: &Exploration, notes: &[String]) -> Summary {
        let failed = exploration.failures;
        let verdict = match exploration.verdict {
            explore::Verdict::Holds => Verdict::Holds,
            explore::Verdict::Fails => Verdict::Fails {
                schedules: failed,
                exhaustive: exploration.exhaustive,
            },
            explore::Verdict::Inconclusive => Verdict::Inconclusive {
                reasons: exploration.reasons.clone(),
                failed,
            },
        };
        let notes = match exploration.verdict {
            explore::Verdict::Fails => exploration.reasons.iter().chain(notes).cloned().collect(),
            explore::Verdict::Holds | explore::Verdict::Inconclusive => notes.to_vec(),
        };
        Summary {
            scenario: scenario.name.clone(),
            verdict,
            strategy: exploration.coverage.strategy.to_owned(),
            stopped_at_failure: exploration.stopped_at_failure,
            seed: exploration.coverage.seed,
            schedules_run: exploration.schedules_run,
            interleavings: exploration.interleavings.clone(),
            elapsed: exploration.elapsed,
            warnings: scenario.warnings.clone(),
            notes,
        }
    }
}

/// The verdict on a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every interleaving was covered and none fails.
    Holds,
    Fails {
        /// How many of the schedules run fail.
        schedules: u64,
        /// Whether every interleaving was covered.
        exhaustive: bool,
    },
    /// No failure was found, and not every interleaving was covered.
    Inconclusive {
        /// What stood in the way.
        reasons: Vec<String>,
        /// How many of the schedules run failed, without failing each time that they were run.
        failed: u64,
    },
}

/// The verdict, what was covered, how long it took, then reasons, warnings and notes, a line each or wrapped at
/// `options.width`. The last line has no line break.
pub fn summary(summary: &Summary, options: &TextOptions) -> String {
    let (word, tone) = match summary.verdict {
        Verdict::Holds => ("HOLDS", Tone::Good),
        Verdict::Fails { .. } => ("FAILS", Tone::Bad),
        Verdict::Inconclusive { .. } => ("INCONCLUSIVE", Tone::Blocked),
    };
    let claim = format!("{}: {}", visible(&summary.scenario), claim(summary));
    let mut lines = wrap(&format!("{word}  {claim}"), options.width, |_| false);
    if let Some(first) = lines.first_mut() {
        *first = first.replacen(word, &paint(word, tone, options.colour), 1);
    }
    let reasons = match &summary.verdict {
        Verdict::Inconclusive { reasons, .. } => reasons.as_slice(),
        Verdict::Holds | Verdict::Fails { .. } => &[],
    };
    let strategy = visible(&summary.strategy);
    let details = std::iter::once((strategy.as_str(), coverage(summary)))
        .chain(reasons.iter().map(|reason| ("because", visible(reason))))
        .chain(summary.warnings.iter().map(|warning| ("warning", visible(warning))))
        .chain(summary.notes.iter().map(|note| ("note", visible(note))));
    for (label, text) in details {
        let wrapped = wrap(&format!("{label}: {text}"), options.width.saturating_sub(2), |_| false);
        lines.extend(wrapped.iter().map(|line| format!("  {line}")));
    }
    lines.join("\n")
}

fn claim(summary: &Summary) -> String {
    let run = summary.schedules_run;
    let ran = ran(summary);
    match &summary.verdict {
        Verdict::Holds => "every interleaving is covered, and none fails".to_owned(),
        Verdict::Fails { schedules, exhaustive } => {
            let fail = if *schedules == 1 { "fails" } else { "fail" };
            let failing = grouped(&schedules.to_string());
            let covered = match (exhaustive, summary.stopped_at_failure) {
                (true, _) => "; every interleaving is covered",
                (false, true) => ", and the search stopped there (--keep-going goes on)",
                (false, false) => "; not every interleaving is covered",
            };
            format!("{failing} of {} {ran} {fail}{covered}", counted(run, "schedule"))
        }
        Verdict::Inconclusive { .. } if run == 0 => "no schedule was run".to_owned(),
        Verdict::Inconclusive { failed: 1.., .. } => "a schedule failed, but not every time that it was run".to_owned(),
        Verdict::Inconclusive { .. } => {
            format!(
                "no failure in {} {ran}, but not every interleaving is covered",
                counted(run, "schedule")
            )
        }
    }
}

fn ran(summary: &Summary) -> &'static str {
    if summary.seed.is_some() { "sampled" } else { "run" }
}

/// What was run, out of what, for how long.
fn coverage(summary: &Summary) -> String {
    let covered = match summary.verdict {
        Verdict::Holds => true,
        Verdict::Fails { exhaustive, .. } => exhaustive,
        Verdict::Inconclusive { .. } => false,
    };
    let noun = if summary.interleavings == BigUint::from(1u8) {
        "interleaving"
    } else {
        "interleavings"
    };
    let interleavings = format!("{} {noun}", big_number(&summary.interleavings));
    let relation = if covered { "covering all" } else { "out of" };
    let seed = summary.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
    format!(
        "{} {}, {relation} {interleavings}, in {}{seed}",
        counted(summary.schedules_run, "schedule"),
        ran(summary),
        duration(summary.elapsed)
    )
}

/// The number in full, and where that is hard to read also as a power of ten.
fn big_number(n: &BigUint) -> String {
    const READABLE_DIGITS: usize = 15;
    let digits = n.to_string();
    let exact = grouped(&digits);
    if digits.len() <= READABLE_DIGITS {
        return exact;
    }
    let leading: u32 = digits[..3].parse().unwrap_or_default();
    let (tenths, exponent) = match (leading + 5) / 10 {
        100 => (10, digits.len()),
        tenths => (tenths, digits.len() - 1),
    };
    format!("{exact} (about {}.{} × 10^{exponent})", tenths / 10, tenths % 10)
}

/// A time as a person says it.
pub fn duration(elapsed: Duration) -> String {
    let millis = elapsed.as_millis();
    let seconds = elapsed.as_secs();
    match () {
        () if millis == 0 => "under 1 ms".to_owned(),
        () if millis < 1_000 => format!("{millis} ms"),
        () if seconds < 60 => format!("{}.{} s", seconds, millis % 1_000 / 100),
        () if seconds < 3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        () => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn exhaustive(verdict: Verdict, run: u64) -> Summary {
        Summary {
            scenario: "lost-update".to_owned(),
            verdict,
            strategy: "exhaustive".to_owned(),
            stopped_at_failure: false,
            seed: None,
            schedules_run: run,
            interleavings: BigUint::from(20u32),
            elapsed: Duration::from_millis(41),
            warnings: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn said(value: &Summary) -> String {
        summary(value, &TextOptions::default())
    }

    #[test]
    fn holds_is_said_of_full_coverage() {
        let mut held = exhaustive(Verdict::Holds, 12);
        held.warnings
            .push("step list of reader has a LIMIT without ORDER BY".to_owned());
        held.notes.push("deadlocks take the server's own time".to_owned());
        assert_snapshot!(said(&held), @"
        HOLDS  lost-update: every interleaving is covered, and none fails
          exhaustive: 12 schedules run, covering all 20 interleavings, in 41 ms
          warning: step list of reader has a LIMIT without ORDER BY
          note: deadlocks take the server's own time
        ");
    }

    #[test]
    fn a_failure_says_how_much_was_run() {
        let first = exhaustive(
            Verdict::Fails {
                schedules: 1,
                exhaustive: false,
            },
            3,
        );
        assert_snapshot!(said(&first), @"
        FAILS  lost-update: 1 of 3 schedules run fails; not every interleaving is covered
          exhaustive: 3 schedules run, out of 20 interleavings, in 41 ms
        ");
        let all = exhaustive(
            Verdict::Fails {
                schedules: 8,
                exhaustive: true,
            },
            20,
        );
        assert_snapshot!(said(&all), @"
        FAILS  lost-update: 8 of 20 schedules run fail; every interleaving is covered
          exhaustive: 20 schedules run, covering all 20 interleavings, in 41 ms
        ");
    }

    #[test]
    fn samples_without_a_failure_are_inconclusive() {
        let reasons = vec!["the strategy random samples".to_owned()];
        let sampled = Summary {
            strategy: "random".to_owned(),
            stopped_at_failure: false,
            seed: Some(42),
            schedules_run: 200,
            interleavings: BigUint::from(10u8).pow(33) * 42u8,
            elapsed: Duration::from_millis(125_300),
            ..exhaustive(Verdict::Inconclusive { reasons, failed: 0 }, 0)
        };
        assert_snapshot!(said(&sampled), @"
        INCONCLUSIVE  lost-update: no failure in 200 schedules sampled, but not every interleaving is
          covered
          random: 200 schedules sampled, out of 42,000,000,000,000,000,000,000,000,000,000,000 (about 4.2 ×
            10^34) interleavings, in 2 min 5 s, seed 42
          because: the strategy random samples
        ");
    }

    #[test]
    fn a_bound_is_named() {
        let bound = vec!["the bound of 15 schedules was reached".to_owned()];
        assert_snapshot!(said(&exhaustive(Verdict::Inconclusive { reasons: bound.clone(), failed: 0 }, 15)), @"
        INCONCLUSIVE  lost-update: no failure in 15 schedules run, but not every interleaving is covered
          exhaustive: 15 schedules run, out of 20 interleavings, in 41 ms
          because: the bound of 15 schedules was reached
        ");
        assert!(
            said(&exhaustive(
                Verdict::Inconclusive {
                    reasons: bound,
                    failed: 0
                },
                0
            ))
            .contains("no schedule was run")
        );
    }

    #[test]
    fn only_the_verdict_is_coloured() {
        let coloured = summary(
            &exhaustive(Verdict::Holds, 12),
            &TextOptions {
                colour: true,
                width: 100,
            },
        );
        assert!(coloured.starts_with("\u{1b}["), "{coloured}");
        assert!(
            coloured.lines().skip(1).all(|line| !line.contains('\u{1b}')),
            "{coloured}"
        );
    }

    #[test]
    fn big_numbers_are_exact_and_readable() {
        assert_eq!(
            big_number(&BigUint::from(999_999_999_999_999u64)),
            "999,999,999,999,999"
        );
        let large = BigUint::from(1_234_567_890_123_456u64);
        assert_eq!(big_number(&large), "1,234,567,890,123,456 (about 1.2 × 10^15)");
        let rounded = |digits: &str| {
            let text = big_number(&digits.parse().unwrap());
            text.split_once('(').unwrap().1.to_owned()
        };
        assert_eq!(rounded("2375880867360000"), "about 2.4 × 10^15)");
        assert_eq!(rounded("9960000000000000"), "about 1.0 × 10^16)");
    }

    #[test]
    fn times_are_said_in_the_unit_that_fits() {
        let said = |millis| duration(Duration::from_millis(millis));
        assert_eq!(duration(Duration::from_micros(800)), "under 1 ms");
        assert_eq!(said(41), "41 ms");
        assert_eq!(said(1_250), "1.2 s");
        assert_eq!(said(125_300), "2 min 5 s");
        assert_eq!(said(7_260_000), "2 h 1 min");
    }
}
