//! A pinned schedule's file and the entries in it: what is written out reads as the same.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pgbraid::schedule::{Entry, PinnedFile};

fuzz_target!(|text: &str| {
    if let Some(entry) = Entry::parse(text) {
        let written = entry.to_string();
        let again = Entry::parse(&written).expect("an entry").to_string();
        assert_eq!(again, Entry::parse(&again).expect("an entry").to_string());
    }
    let path = Path::new("/nonexistent/fuzzed.toml");
    match PinnedFile::from_toml(path, text) {
        Ok(file) => {
            let _ = file.line();
            let written = file.pinned.to_toml(None);
            match PinnedFile::from_toml(path, &written) {
                Ok(again) => assert_eq!(again.pinned, file.pinned),
                Err(error) => panic!("{:?}\n{written}", miette::Report::new(error)),
            }
            if let Err(error) = file.scenario_path() {
                let _ = format!("{:?}", miette::Report::new(error));
            }
        }
        Err(error) => drop(format!("{:?}", miette::Report::new(error))),
    }
});
