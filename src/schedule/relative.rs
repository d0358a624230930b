//! Relative paths, as files refer to each other.

use std::io;
use std::path::{Component, Path, PathBuf};

/// How a file in the folder `from` names the file `to`.
///
/// # Errors
/// When one of them does not exist.
pub fn relative_path(from: &Path, to: &Path) -> io::Result<PathBuf> {
    let here = |path: &Path| {
        if path.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            path.to_owned()
        }
    };
    let (from, to) = (here(from).canonicalize()?, to.canonicalize()?);
    let shared = from
        .components()
        .zip(to.components())
        .take_while(|(one, other)| one == other)
        .count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    Ok(up.chain(to.components().skip(shared)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_up_to_what_both_share() {
        let root = tempfile::tempdir().unwrap();
        let (pins, scenarios) = (root.path().join("pins/deep"), root.path().join("scenarios"));
        std::fs::create_dir_all(&pins).unwrap();
        std::fs::create_dir_all(&scenarios).unwrap();
        let file = scenarios.join("a.toml");
        std::fs::write(&file, "").unwrap();
        assert_eq!(
            relative_path(&pins, &file).unwrap(),
            Path::new("../../scenarios/a.toml")
        );
        assert_eq!(relative_path(&scenarios, &file).unwrap(), Path::new("a.toml"));
        assert_eq!(
            relative_path(root.path(), &file).unwrap(),
            Path::new("scenarios/a.toml")
        );
        assert!(relative_path(&pins.join("absent"), &file).is_err());
    }
}
