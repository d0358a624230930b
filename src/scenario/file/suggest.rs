//! "Did you mean …?"

/// The name nearest to a mistyped one, if any is near enough.
pub(crate) fn one_of<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&typed, &name.to_lowercase());
    let (best, name) = names
        .into_iter()
        .map(|name| (distance(name), name))
        .min_by_key(|&(distance, _)| distance)?;
    let allowed = (name.chars().count().max(typed.chars().count()) / 3).max(1);
    (best <= allowed && best < typed.chars().count()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_name_is_suggested() {
        assert_eq!(one_of("isolaton", ["isolation", "steps"]), Some("isolation"));
        assert_eq!(one_of("Veiws", ["id", "views"]), Some("views"));
        assert_eq!(one_of("a", ["b"]), None);
        assert_eq!(one_of("timeout", ["name", "steps"]), None);
        assert_eq!(one_of("x", []), None);
    }
}
