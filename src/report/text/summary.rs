//! The last lines of a report: the verdict, and what it is based on.

use std::time::Duration;

use num_bigint::BigUint;

use crate::explore::{RunCounts, Verdict};
use crate::report::document::Search;
use crate::report::text::Detail;
use crate::report::text::layout::{TextOptions, Tone, counted, grouped, paint, visible, wrap};

/// The verdict, what was covered, how long it took, then reasons, warnings and notes, one per line or wrapped at
/// `options.width`. The last line has no line break.
pub(super) fn summary(search: &Search, detail: Detail, options: &TextOptions) -> String {
    let (word, tone) = match search.verdict {
        Verdict::Holds => ("HOLDS", Tone::Good),
        Verdict::Fails => ("FAILS", Tone::Bad),
        Verdict::Inconclusive => ("INCONCLUSIVE", Tone::Blocked),
    };
    let claim = format!("{}: {}", visible(&search.scenario), claim(search));
    let mut lines = wrap(&format!("{word}  {claim}"), options.width, |_| false);
    if let Some(first) = lines.first_mut() {
        *first = first.replacen(word, &paint(word, tone, options.colour), 1);
    }
    // with a failure they are not reasons for the verdict
    let (reasons, doubts) = match search.verdict {
        Verdict::Inconclusive => (search.reasons.as_slice(), [].as_slice()),
        Verdict::Fails => ([].as_slice(), search.reasons.as_slice()),
        Verdict::Holds => ([].as_slice(), [].as_slice()),
    };
    let account = match detail {
        Detail::Whole => search.account.as_slice(),
        Detail::Failure | Detail::Summary => &[],
    };
    let notes = search.notes.iter().chain(account).map(|note| visible(note));
    let notes = doubts.iter().map(|doubt| visible(&doubt.to_string())).chain(notes);
    let programs = search.by_source.filter(|counts| counts.learned > 0);
    let details = std::iter::once((search.strategy, coverage(search)))
        .chain(programs.map(|counts| ("programs", by_source(counts, &search.paths))))
        .chain(reasons.iter().map(|reason| ("because", visible(&reason.to_string()))))
        .chain(search.warnings.iter().map(|warning| ("warning", visible(warning))))
        .chain(notes.map(|note| ("note", note)));
    for (label, text) in details {
        let wrapped = wrap(&format!("{label}: {text}"), options.width.saturating_sub(2), |_| false);
        lines.extend(wrapped.iter().map(|line| format!("  {line}")));
    }
    lines.join("\n")
}

fn claim(search: &Search) -> String {
    let run = counted(search.schedules_run, "schedule");
    let ran = ran(search);
    match search.verdict {
        Verdict::Holds => "every interleaving is covered, and none fails".to_owned(),
        Verdict::Fails => {
            let fail = if search.failures == 1 { "fails" } else { "fail" };
            let failing = grouped(&search.failures.to_string());
            let covered = match (search.exhaustive, search.stopped_at_failure) {
                (true, _) => "; every interleaving is covered",
                (false, true) => ", and the search stopped there (--keep-going continues)",
                (false, false) => "; not every interleaving is covered",
            };
            format!("{failing} of {run} {ran} {fail}{covered}")
        }
        Verdict::Inconclusive if search.schedules_run == 0 => "no schedule was run".to_owned(),
        Verdict::Inconclusive if search.failures > 0 => {
            "a schedule failed, but not every time that it was run".to_owned()
        }
        Verdict::Inconclusive => format!("no failure in {run} {ran}, but not every interleaving is covered"),
    }
}

fn ran(search: &Search) -> &'static str {
    if search.seed.is_some() { "sampled" } else { "run" }
}

/// What was run, out of what, for how long.
fn coverage(search: &Search) -> String {
    let covered = match search.verdict {
        Verdict::Holds => true,
        Verdict::Fails => search.exhaustive,
        Verdict::Inconclusive => false,
    };
    let out_of = match (&search.interleavings, covered) {
        (Some(all), true) => format!(", covering all {}", interleavings(all)),
        (Some(all), false) => format!(", out of {}", interleavings(all)),
        (None, true) => ", covering all interleavings of what the programs did".to_owned(),
        (None, false) => String::new(),
    };
    let seed = search.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
    format!(
        "{} {}{out_of}, in {}{seed}",
        counted(search.schedules_run, "schedule"),
        ran(search),
        duration(search.elapsed)
    )
}

/// How many schedules the programs were needed for.
fn by_source(counts: RunCounts, paths: &[(String, usize)]) -> String {
    let confirmed = match counts.confirmed_live {
        0 => String::new(),
        confirmed => format!(
            ", {} of them confirmed by the programs",
            grouped(&confirmed.to_string())
        ),
    };
    let path = |(program, count): &(String, usize)| {
        let count = u64::try_from(*count).unwrap_or(u64::MAX);
        format!("; {program} took {}", counted(count, "path"))
    };
    format!(
        "{} run without the programs, from what was learned of them{confirmed}; {} of the programs{}",
        counted(counts.learned, "schedule"),
        counted(counts.live, "run"),
        paths.iter().map(path).collect::<String>(),
    )
}

fn interleavings(all: &BigUint) -> String {
    let noun = if *all == BigUint::from(1u8) {
        "interleaving"
    } else {
        "interleavings"
    };
    format!("{} {noun}", big_number(all))
}

/// The number in full, followed by a power of ten if it is hard to read.
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
    use crate::explore::Reason;
    use crate::report::sample::searched;

    fn exhaustive(verdict: Verdict, run: u64) -> Search {
        Search {
            scenario: "lost-update".to_owned(),
            verdict,
            schedules_run: run,
            ..searched()
        }
    }

    fn said(search: &Search) -> String {
        summary(search, Detail::Whole, &TextOptions::default())
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
    fn the_account_of_a_search_comes_last_and_only_in_whole_reports() {
        let search = Search {
            notes: vec!["of the run".to_owned()],
            account: vec!["of the search".to_owned()],
            ..exhaustive(Verdict::Holds, 12)
        };
        assert!(said(&search).ends_with("\n  note: of the run\n  note: of the search"));
        let short = summary(&search, Detail::Failure, &TextOptions::default());
        assert!(short.ends_with("\n  note: of the run"), "{short}");
    }

    #[test]
    fn a_failure_says_how_much_was_run() {
        let failing = |failures, run| Search {
            failures,
            ..exhaustive(Verdict::Fails, run)
        };
        assert_snapshot!(said(&failing(1, 3)), @"
        FAILS  lost-update: 1 of 3 schedules run fails; not every interleaving is covered
          exhaustive: 3 schedules run, out of 20 interleavings, in 41 ms
        ");
        let all = Search {
            exhaustive: true,
            ..failing(8, 20)
        };
        assert_snapshot!(said(&all), @"
        FAILS  lost-update: 8 of 20 schedules run fail; every interleaving is covered
          exhaustive: 20 schedules run, covering all 20 interleavings, in 41 ms
        ");
    }

    #[test]
    fn samples_without_a_failure_are_inconclusive() {
        let sampled = Search {
            strategy: "random",
            seed: Some(42),
            reasons: vec![Reason::Sampled],
            interleavings: Some(BigUint::from(10u8).pow(33) * 42u8),
            elapsed: Duration::from_millis(125_300),
            ..exhaustive(Verdict::Inconclusive, 200)
        };
        assert_snapshot!(said(&sampled), @"
        INCONCLUSIVE  lost-update: no failure in 200 schedules sampled, but not every interleaving is
          covered
          random: 200 schedules sampled, out of 42,000,000,000,000,000,000,000,000,000,000,000 (about 4.2 ×
            10^34) interleavings, in 2 min 5 s, seed 42
          because: schedules were sampled, not all run
        ");
    }

    #[test]
    fn a_bound_is_named() {
        let bounded = |run| Search {
            reasons: vec![Reason::MaxSchedules(15)],
            ..exhaustive(Verdict::Inconclusive, run)
        };
        assert_snapshot!(said(&bounded(15)), @"
        INCONCLUSIVE  lost-update: no failure in 15 schedules run, but not every interleaving is covered
          exhaustive: 15 schedules run, out of 20 interleavings, in 41 ms
          because: the bound of 15 schedules was reached
        ");
        assert!(said(&bounded(0)).contains("no schedule was run"));
    }

    #[test]
    fn only_the_verdict_is_coloured() {
        let coloured = summary(
            &exhaustive(Verdict::Holds, 12),
            Detail::Whole,
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
