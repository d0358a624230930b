//! A scenario's file: it is read or refused, a mistake can be shown, and what is written out reads as the same.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pgbraid::Scenario;
use pgbraid::explore::interleavings;

fn read(text: &str) -> Result<Scenario, pgbraid::scenario::ScenarioError> {
    // no folder that files of a setup could be read from
    Scenario::from_toml("fuzzed", "fuzzed.toml", text, Path::new("/nonexistent"))
}

fuzz_target!(|text: &str| {
    match read(text) {
        Ok(scenario) => {
            let _ = interleavings(&scenario).to_string();
            let written = scenario.to_toml();
            match read(&written) {
                Ok(again) => assert_eq!(again.to_toml(), written),
                Err(error) => panic!("{:?}\n{written}", miette::Report::new(error)),
            }
        }
        Err(error) => {
            let _ = format!("{:?}", miette::Report::new(error));
        }
    }
});
