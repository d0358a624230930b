//! A specification of isolationtester: it is read or refused, a mistake can be shown, and its permutations and its
//! scenario can be made.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgbraid::isolation::Specification;

fuzz_target!(|text: String| {
    match Specification::parse("fuzzed", "fuzzed.spec", text) {
        Ok(specification) => {
            for permutation in specification.permutations().take(10) {
                let _ = specification.written(&permutation).to_string();
            }
            let _ = specification.unused_steps();
            for permutation in [None, Some(1)] {
                match specification.scenario(permutation) {
                    Ok(scenario) => drop(scenario.to_toml()),
                    Err(error) => drop(format!("{:?}", miette::Report::new(error))),
                }
            }
        }
        Err(error) => drop(format!("{:?}", miette::Report::new(error))),
    }
});
