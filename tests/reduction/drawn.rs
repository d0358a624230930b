//! The property itself.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::str::FromStr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use pgbraid::scenario::Scenario;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::compare::{Comparison, Difference, compare};
use super::draw::{self, Plan, plans};
use super::host::Host;

/// What a run of the whole test suite draws.
const CASES: u32 = 240;
const SEED: u64 = 3;
const MOST_INTERLEAVINGS: u64 = 130;
const THREADS: u32 = 2;

/// How many a thread draws before it looks whether its time is up.
const BATCH: u32 = 120;

/// What came of many scenarios.
#[derive(Default)]
struct Tally {
    compared: u64,
    /// How often there was nothing to compare, and why.
    unfit: BTreeMap<String, u64>,
    exhaustive: u64,
    reduced: u64,
    redundant: u64,
    with_copies: u64,
    outcomes: usize,
    /// Scenarios whose runs were not under control, and why.
    uncontrolled: Vec<String>,
    found: Vec<String>,
}

impl Tally {
    fn add(&mut self, comparison: &Comparison) {
        self.compared += 1;
        self.exhaustive += comparison.exhaustive;
        self.reduced += comparison.reduced;
        self.redundant += comparison.redundant;
        self.with_copies += u64::from(comparison.symmetric.is_some());
        self.outcomes += comparison.outcomes;
    }
}

fn setting<T: FromStr>(name: &str, default: T) -> T {
    env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[test]
fn drawn_scenarios_lose_nothing() {
    let cases = setting("PGBRAID_CASES", CASES);
    let seed = setting("PGBRAID_SEED", SEED);
    let most_interleavings = setting("PGBRAID_INTERLEAVINGS", MOST_INTERLEAVINGS);
    let limit = Duration::from_secs(setting("PGBRAID_SECONDS", 24 * 3600));
    let started = Instant::now();
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for index in 0..THREADS {
            let tally = &tally;
            scope.spawn(move || {
                let host = Host::start();
                let cases = cases.div_ceil(THREADS);
                for (batch, first) in (0..cases).step_by(BATCH as usize).enumerate() {
                    let mut bytes = [0; 32];
                    bytes[..8].copy_from_slice(&seed.to_le_bytes());
                    bytes[8..12].copy_from_slice(&index.to_le_bytes());
                    bytes[12..20].copy_from_slice(&(batch as u64).to_le_bytes());
                    let config = Config {
                        cases: BATCH.min(cases - first),
                        failure_persistence: None,
                        max_global_rejects: u32::MAX,
                        max_local_rejects: u32::MAX,
                        max_shrink_iters: 400,
                        ..Config::default()
                    };
                    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
                    let result = TestRunner::new_with_rng(config, rng).run(&plans(most_interleavings), |plan| {
                        match started.elapsed() > limit {
                            true => Ok(()),
                            false => check(&host, &plan, tally),
                        }
                    });
                    if let Err(error) = result {
                        let text = match error {
                            TestError::Fail(reason, plan) => format!("{reason}\n{plan:?}"),
                            TestError::Abort(reason) => reason.to_string(),
                        };
                        tally.lock().unwrap().found.push(text);
                    }
                    if started.elapsed() > limit {
                        break;
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    println!(
        "seed {seed}: {} scenarios compared in {:.0?}, {} of them with copies, {} not fit for it; {} schedules in full, {} reduced \
         ({:.1} to 1), {} of them redundant, {} outcomes",
        tally.compared,
        started.elapsed(),
        tally.with_copies,
        tally.unfit.values().sum::<u64>(),
        tally.exhaustive,
        tally.reduced,
        tally.exhaustive as f64 / tally.reduced.max(1) as f64,
        tally.redundant,
        tally.outcomes,
    );
    println!("not fit: {:?}", tally.unfit);
    for text in &tally.found {
        println!("{text}");
    }
    assert!(tally.found.is_empty(), "{} counterexamples", tally.found.len());
    assert!(
        tally.uncontrolled.is_empty(),
        "{} runs not under control",
        tally.uncontrolled.len()
    );
    assert!(tally.compared > 0);
}

#[test]
fn the_server_takes_every_statement_that_can_be_drawn() {
    let host = Host::start();
    for plan in draw::all_statements() {
        let scenario = Scenario::from_toml("all", "all.toml", &plan.to_toml(), Path::new(".")).unwrap();
        host.with_template(scenario, |_| ()).unwrap();
    }
}

fn check(host: &Host, plan: &Plan, tally: &Mutex<Tally>) -> Result<(), TestCaseError> {
    let difference = match compare(host, "drawn", &plan.to_toml()) {
        Ok(comparison) => {
            tally.lock().unwrap().add(&comparison);
            return Ok(());
        }
        Err(difference) => difference,
    };
    match difference {
        Difference::Found(text) => {
            println!("found, to be made smaller: {text}\n{plan:?}");
            Err(TestCaseError::fail(text))
        }
        Difference::Uncontrolled(what) => {
            let text = format!("not under control: {what}\n{plan:?}");
            println!("{text}");
            tally.lock().unwrap().uncontrolled.push(text);
            Ok(())
        }
        Difference::Unfit(why) => {
            *tally.lock().unwrap().unfit.entry(why).or_default() += 1;
            Ok(())
        }
    }
}
