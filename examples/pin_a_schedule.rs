//! Runs one schedule of one's own choice, looks at what it did, and prints the file that keeps it for `pgbraid replay`.
//!
//! ```sh
//! cargo run --example pin_a_schedule
//! ```

use std::error::Error;
use std::path::PathBuf;

use pgbraid::input::Reading;
use pgbraid::schedule::{Expectation, PinnedSchedule};
use pgbraid::testing::Bench;
use pgbraid::{Scenario, Schedule};

const ORDER: [&str; 3] = ["user-1 until check", "user-2 to end", "user-1 to end"];

fn main() -> Result<(), Box<dyn Error>> {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let order = Schedule::parse(ORDER).ok_or("every entry names a session")?;

    let mut bench = Bench::open(Scenario::from_file(fixtures.join("seats.toml"))?)?;
    let run = bench.run(&order)?;
    for turn in &run.history.turns {
        println!(
            "{:8} {:40} {:?}",
            run.history.sessions[turn.session], turn.filled, turn.result
        );
    }
    println!("violated: {}\n", run.violated().join(", "));

    let pinned = PinnedSchedule {
        scenario: PathBuf::from("../fixtures/seats.toml"),
        reading: Reading::default(),
        expect: if run.violations.is_empty() {
            Expectation::Holds
        } else {
            Expectation::Fails
        },
        violates: run.violated(),
        strict: false,
        order,
    };
    print!("{}", pinned.to_toml(None));

    // with the fix, the same order makes user-1 wait, and nothing is violated
    let mut bench = Bench::open(Scenario::from_file(fixtures.join("seats-for-update.toml"))?)?;
    let fixed = bench.run(&pinned.order)?;
    println!("\nwith the fix, violated: {:?}", fixed.violated());
    Ok(())
}
