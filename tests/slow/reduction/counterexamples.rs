//! Scenarios on which the reduction once lost something, or on which it well might.

use std::fs;
use std::path::Path;

use std::time::Duration;

use pgbraid::explore::{Dpor, Exhaustive, Strategy};
use pgbraid::run::Workbench;
use pgbraid::scenario::Scenario;

use super::compare::{compare, explore};
use super::host::Host;

/// Those in which one step releases several sessions.
pub const RELEASED_TOGETHER: [&str; 3] = [
    "released-together",
    "released-together-upsert",
    "released-and-overtaken",
];

pub fn counterexample(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slow/reduction/counterexamples");
    fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap()
}

#[test]
fn counterexamples_stay_mended() {
    let host = Host::start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slow/reduction/counterexamples");
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

/// Whichever of them the server lets go first: the invariants fail in the order that is the less likely one.
#[test]
fn every_order_of_sessions_that_are_released_together_is_run() {
    let host = Host::start();
    for name in RELEASED_TOGETHER {
        let scenario = Scenario::from_toml(name, name, &counterexample(name), Path::new(".")).unwrap();
        let fails = |strategy: &mut dyn Strategy, workbench: &mut Workbench| {
            let found = explore(&host, workbench, strategy).unwrap();
            found.outcomes.keys().any(|(_, violations)| !violations.is_empty())
        };
        host.with_template(scenario, |template| {
            let opening = Workbench::open(template.clone(), Duration::from_secs(60));
            let mut workbench = host.runtime.block_on(opening).unwrap();
            assert!(fails(&mut Exhaustive::new(), &mut workbench), "{name}: exhaustive");
            let mut dpor = Dpor::new(template.scenario(), template.program().clone(), false);
            assert!(fails(&mut dpor, &mut workbench), "{name}: dpor");
        })
        .unwrap();
    }
}
