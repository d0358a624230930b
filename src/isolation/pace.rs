//! How soon a waiting session counts as blocked, if timeouts can end the wait.

use std::time::Duration;

use super::specification::Specification;

/// How long the reference tester waits for a reply before it checks whether the session is blocked, and between two
/// checks.
pub(super) const REFERENCE_INTERVAL: Duration = Duration::from_millis(10);

/// Timeouts of at least this length do not end a wait while the reference tester still checks.
const LONG_TIMEOUT: Duration = Duration::from_millis(100);

/// How long after a timeout its consequences have arrived.
const AFTERMATH: Duration = Duration::from_millis(20);

/// When a wait for a lock counts as lasting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// As soon as the lock table shows it, and shows that no other session can change it.
    Immediate,
    /// When the reference tester would check. Its output depends on that while the server may end a wait by itself
    /// after a few milliseconds.
    Reference,
}

/// For each session, the shortest of its timeouts that may end a wait while the reference tester still checks.
#[derive(Debug)]
pub(super) struct ShortTimeouts(Vec<Option<Duration>>);

impl ShortTimeouts {
    /// `settings` are the timeouts that sessions begin with.
    pub fn of(specification: &Specification, settings: &[String]) -> ShortTimeouts {
        let settings: Vec<Duration> = settings.iter().map(|value| duration(value)).map(known).collect();
        let shared = specification.setups.iter().chain(&specification.teardown);
        let shared: Vec<Duration> = shared.flat_map(|sql| timeouts(&sql.text)).chain(settings).collect();
        let sessions = specification.sessions.iter().map(|session| {
            let steps = session.steps.iter().map(|step| &step.sql);
            let texts = session.setup.iter().chain(steps).chain(&session.teardown);
            let all = texts.flat_map(|sql| timeouts(&sql.text)).chain(shared.iter().copied());
            all.filter(|timeout| *timeout < LONG_TIMEOUT).max()
        });
        ShortTimeouts(sessions.collect())
    }

    /// The pace while the given sessions are running, when the last change to what any of them waits for was `still`
    /// ago.
    pub fn pace(&self, mut running: impl Iterator<Item = usize>, still: Duration) -> Pace {
        let may_fire = |session: usize| self.0[session].is_some_and(|timeout| still < timeout + AFTERMATH);
        match running.any(may_fire) {
            true => Pace::Reference,
            false => Pace::Immediate,
        }
    }
}

/// An unknown timeout may be any: the longest one that is short is assumed.
fn known(timeout: Option<Duration>) -> Duration {
    timeout.unwrap_or(LONG_TIMEOUT - Duration::from_millis(1))
}

/// What each setting named `…_timeout` in a text is set to.
fn timeouts(sql: &str) -> impl Iterator<Item = Duration> {
    const SUFFIX: &str = "_timeout";
    let lower = sql.to_ascii_lowercase();
    let ends: Vec<usize> = lower.match_indices(SUFFIX).map(|(at, _)| at + SUFFIX.len()).collect();
    ends.into_iter().map(move |end| {
        let rest = lower[end..].trim_start_matches(['\'', '"']);
        let rest = rest.trim_start_matches([',', ' ', '\t', '\n', '=']);
        let rest = rest.strip_prefix("to").unwrap_or(rest).trim_start();
        let value = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split('\'').next().unwrap_or_default(),
            None => rest.split([';', ' ', '\n', ')', ',']).next().unwrap_or_default(),
        };
        known(duration(value))
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

    fn short(sql: &str) -> Option<u128> {
        let text = format!("session s step a {{ {sql} }} session other step b {{ }}");
        let specification = Specification::parse("x", "x.spec", text).unwrap();
        let ShortTimeouts(timeouts) = ShortTimeouts::of(&specification, &[]);
        assert_eq!(timeouts[1], None);
        timeouts[0].map(|timeout| timeout.as_millis())
    }

    #[test]
    fn short_timeouts_are_found() {
        assert_eq!(short("SET lock_timeout = '10ms'"), Some(10));
        assert_eq!(short("SET LOCAL deadlock_timeout TO 10;"), Some(10));
        assert_eq!(short("SELECT set_config('statement_timeout', '99', true)"), Some(99));
        assert_eq!(short("RESET lock_timeout"), Some(99));
        assert_eq!(short("SET lock_timeout = 5; SET statement_timeout = '20ms'"), Some(20));
    }

    #[test]
    fn long_timeouts_and_none_are_not_short() {
        assert_eq!(short("SELECT 1"), None);
        assert_eq!(short("SET lock_timeout = 0"), None);
        assert_eq!(short("BEGIN; SET deadlock_timeout = '10s';"), None);
        assert_eq!(
            short("SET deadlock_timeout = '100ms'; SET lock_timeout = '1 min'"),
            None
        );
    }

    #[test]
    fn the_reference_sets_the_pace_until_a_timeout_has_passed() {
        let text = "session s step a { SET lock_timeout = 10 } session t step b { }";
        let specification = Specification::parse("x", "x.spec", text.to_owned()).unwrap();
        let timeouts = ShortTimeouts::of(&specification, &["1s".to_owned()]);
        let pace = |sessions: &[usize], still| timeouts.pace(sessions.iter().copied(), Duration::from_millis(still));
        assert_eq!(pace(&[0, 1], 15), Pace::Reference);
        assert_eq!(pace(&[0], 35), Pace::Immediate);
        assert_eq!(pace(&[1], 15), Pace::Immediate);
        let timeouts = ShortTimeouts::of(&specification, &["5ms".to_owned()]);
        assert_eq!(timeouts.pace([1].into_iter(), Duration::ZERO), Pace::Reference);
    }
}
