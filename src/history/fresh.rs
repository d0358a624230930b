//! What a program makes anew each time that it runs, found in texts: times, uuids and the like. A program only passes most of
//! these on.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use chrono::{DateTime, NaiveDateTime, TimeDelta};
use regex_lite::{Captures, Regex};

/// How far clocks on a wall are from UTC at most.
const FARTHEST_ZONE: TimeDelta = TimeDelta::hours(14);

/// The name of a scratch database, a uuid, a long number in hexadecimal, a time as ISO 8601 and SQL write it, and one in seconds,
/// milliseconds or microseconds since 1970.
static FRESH: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?x)
        (?<database>pgbraid_scratch_[0-9a-z_]+)
        | (?<uuid>\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b)
        | (?<token>\b[0-9a-fA-F]{32,}\b)
        | (?<local>\b\d{4}-\d\d-\d\d[T\ ]\d\d:\d\d:\d\d(?:\.\d+)?)(?<zone>Z|[+-]\d\d(?::?\d\d)?)?
        | (?<epoch>\b\d{10}(?:\d{3}|\d{6}|\.\d+)?\b)";
    Regex::new(pattern).unwrap_or_else(|error| panic!("the pattern is constant: {error}"))
});

/// The time in which a program has run.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    since: NaiveDateTime,
    until: NaiveDateTime,
}

impl Span {
    /// From two times in UTC, as SQL writes them; `None` where they are none.
    pub fn of(since: &str, until: &str) -> Option<Span> {
        let (since, until) = (local(since)?, local(until)?);
        Some(Span { since, until })
    }

    /// A text with placeholders for what is fresh in it.
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if text.len() < SHORTEST {
            return Cow::Borrowed(text);
        }
        FRESH.replace_all(text, |found: &Captures<'_>| self.shown(found))
    }

    /// Where in a text something fresh is, and the placeholder for it.
    pub fn find(&self, text: &str) -> Vec<(Range<usize>, &'static str)> {
        if text.len() < SHORTEST {
            return Vec::new();
        }
        let place = |found: Captures<'_>| Some((found.get(0)?.range(), self.placeholder(&found)?));
        FRESH.captures_iter(text).filter_map(place).collect()
    }

    fn shown(&self, found: &Captures<'_>) -> String {
        self.placeholder(found).unwrap_or(&found[0]).to_owned()
    }

    /// `None` for what only looks as if it were fresh.
    fn placeholder(&self, found: &Captures<'_>) -> Option<&'static str> {
        let is = |name| found.name(name).is_some();
        if is("database") {
            Some("<database>")
        } else if is("uuid") {
            Some(SOME_UUID)
        } else if is("token") {
            Some(SOME_TOKEN)
        } else {
            self.is_now(found).then_some(NOW)
        }
    }

    fn is_now(&self, found: &Captures<'_>) -> bool {
        let within = |time: NaiveDateTime, slack: TimeDelta| time >= self.since - slack && time <= self.until + slack;
        if let Some(epoch) = found.name("epoch") {
            return since_1970(epoch.as_str()).is_some_and(|time| within(time, TimeDelta::zero()));
        }
        let Some(time) = found.name("local").and_then(|text| local(text.as_str())) else {
            return false;
        };
        match found.name("zone") {
            None => within(time, FARTHEST_ZONE),
            Some(zone) => offset(zone.as_str()).is_some_and(|offset| within(time - offset, TimeDelta::zero())),
        }
    }
}

/// Nothing that is fresh is shorter: a time in seconds since 1970.
const SHORTEST: usize = 10;

fn local(text: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(&text.replace('T', " "), "%Y-%m-%d %H:%M:%S%.f").ok()
}

/// `Z`, `+02`, `+0200` or `+02:00`.
fn offset(zone: &str) -> Option<TimeDelta> {
    let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
    let (hours, minutes) = digits.split_at_checked(2).unwrap_or(("0", "0"));
    let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().unwrap_or(0);
    Some(TimeDelta::minutes(if zone.starts_with('-') {
        -minutes
    } else {
        minutes
    }))
}

fn since_1970(text: &str) -> Option<NaiveDateTime> {
    let whole = text.split('.').next()?;
    let number = whole.parse::<i64>().ok()?;
    let time = match whole.len() {
        10 => DateTime::from_timestamp(number, 0),
        13 => DateTime::from_timestamp_millis(number),
        _ => DateTime::from_timestamp_micros(number),
    };
    Some(time?.naive_utc())
}

/// Whether a text has a placeholder in it, so that two equal ones may stand for different ones.
pub fn has_placeholder(text: &str) -> bool {
    PLACEHOLDERS.iter().any(|placeholder| text.contains(placeholder))
}

/// Stands for a time of the run.
pub const NOW: &str = "<now>";

/// Stands for a uuid.
pub const SOME_UUID: &str = "<uuid>";

/// Stands for a long number in hexadecimal.
pub const SOME_TOKEN: &str = "<token>";

const PLACEHOLDERS: [&str; 7] = [
    NOW,
    "<today>",
    "<number>",
    "<ignored>",
    SOME_UUID,
    SOME_TOKEN,
    "<database>",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_anew_in_each_run_is_masked() {
        let span = Span::of("2026-11-25 14:00:00", "2026-11-26 14:00:00.5").unwrap();
        for (text, expected) in [
            ("2026-11-25T14:27:53.383+00:00", "<now>"),
            ("2026-11-25T14:27:53Z", "<now>"),
            ("2026-11-25 19:57:53.383000+05:30", "<now>"),
            ("2026-11-25 06:27:53.1", "<now>"),
            ("2026-11-25T12:27:53Z", "2026-11-25T12:27:53Z"),
            ("2025-11-25 14:27:53", "2025-11-25 14:27:53"),
            ("1795616873383", "<now>"),
            ("1795616873", "<now>"),
            ("1234567890", "1234567890"),
            ("id 6f1c2a3e-9d1b-4c55-8f2e-0a1b2c3d4e5f!", "id <uuid>!"),
            ("d41d8cd98f00b204e9800998ecf8427e", "<token>"),
            ("pgbraid_scratch_6611aa1a82b34_6db8_0_2", "<database>"),
            (
                r#"{"at": "2026-11-25T14:27:53Z", "n": 1}"#,
                r#"{"at": "<now>", "n": 1}"#,
            ),
            ("ann", "ann"),
        ] {
            assert_eq!(span.mask(text), expected);
        }
    }
}
