//! Scenarios on which the reduction once lost something, or on which it well might.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use pgbraid::explore::{Dpor, Exhaustive, Strategy};
use pgbraid::run::Workbench;
use pgbraid::scenario::Scenario;

use super::compare::{compare, explore};
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

/// Which of the sessions that one step releases resumes first is a choice, and shows.
#[test]
fn both_searches_find_what_shows_who_was_released_first() {
    let host = Host::start();
    for (name, invariant) in [
        (
            "released-together",
            "the first number wins where both drew while a was open",
        ),
        ("released-together-upsert", "last number wins"),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reduction/counterexamples");
        let toml = fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
        let scenario = Scenario::from_toml(name, name, &toml, Path::new(".")).unwrap();
        let violated = host.with_template(scenario, |template| {
            let dpor = Dpor::new(template.scenario().clone(), template.footprints().clone(), false);
            let strategies: [Box<dyn Strategy>; 2] = [Box::new(Exhaustive::new()), Box::new(dpor)];
            strategies.map(|mut strategy| {
                let mut bench = host
                    .runtime
                    .block_on(Workbench::open(template.clone(), Duration::from_secs(60)))
                    .unwrap();
                let found = explore(&host, &mut bench, strategy.as_mut()).unwrap();
                found
                    .outcomes
                    .into_keys()
                    .flat_map(|(_, violations)| violations)
                    .collect::<BTreeSet<_>>()
            })
        });
        let expected = BTreeSet::from([invariant.to_owned()]);
        assert_eq!(violated.unwrap(), [expected.clone(), expected], "{name}");
    }
}
