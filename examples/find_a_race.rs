//! Looks for a race in a scenario file, and shows the smallest schedule that has it.
//!
//! ```sh
//! cargo run --example find_a_race
//! cargo run --example find_a_race -- fixtures/write-skew.toml
//! ```

use std::error::Error;

use pgbraid::{Scenario, Verdict};

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1);
    let file = file.unwrap_or_else(|| format!("{}/fixtures/counter.toml", env!("CARGO_MANIFEST_DIR")));
    let found = Scenario::from_file(file)?.explore().run()?;

    // the report that the command line prints
    println!("{found}");

    // and the same as values
    match found.verdict() {
        Verdict::Holds => println!("no interleaving fails"),
        Verdict::Inconclusive => {
            let reasons: Vec<&str> = found.reasons().iter().map(|reason| reason.code()).collect();
            println!("not everything was covered: {}", reasons.join(", "));
        }
        Verdict::Fails => {
            if let (Some(run), Some(schedule)) = (found.failure(), found.schedule()) {
                println!("{} is violated by: {schedule}", run.violated().join(", "));
            }
        }
    }
    Ok(())
}
