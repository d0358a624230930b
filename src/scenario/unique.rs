//! Generates names for steps that have none.

use std::collections::{BTreeMap, BTreeSet};

/// Gives out each name once.
#[derive(Default)]
pub(crate) struct UniqueNames {
    taken: BTreeSet<String>,
    /// By name, the number to try next.
    next: BTreeMap<String, u64>,
}

impl UniqueNames {
    pub fn besides(taken: impl IntoIterator<Item = String>) -> UniqueNames {
        UniqueNames {
            taken: taken.into_iter().collect(),
            next: BTreeMap::new(),
        }
    }

    /// The name, numbered where it is taken.
    pub fn take(&mut self, name: &str) -> String {
        let next = self.next.entry(name.to_owned()).or_insert(1);
        loop {
            let numbered = match *next {
                1 => name.to_owned(),
                number => format!("{name}-{number}"),
            };
            *next += 1;
            if self.taken.insert(numbered.clone()) {
                return numbered;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This would take hours if each name tried all numbers.
    #[test]
    fn many_names_take_no_time() {
        let mut names = UniqueNames::default();
        let last = (0..300_000).map(|_| names.take("select")).last();
        assert_eq!(last.as_deref(), Some("select-300000"));
    }

    #[test]
    fn a_number_that_is_taken_is_passed_over() {
        let mut names = UniqueNames::besides(["select-2".to_owned()]);
        let given: Vec<String> = ["select", "select", "update", "select"]
            .into_iter()
            .map(|name| names.take(name))
            .collect();
        assert_eq!(given, ["select", "select-3", "update", "select-4"]);
    }
}
