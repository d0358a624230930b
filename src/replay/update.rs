//! Changes what a file expects to what its schedule does.

use toml_edit::{Array, DocumentMut, value};

use super::{Judgement, Replay};
use crate::schedule::Expectation;

/// The text of the replayed file with the expectation that the replay meets; comments and layout are kept. `None` if
/// the expectation is met, or cannot be met by changing it.
pub fn update(replay: &Replay) -> Option<String> {
    let (expect, violates) = match &replay.judgement {
        Judgement::Holds => (Expectation::Holds, None),
        Judgement::Fails | Judgement::FailsOtherwise { .. } => (Expectation::Fails, Some(replay.run.violated())),
        Judgement::Met | Judgement::LeftOrder | Judgement::Differs { .. } | Judgement::NotControlled(_) => return None,
    };
    rewrite(replay.file.text(), expect, violates)
}

/// What a schedule violated before it held stays in its file.
fn rewrite(text: &str, expect: Expectation, violates: Option<Vec<String>>) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let mut put = |key: &str, item: toml_edit::Item| match document.get_mut(key) {
        Some(old) => {
            let decor = old.as_value().map(|value| value.decor().clone());
            *old = item;
            if let (Some(new), Some(decor)) = (old.as_value_mut(), decor) {
                *new.decor_mut() = decor;
            }
        }
        None => {
            document.insert(key, item);
        }
    };
    put("expect", value(expect.word()));
    if let Some(names) = violates {
        put("violates", value(names.into_iter().collect::<Array>()));
    }
    Some(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"# found by: pgbraid explore fixtures/counter.toml
scenario = "../fixtures/counter.toml"
expect   = "fails"   # since May
violates = [ "no update is lost" ]
order = [
  "worker-1 until read", # both read 0
  "worker-2 to end",
]
"#;

    #[test]
    fn only_the_expectation_changes() {
        let holds = rewrite(FILE, Expectation::Holds, None).expect("it is TOML");
        assert_eq!(holds, FILE.replace("\"fails\"", "\"holds\""));
        let fails = rewrite(
            FILE,
            Expectation::Fails,
            Some(vec!["deadlock".to_owned(), "a \"b\"".to_owned()]),
        );
        assert_eq!(
            fails.expect("it is TOML"),
            FILE.replace("[ \"no update is lost\" ]", "[\"deadlock\", 'a \"b\"']")
        );
    }

    #[test]
    fn what_is_violated_is_added_where_it_is_not_named() {
        let unnamed = FILE.replace("violates = [ \"no update is lost\" ]\n", "");
        let fails = rewrite(&unnamed, Expectation::Fails, Some(vec!["deadlock".to_owned()])).expect("it is TOML");
        assert_eq!(fails, unnamed + "violates = [\"deadlock\"]\n");
    }
}
