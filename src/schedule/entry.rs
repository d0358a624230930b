//! An entry of a schedule: a session and how far it runs.

use std::fmt::{self, Display};

const UNTIL: &str = " until ";
const BEFORE: &str = " before ";
const TO_END: &str = " to end";
const RESUMES: &str = " resumes";
const TIMES_OUT: &str = " times out";

/// Which session runs, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The session's name: `worker-1`.
    pub session: String,
    /// How far it runs.
    pub extent: Extent,
}

/// How far a session runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// One step: one statement or one commit.
    OneStep,
    /// Until the step with this name is over. The commit of a statement `pay` outside a transaction is `commit of pay`.
    Until(String),
    /// Until the step with this name is next.
    Before(String),
    /// Until it has run all of its steps.
    ToEnd,
    /// It has been released, and resumes its blocked step. Without such an entry it resumes at once.
    Resumes,
    /// A timeout that it has set ends the step in which it is blocked.
    TimesOut,
}

/// The order in which sessions run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    /// In their order.
    pub entries: Vec<Entry>,
}

impl Entry {
    /// An entry of the session with this name.
    pub fn new(session: impl Into<String>, extent: Extent) -> Entry {
        Entry {
            session: session.into(),
            extent,
        }
    }

    /// Parses `worker-1`, `worker-1 until read`, `worker-1 before write`, `worker-1 to end`, `worker-1 resumes` or
    /// `worker-1 times out`. Returns `None` if no session is named. Whether the session and the step exist is for a
    /// scenario to say.
    ///
    /// ```
    /// use pgbraid::schedule::{Entry, Extent};
    ///
    /// let entry = Entry::parse("worker-1 until read").unwrap();
    /// assert_eq!(entry, Entry::new("worker-1", Extent::Until("read".to_owned())));
    /// assert_eq!(entry.to_string(), "worker-1 until read");
    /// ```
    pub fn parse(text: &str) -> Option<Entry> {
        let text = text.trim();
        let at = |word: &str| text.find(word).map(|at| (at, word.len()));
        let (session, extent) = match (at(UNTIL), at(BEFORE)) {
            (Some((until, length)), before) if before.is_none_or(|(before, _)| until < before) => {
                (&text[..until], Extent::Until(text[until + length..].trim().to_owned()))
            }
            (_, Some((before, length))) => (
                &text[..before],
                Extent::Before(text[before + length..].trim().to_owned()),
            ),
            _ => {
                let ends = [
                    (TO_END, Extent::ToEnd),
                    (RESUMES, Extent::Resumes),
                    (TIMES_OUT, Extent::TimesOut),
                ];
                let mut ends = ends
                    .into_iter()
                    .filter_map(|(end, extent)| Some((text.strip_suffix(end)?, extent)));
                ends.next().unwrap_or((text, Extent::OneStep))
            }
        };
        let session = session.trim();
        (!session.is_empty()).then(|| Entry::new(session, extent))
    }

    /// Whether its text parses to the same entry. That of a name which contains ` until `, say, does not.
    pub(super) fn is_plain(&self) -> bool {
        Entry::parse(&self.to_string()).as_ref() == Some(self)
    }
}

impl Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let session = &self.session;
        match &self.extent {
            Extent::OneStep => write!(formatter, "{session}"),
            Extent::Until(step) => write!(formatter, "{session}{UNTIL}{step}"),
            Extent::Before(step) => write!(formatter, "{session}{BEFORE}{step}"),
            Extent::ToEnd => write!(formatter, "{session}{TO_END}"),
            Extent::Resumes => write!(formatter, "{session}{RESUMES}"),
            Extent::TimesOut => write!(formatter, "{session}{TIMES_OUT}"),
        }
    }
}

impl Schedule {
    /// Parses each entry as [`Entry::parse`] does. Returns `None` if one names no session.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Option<Schedule> {
        let entries = entries.into_iter().map(Entry::parse).collect::<Option<_>>()?;
        Some(Schedule { entries })
    }
}

impl FromIterator<Entry> for Schedule {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Schedule {
        Schedule {
            entries: entries.into_iter().collect(),
        }
    }
}

/// The entries, separated by commas.
impl Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(formatter, "{comma}{entry}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_session_goes_is_read_from_the_words_after_its_name() {
        let read = |text| Entry::parse(text).unwrap();
        assert_eq!(read("worker-1"), Entry::new("worker-1", Extent::OneStep));
        assert_eq!(read(" a  to end "), Entry::new("a", Extent::ToEnd));
        assert_eq!(read("a resumes"), Entry::new("a", Extent::Resumes));
        assert_eq!(read("a times out"), Entry::new("a", Extent::TimesOut));
        assert_eq!(
            read("a  until  commit of pay"),
            Entry::new("a", Extent::Until("commit of pay".into()))
        );
        assert_eq!(read("a before write"), Entry::new("a", Extent::Before("write".into())));
        assert_eq!(
            read("a until b before c"),
            Entry::new("a", Extent::Until("b before c".into()))
        );
        assert_eq!(
            read("a before b until c"),
            Entry::new("a", Extent::Before("b until c".into()))
        );
        assert_eq!(Entry::parse("  "), None);
        assert_eq!(read("until read"), Entry::new("until read", Extent::OneStep));
    }

    #[test]
    fn names_that_hold_the_words_are_not_plain() {
        assert!(Entry::new("a b", Extent::ToEnd).is_plain());
        assert!(!Entry::new("a until b", Extent::OneStep).is_plain());
        assert!(!Entry::new("a to end", Extent::OneStep).is_plain());
        assert!(!Entry::new("a resumes", Extent::OneStep).is_plain());
        assert!(!Entry::new(" a", Extent::ToEnd).is_plain());
    }
}
