//! The property itself.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use pgbraid::scenario::Scenario;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::compare::{Comparison, Difference, compare};
use super::draw;
use super::host::Host;
use super::plan::Plan;
use super::settings::{MOST_INTERLEAVINGS, SEED, accepts, setting};
use super::theme::{self, drawn_themes, plans};

/// What a run of the whole test suite draws.
const CASES: u32 = 160;
const THREADS: u32 = 2;

/// How many a thread draws before it looks whether its time is up. A counterexample ends a batch.
const BATCH: u32 = 40;

/// What came of many scenarios.
#[derive(Default)]
struct Tally {
    themes: BTreeMap<&'static str, OfTheme>,
    /// How often there was nothing to compare, and why.
    unfit: BTreeMap<String, u64>,
    /// Scenarios whose runs were not under control, and why.
    uncontrolled: Vec<String>,
    found: Vec<String>,
}

#[derive(Default)]
struct OfTheme {
    compared: u64,
    unfit: u64,
    with_copies: u64,
    /// Of those compared, the ones whose schedules do not all lead to the same.
    several_outcomes: u64,
    exhaustive: u64,
    reduced: u64,
    redundant: u64,
    outcomes: usize,
    found: u64,
}

impl OfTheme {
    fn add(&mut self, comparison: &Comparison) {
        self.compared += 1;
        self.with_copies += u64::from(comparison.symmetric.is_some());
        self.several_outcomes += u64::from(comparison.outcomes > 1);
        self.exhaustive += comparison.exhaustive;
        self.reduced += comparison.reduced;
        self.redundant += comparison.redundant;
        self.outcomes += comparison.outcomes;
    }

    fn drawn(&self) -> u64 {
        self.compared + self.unfit + self.found
    }

    fn line(&self, name: &str) -> String {
        format!(
            "{name:<22} {:>6} {:>6} {:>6} {:>8} {:>8} {:>9} {:>8} {:>9} {:>6}",
            self.drawn(),
            self.unfit,
            self.with_copies,
            self.several_outcomes,
            self.outcomes,
            self.exhaustive,
            self.reduced,
            self.redundant,
            self.found,
        )
    }
}

impl Tally {
    fn total(&self) -> OfTheme {
        let mut total = OfTheme::default();
        for one in self.themes.values() {
            total.compared += one.compared;
            total.unfit += one.unfit;
            total.with_copies += one.with_copies;
            total.several_outcomes += one.several_outcomes;
            total.exhaustive += one.exhaustive;
            total.reduced += one.reduced;
            total.redundant += one.redundant;
            total.outcomes += one.outcomes;
            total.found += one.found;
        }
        total
    }

    fn print(&self) {
        println!(
            "{:<22} {:>6} {:>6} {:>6} {:>8} {:>8} {:>9} {:>8} {:>9} {:>6}",
            "theme", "drawn", "unfit", "copies", "several", "outcomes", "in full", "reduced", "redundant", "found"
        );
        for (name, one) in &self.themes {
            println!("{}", one.line(name));
        }
        println!("{}", self.total().line("all"));
        println!("not fit: {:#?}", self.unfit);
    }
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
                let plans = plans(most_interleavings, accepts);
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
                        max_shrink_time: 40_000,
                        ..Config::default()
                    };
                    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
                    // what comes after a counterexample is the same made smaller
                    let counts = Cell::new(true);
                    let result = TestRunner::new_with_rng(config, rng).run(&plans, |plan| {
                        let counted = counts.get();
                        if counted && started.elapsed() > limit {
                            return Ok(());
                        }
                        let result = check(&host, &plan, counted.then_some(tally));
                        if result.is_err() {
                            counts.set(false);
                        }
                        result
                    });
                    if let Err(error) = result {
                        let text = match error {
                            TestError::Fail(reason, plan) => format!("{reason}\n{plan:?}"),
                            TestError::Abort(reason) => reason.to_string(),
                        };
                        println!("counterexample: {text}");
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
    tally.print();
    let total = tally.total();
    println!(
        "seed {seed}: {} scenarios compared in {:.0?}; {} schedules in full, {} reduced ({:.1} to 1)",
        total.compared,
        started.elapsed(),
        total.exhaustive,
        total.reduced,
        total.exhaustive as f64 / total.reduced.max(1) as f64,
    );
    for text in &tally.found {
        println!("{text}");
    }
    assert!(tally.found.is_empty(), "{} counterexamples", tally.found.len());
    assert!(
        tally.uncontrolled.is_empty(),
        "{} runs not under control",
        tally.uncontrolled.len()
    );
    assert!(total.compared > 0);
}

#[test]
fn the_server_takes_every_statement_that_can_be_drawn() {
    let host = Host::start();
    let themes = drawn_themes().flat_map(theme::Theme::all_statements);
    let refused: Vec<_> = draw::all_statements()
        .into_iter()
        .chain(themes)
        .filter_map(|plan| {
            let scenario = Scenario::from_toml("all", "all.toml", &plan.to_toml(), Path::new("."));
            let refused = match scenario {
                Ok(scenario) => host
                    .with_template(scenario, |_| ())
                    .err()
                    .map(|error| format!("{error}")),
                Err(error) => Some(error.to_string()),
            };
            refused.map(|error| format!("{}: {error}", plan.theme))
        })
        .collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

fn check(host: &Host, plan: &Plan, tally: Option<&Mutex<Tally>>) -> Result<(), TestCaseError> {
    let comparison = compare(host, "drawn", &plan.to_toml());
    if let Some(tally) = tally {
        let mut tally = tally.lock().unwrap();
        let of_theme = tally.themes.entry(plan.theme).or_default();
        match &comparison {
            Ok(comparison) => of_theme.add(comparison),
            Err(Difference::Found(_)) => of_theme.found += 1,
            Err(Difference::Unfit(_) | Difference::Uncontrolled(_)) => of_theme.unfit += 1,
        }
    }
    match comparison {
        Ok(_) => Ok(()),
        Err(Difference::Found(text)) => {
            if tally.is_some() {
                println!("found, to be made smaller: {text}\n{plan:?}");
            }
            Err(TestCaseError::fail(text))
        }
        Err(Difference::Uncontrolled(what)) => {
            if let Some(tally) = tally {
                let text = format!("not under control: {what}\n{plan:?}");
                println!("{text}");
                tally.lock().unwrap().uncontrolled.push(text);
            }
            Ok(())
        }
        Err(Difference::Unfit(why)) => {
            if let Some(tally) = tally {
                *tally.lock().unwrap().unfit.entry(why).or_default() += 1;
            }
            Ok(())
        }
    }
}
