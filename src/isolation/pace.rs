//! How soon a session that waits is taken for blocked.

use std::time::Duration;

use super::specification::Specification;

/// How long the reference tester waits for a reply before it looks whether the session is blocked, and before it looks
/// again.
pub(super) const REFERENCE_INTERVAL: Duration = Duration::from_millis(10);

/// Timeouts from here on end no wait while the reference tester still looks around.
const LONG_TIMEOUT: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// As soon as the lock table shows it, and that no other session can change it.
    Immediate,
    /// When the reference tester would look. What it prints depends on that where the server ends a wait by itself after
    /// some milliseconds.
    Reference,
}

impl Pace {
    /// The pace for a specification, and for sessions whose timeouts have the values `settings` unless it sets them.
    pub fn of(specification: &Specification, settings: &[String]) -> Pace {
        let sessions = specification.sessions.iter().flat_map(|session| {
            let steps = session.steps.iter().map(|step| &step.sql);
            session.setup.iter().chain(steps).chain(&session.teardown)
        });
        let mut texts = specification.setups.iter().chain(&specification.teardown).chain(sessions);
        let is_short = |timeout: Option<Duration>| timeout.is_none_or(|timeout| timeout < LONG_TIMEOUT);
        let by_settings = settings.iter().any(|value| is_short(duration(value)));
        if by_settings || texts.any(|sql| timeouts(&sql.text).any(is_short)) {
            Pace::Reference
        } else {
            Pace::Immediate
        }
    }
}

/// What each setting named `…_timeout` in a text is set to; `None` where that cannot be told.
fn timeouts(sql: &str) -> impl Iterator<Item = Option<Duration>> {
    const SUFFIX: &str = "_timeout";
    let lower = sql.to_ascii_lowercase();
    let ends: Vec<usize> = lower.match_indices(SUFFIX).map(|(at, _)| at + SUFFIX.len()).collect();
    ends.into_iter().map(move |end| {
        let rest = lower[end..].trim_start_matches(['\'', '"', ',', ' ', '\t', '\n', '=']);
        let rest = rest.strip_prefix("to").unwrap_or(rest).trim_start();
        let value = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split('\'').next().unwrap_or_default(),
            None => rest.split([';', ' ', '\n', ')', ',']).next().unwrap_or_default(),
        };
        duration(value)
    })
}

/// Reads a time as the server's settings have it: milliseconds unless there is a unit. 0 is no timeout at all.
fn duration(value: &str) -> Option<Duration> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: u64 = value[..digits].parse().ok()?;
    let duration = match value[digits..].trim() {
        "us" => Duration::from_micros(number),
        "" | "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "min" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        "d" => Duration::from_secs(number.checked_mul(86400)?),
        _ => return None,
    };
    Some(if number == 0 { Duration::MAX } else { duration })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(sql: &str) -> Pace {
        let text = format!("session s step a {{ {sql} }}");
        Pace::of(&Specification::parse("x", "x.spec", text).unwrap(), &[])
    }

    #[test]
    fn short_timeouts_need_the_pace_of_the_reference() {
        assert_eq!(pace("SET lock_timeout = '10ms'"), Pace::Reference);
        assert_eq!(pace("SET LOCAL deadlock_timeout TO 10;"), Pace::Reference);
        assert_eq!(pace("SELECT set_config('statement_timeout', '99', true)"), Pace::Reference);
        assert_eq!(pace("RESET lock_timeout"), Pace::Reference);
    }

    #[test]
    fn long_timeouts_and_none_do_not() {
        assert_eq!(pace("SELECT 1"), Pace::Immediate);
        assert_eq!(pace("SET lock_timeout = 0"), Pace::Immediate);
        assert_eq!(pace("BEGIN; SET deadlock_timeout = '10s';"), Pace::Immediate);
        assert_eq!(pace("SET deadlock_timeout = '100ms'; SET lock_timeout = '1 min'"), Pace::Immediate);
    }

    #[test]
    fn the_servers_own_timeouts_count() {
        let specification = Specification::parse("x", "x.spec", "session s step a { }".to_owned()).unwrap();
        assert_eq!(Pace::of(&specification, &["1s".to_owned(), "0".to_owned()]), Pace::Immediate);
        assert_eq!(Pace::of(&specification, &["1s".to_owned(), "5ms".to_owned()]), Pace::Reference);
    }
}
