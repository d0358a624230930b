//! "Did you mean …?"

/// The longest name that is compared, in bytes.
const LONGEST: usize = 200;

/// The name nearest to a mistyped one, if one is near enough: few letters differ, or most of its beginning matches.
pub(crate) fn one_of<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // no name is like it, and finding that out would take long
    if typed.len() > LONGEST {
        return None;
    }
    let typed = typed.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&typed, &name.to_lowercase());
    let (best, name) = names
        .into_iter()
        .filter(|name| name.len() <= LONGEST)
        .map(|name| (distance(name), name))
        .min_by_key(|&(distance, _)| distance)?;
    let (typed_length, length) = (typed.chars().count(), name.chars().count());
    let allowed = (length.max(typed_length) / 3).max(1);
    let lower = name.to_lowercase();
    let shared = typed.chars().zip(lower.chars()).take_while(|(one, other)| one == other);
    let begins_alike = length >= 5 && shared.count() + 1 >= length;
    ((best <= allowed && best < typed_length) || begins_alike).then_some(name)
}

/// A hint for a value that must be one of two words.
pub(crate) fn word(typed: &str, words: [&str; 2]) -> String {
    match one_of(typed, words) {
        Some(word) => format!("did you mean \"{word}\"?"),
        None => format!("it is \"{}\" or \"{}\"", words[0], words[1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_name_is_suggested() {
        assert_eq!(one_of("isolaton", ["isolation", "steps"]), Some("isolation"));
        assert_eq!(one_of("Veiws", ["id", "views"]), Some("views"));
        assert_eq!(one_of("retries", ["retry", "steps"]), Some("retry"));
        assert_eq!(one_of("failing", ["fails", "holds"]), Some("fails"));
        assert_eq!(one_of("a", ["b"]), None);
        assert_eq!(one_of("timeout", ["name", "steps"]), None);
        assert_eq!(one_of("x", []), None);
    }
}
