//! Scenarios on which the reduction once lost something, or on which it well might.

use std::fs;
use std::path::Path;

use super::compare::compare;
use super::host::Host;

#[test]
fn counterexamples_stay_mended() {
    let host = Host::start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reduction/counterexamples");
    let only = std::env::var("PGBRAID_ONLY").unwrap_or_default();
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    let mut differences = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !name.contains(&only) {
            continue;
        }
        match compare(&host, &name, &fs::read_to_string(&path).unwrap()) {
            Ok(comparison) => println!("{name}: {comparison:?}"),
            Err(difference) => differences.push(format!("{name}: {difference:?}")),
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
