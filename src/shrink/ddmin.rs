//! Delta debugging: finds a subset from which nothing can be left out.
//!
//! Zeller and Hildebrandt, *Simplifying and Isolating Failure-Inducing Input*, IEEE TSE 28(2), 2002.

/// Finds a subset of `items` for which `fails` is true, but no longer if any single item is left out. `items` itself
/// fails. The order of the items is kept.
///
/// # Errors
/// Those of `fails`.
pub fn ddmin<T: Clone, E>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> Result<bool, E>) -> Result<Vec<T>, E> {
    if !items.is_empty() && fails(&[])? {
        return Ok(Vec::new());
    }
    let mut parts = 2;
    'smaller: while !items.is_empty() {
        parts = parts.min(items.len());
        let ends: Vec<usize> = (0..=parts).map(|part| part * items.len() / parts).collect();
        for part in ends.windows(2).filter(|_| parts > 2) {
            let subset = &items[part[0]..part[1]];
            if fails(subset)? {
                items = subset.to_vec();
                parts = 2;
                continue 'smaller;
            }
        }
        for part in ends.windows(2) {
            let complement: Vec<T> = items[..part[0]].iter().chain(&items[part[1]..]).cloned().collect();
            if fails(&complement)? {
                items = complement;
                parts = (parts - 1).max(2);
                continue 'smaller;
            }
        }
        if parts == items.len() {
            break;
        }
        parts *= 2;
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn reduced(items: Vec<u8>, mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        let Ok(found) = ddmin(items, |subset| Ok::<_, Infallible>(fails(subset)));
        found
    }

    #[test]
    fn what_is_not_needed_is_left_out() {
        let needs = |needed: &'static [u8]| move |items: &[u8]| needed.iter().all(|one| items.contains(one));
        assert_eq!(reduced((0..10).collect(), needs(&[3, 7])), [3, 7]);
        assert_eq!(reduced((0..10).collect(), needs(&[0, 4, 5, 9])), [0, 4, 5, 9]);
        assert!(reduced((0..10).collect(), needs(&[])).is_empty());
        assert_eq!(reduced(vec![1], needs(&[1])), [1]);
    }

    proptest! {
        #[test]
        fn no_single_item_more_can_be_left_out(
            size in 1u8..12,
            // any failing sets: a subset fails when it is one of them
            failing in proptest::collection::vec(proptest::collection::btree_set(0u8..12, 0..12), 0..20),
        ) {
            let all: Vec<u8> = (0..size).collect();
            let fails = |items: &[u8]| {
                let items: BTreeSet<u8> = items.iter().copied().collect();
                items.len() == all.len() || failing.contains(&items)
            };
            let found = reduced(all.clone(), fails);
            prop_assert!(fails(&found));
            for left_out in &found {
                let smaller: Vec<u8> = found.iter().copied().filter(|item| item != left_out).collect();
                prop_assert!(!fails(&smaller), "{smaller:?} of {found:?}");
            }
        }
    }
}
