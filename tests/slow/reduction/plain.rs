//! What a plain server does when the sessions run freely is among what full enumeration has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use pgbraid::explore::Exhaustive;
use pgbraid::run::{FreeRun, RunError, Template, Workbench};
use pgbraid::scenario::Scenario;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;

use super::compare::{Difference, Found, Verdict, explore};
use super::counterexamples::{RELEASED_TOGETHER, counterexample};
use super::host::Host;
use super::settings::{MOST_INTERLEAVINGS, SEED, accepts, setting};
use super::theme::{Plain, drawn_themes, plans};

const CASES: u32 = 16;
const TRIALS: u32 = 30;
const THREADS: u32 = 2;

/// The longest pause ahead of a step, in microseconds. A step takes some tens to hundreds.
const PAUSES: [u64; 5] = [0, 60, 250, 1000, 3000];

/// How long a session has for its first step before the next comes, in microseconds; after the last, the first continues.
const HEAD_START: u64 = 2000;

const DEADLOCK_DETECTED: &str = "40P01";

#[derive(Default)]
struct OfTheme {
    scenarios: u64,
    unfit: u64,
    trials: u64,
    /// Trials with a deadlock, of which a plain server may take any session for the victim.
    deadlocks: u64,
    /// Outcomes of full enumeration, and those of them that came in trials.
    outcomes: usize,
    met: usize,
    found: u64,
}

impl OfTheme {
    fn line(&self, name: &str) -> String {
        format!(
            "{name:<22} {:>9} {:>6} {:>7} {:>9} {:>9} {:>5} {:>6}",
            self.scenarios, self.unfit, self.trials, self.deadlocks, self.outcomes, self.met, self.found
        )
    }
}

/// What came of one scenario.
struct Trials {
    count: u64,
    deadlocks: u64,
    met: BTreeSet<Verdict>,
    /// Outcomes that enumeration does not have: how often each came, and what happened.
    strange: BTreeMap<Verdict, (u64, String)>,
}

#[test]
fn plain_servers_do_nothing_else() {
    let cases = setting("PGBRAID_CASES", CASES);
    let trials = setting("PGBRAID_TRIALS", TRIALS);
    let seed = setting("PGBRAID_SEED", SEED);
    let most_interleavings = setting("PGBRAID_INTERLEAVINGS", MOST_INTERLEAVINGS);
    let limit = Duration::from_secs(setting("PGBRAID_SECONDS", 24 * 3600));
    let started = Instant::now();
    let way = |name: &str| {
        let theme = drawn_themes().find(|theme| theme.name == name);
        theme.map_or(Plain::No, |theme| theme.plain)
    };
    let is_drawn = |name: &str| way(name) != Plain::No && accepts(name);
    if !drawn_themes().any(|theme| is_drawn(theme.name)) {
        return;
    }
    let tally: Mutex<BTreeMap<&'static str, OfTheme>> = Mutex::default();
    let found: Mutex<Vec<String>> = Mutex::default();
    thread::scope(|scope| {
        for index in 0..THREADS {
            let (tally, found) = (&tally, &found);
            scope.spawn(move || {
                let host = Host::start();
                let mut bytes = [0; 32];
                bytes[..8].copy_from_slice(&seed.to_le_bytes());
                bytes[8..12].copy_from_slice(&index.to_le_bytes());
                let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
                let mut runner = TestRunner::new_with_rng(Config::default(), rng);
                let mut pauses = StdRng::seed_from_u64(seed + u64::from(index));
                let plans = plans(most_interleavings, is_drawn);
                for _ in 0..cases.div_ceil(THREADS) {
                    if started.elapsed() > limit {
                        break;
                    }
                    let plan = plans.new_tree(&mut runner).unwrap().current();
                    let result = try_freely(&host, &plan.to_toml(), way(plan.theme), trials, &mut pauses);
                    let mut tally = tally.lock().unwrap();
                    let of_theme = tally.entry(plan.theme).or_default();
                    of_theme.scenarios += 1;
                    let Some((full, result)) = result else {
                        of_theme.unfit += 1;
                        continue;
                    };
                    of_theme.trials += result.count;
                    of_theme.deadlocks += result.deadlocks;
                    of_theme.outcomes += full.outcomes.len();
                    of_theme.met += result.met.len();
                    if !result.strange.is_empty() {
                        of_theme.found += 1;
                        let text = in_words(&result, &format!("{plan:?}"));
                        println!("{text}");
                        found.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    println!(
        "{:<22} {:>9} {:>6} {:>7} {:>9} {:>9} {:>5} {:>6}",
        "theme", "scenarios", "unfit", "trials", "deadlocks", "outcomes", "met", "found"
    );
    let (mut scenarios, mut trials) = (0, 0);
    for (name, one) in tally.into_inner().unwrap() {
        println!("{}", one.line(name));
        scenarios += one.scenarios - one.unfit;
        trials += one.trials;
    }
    println!(
        "seed {seed}: {trials} trials of {scenarios} scenarios in {:.0?}",
        started.elapsed()
    );
    let found = found.into_inner().unwrap();
    assert!(
        found.is_empty(),
        "{} scenarios do what enumeration does not have",
        found.len()
    );
    assert!(trials > 0);
}

/// Where one step releases several sessions, which of them goes first is the server's choice.
#[test]
fn plain_servers_release_waiters_in_an_order_that_is_explored() {
    let host = Host::start();
    let mut pauses = StdRng::seed_from_u64(SEED);
    for name in RELEASED_TOGETHER {
        let toml = counterexample(name);
        let (full, result) = try_freely(&host, &toml, Plain::AfterTheFirst, 150, &mut pauses).unwrap();
        println!(
            "{name}: {} trials, {} of {} outcomes met",
            result.count,
            result.met.len(),
            full.outcomes.len()
        );
        assert!(result.strange.is_empty(), "{name}: {}", in_words(&result, &toml));
    }
}

fn in_words(result: &Trials, scenario: &str) -> String {
    let mut text = format!(
        "of {} trials, with outcomes that enumeration does not have:",
        result.count
    );
    for ((id, violations), (times, what)) in &result.strange {
        text += &format!("\n# {times} × {id} {violations:?}: {what}");
    }
    text + "\n" + scenario
}

/// Nothing where the scenario is not fit for it.
fn try_freely(host: &Host, toml: &str, way: Plain, trials: u32, pauses: &mut StdRng) -> Option<(Found, Trials)> {
    let scenario = Scenario::from_toml("free", "free.toml", toml, Path::new("."))
        .unwrap_or_else(|error| panic!("{error:?}\n{toml}"));
    let on_template = |template: &Arc<Template>| {
        let mut bench = host.runtime.block_on(Workbench::open(template.clone(), LIMIT)).unwrap();
        let full = match explore(host, &mut bench, &mut Exhaustive::new()) {
            Ok(full) => full,
            Err(Difference::Unfit(_) | Difference::Uncontrolled(_)) => return None,
            Err(Difference::Found(text)) => panic!("{text}"),
        };
        let mut bench = host
            .runtime
            .block_on(Workbench::open_freely(template.clone(), LIMIT))
            .unwrap();
        let mut result = Trials {
            count: 0,
            deadlocks: 0,
            met: BTreeSet::new(),
            strange: BTreeMap::new(),
        };
        for _ in 0..trials {
            let run = match host.runtime.block_on(bench.run_freely(pause_lengths(
                way,
                template.scenario().sessions.len(),
                pauses,
            ))) {
                Ok(run) => run,
                // some order of the steps is no run
                Err(RunError::TakesTooLong { .. } | RunError::SeveralRows { .. }) => return None,
                Err(error) => panic!("{error:?}\n{toml}"),
            };
            // on a busy machine another session may come ahead of the first, and then two statements overlap in time
            if way == Plain::AfterTheFirst && run.ends[0].error.is_some() {
                continue;
            }
            result.count += 1;
            let is_victim = |end: &pgbraid::history::SessionEnd| {
                end.error
                    .as_ref()
                    .is_some_and(|error| error.sqlstate == DEADLOCK_DETECTED)
            };
            if run.ends.iter().any(is_victim) {
                result.deadlocks += 1;
                continue;
            }
            let violations = run.violations.iter().map(|violation| violation.name()).collect();
            let verdict = (run.outcome.id.clone(), violations);
            if full.outcomes.contains_key(&verdict) {
                result.met.insert(verdict);
            } else {
                result.strange.entry(verdict).or_insert_with(|| (0, shown(&run))).0 += 1;
            }
        }
        Some((full, result))
    };
    match host.with_template(scenario, on_template) {
        Ok(result) => result,
        Err(RunError::Scenario(_)) => None,
        Err(error) => panic!("{error:?}\n{toml}"),
    }
}

const LIMIT: Duration = Duration::from_secs(20);

/// How long the sessions wait ahead of each step in one trial.
fn pause_lengths(way: Plain, sessions: usize, rng: &mut StdRng) -> impl FnMut(usize) -> Duration {
    let longest = PAUSES[rng.random_range(0..PAUSES.len())];
    let mut places: Vec<u64> = (1..sessions as u64).collect();
    places.shuffle(rng);
    let mut steps = vec![0; sessions];
    move |session| {
        let step = steps[session];
        steps[session] += 1;
        let in_turn = longest.min(HEAD_START / 2);
        let (least, more) = match (way, session, step) {
            (Plain::AfterTheFirst, 0, 0) => (0, 0),
            (Plain::AfterTheFirst, 0, 1) => (HEAD_START * sessions as u64, in_turn),
            (Plain::AfterTheFirst, _, 0) => (HEAD_START * places[session - 1], in_turn),
            _ => (0, longest),
        };
        Duration::from_micros(rng.random_range(least..=least + more))
    }
}

fn shown(run: &FreeRun) -> String {
    let tables = run
        .outcome
        .tables
        .iter()
        .map(|table| format!("{}: {:?}", table.name, table.rows));
    format!("{:?}; {}", run.results, tables.collect::<Vec<_>>().join("; "))
}
