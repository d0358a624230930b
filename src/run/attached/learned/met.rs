//! Values that are made anew in each run, as a session met them. Where a program passes one on, the one of the present run is
//! sent.

use bytes::Bytes;

use crate::history::NOW;

/// What a session has met so far, in order.
#[derive(Debug, Default)]
pub struct Met {
    values: Vec<Value>,
    /// It was told a time.
    told_time: bool,
    /// It was told something else that is made anew: a uuid, say.
    told_other: bool,
    /// It was told something that cannot be followed to where it goes: the number of a transaction, say.
    told_unknown: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Value {
    text: String,
    /// The same in a binary format, where it came so.
    binary: Option<Bytes>,
}

/// How a value relates to those before it: programs may compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Relation {
    /// The first that is equal, or its own place.
    place: usize,
    /// How many before it are less.
    less: usize,
}

impl Met {
    /// The place of an equal value.
    pub fn find(&self, text: &str) -> Option<usize> {
        self.values.iter().position(|value| value.text == text)
    }

    /// The place of an equal value in a binary format.
    pub fn find_binary(&self, bytes: &Bytes) -> Option<usize> {
        let is_equal = |value: &Value| value.binary.as_ref() == Some(bytes);
        self.values.iter().position(is_equal)
    }

    pub fn text(&self, place: usize) -> Option<&str> {
        self.values.get(place).map(|value| value.text.as_str())
    }

    pub fn binary(&self, place: usize) -> Option<Bytes> {
        self.values.get(place)?.binary.clone()
    }

    /// The session is told a value. `placeholder` is what it is shown as.
    pub fn told(&mut self, placeholder: &str, text: &str, binary: Option<Bytes>) -> Relation {
        match placeholder {
            NOW => self.told_time = true,
            _ => self.told_other = true,
        }
        self.add(text, binary)
    }

    /// The session is told a value that the program may pass on in a form that nobody recognises.
    pub fn told_unknown(&mut self) {
        self.told_unknown = true;
    }

    /// Whether what a program sends may come from something that cannot be followed.
    pub fn is_unknown(&self) -> bool {
        self.told_unknown
    }

    /// Whether a value that the program sends, and was not told, is sure to be of its own making: it could have been
    /// made of another that was told.
    pub fn may_be_own(&self, placeholder: &str) -> bool {
        match placeholder {
            NOW => !self.told_time,
            "<uuid>" | "<token>" => !self.told_other,
            _ => false,
        }
    }

    /// The program sends a value of its own making.
    pub fn made(&mut self, text: &str, binary: Option<Bytes>) {
        self.add(text, binary);
    }

    fn add(&mut self, text: &str, binary: Option<Bytes>) -> Relation {
        let less = self.values.iter().filter(|value| value.text.as_str() < text).count();
        let place = self.find(text).unwrap_or(self.values.len());
        self.values.push(Value {
            text: text.to_owned(),
            binary,
        });
        Relation { place, less }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_relate_the_same_in_another_run() {
        let relations = |values: [&str; 3]| {
            let mut met = Met::default();
            values.map(|value| met.told(NOW, value, None))
        };
        let first = relations(["2026-01-01 10:00:00", "2026-01-01 10:00:05", "2026-01-01 10:00:00"]);
        assert_eq!(
            first,
            relations(["2026-02-01 10:00:00", "2026-02-01 10:00:05", "2026-02-01 10:00:00"])
        );
        assert_ne!(
            first,
            relations(["2026-02-01 10:00:00", "2026-02-01 10:00:05", "2026-02-01 10:00:05"])
        );
        assert_ne!(
            first,
            relations(["2026-02-01 10:00:05", "2026-02-01 10:00:00", "2026-02-01 10:00:05"])
        );
    }

    #[test]
    fn what_could_be_made_of_what_was_told_is_not_the_programs_own() {
        let mut met = Met::default();
        assert!(met.may_be_own(NOW) && met.may_be_own("<uuid>") && !met.may_be_own("<database>"));
        met.told("<uuid>", "x", None);
        assert!(met.may_be_own(NOW) && !met.may_be_own("<token>"));
        met.told(NOW, "y", None);
        assert!(!met.may_be_own(NOW));
    }
}
