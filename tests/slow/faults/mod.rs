//! Fault trials: pgbraid is run while something goes wrong, and must neither say anything wrong nor leave anything.
//!
//! ```sh
//! cargo test --test slow -- faults --nocapture                                          # one of each kind
//! PGBRAID_FAULTS=1000 PGBRAID_SEED=7 cargo test --release --test slow -- faults --nocapture
//! ```
//!
//! Each trial draws a task (a command and its scenario), a fault and a moment; see docs/robustness.md. `PGBRAID_FAULT`
//! names the only fault to try. A trial is drawn from the seed and its own number, but when exactly a fault comes is up
//! to the machine.

mod fake_server;
mod fault;
mod given;
mod inject;
mod limits;
mod processes;
mod program;
mod proxy;
mod table;
mod task;
mod trial;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::fault::FAULTS;
use self::table::Table;

fn number<T: std::str::FromStr>(variable: &str, default: T) -> T {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}

#[test]
fn faults() {
    let trials = number("PGBRAID_FAULTS", FAULTS.len());
    let seed = number("PGBRAID_SEED", 1);
    let only = std::env::var("PGBRAID_FAULT").ok();
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let (next, table) = (AtomicUsize::new(0), Mutex::new(Table::default()));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut bench = trial::Bench::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= trials {
                        break;
                    }
                    let report = bench.run(seed, number, only.as_deref());
                    for wrong in &report.wrong {
                        println!("trial {number} of seed {seed}: {}: {wrong}", report.what);
                    }
                    table.lock().unwrap().add(report);
                }
            });
        }
    });
    let table = table.into_inner().unwrap();
    println!("{table}");
    assert_eq!(table.wrong(), 0, "seed {seed}; trials that went wrong are listed above");
}
