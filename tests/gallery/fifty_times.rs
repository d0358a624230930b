//! The same scenario again and again gives the same.

use pgbraid::explore::{Exploration, Options, Verdict};

use crate::cases::CASES;
use crate::check::{Case, load};
use crate::common::lab::{Lab, exhaustive};
use pgbraid::run::history::History;

const TIMES: usize = 50;

/// Everything of an exploration that must not change.
#[derive(Debug, PartialEq)]
struct Findings {
    verdict: Verdict,
    reasons: Vec<String>,
    schedules_run: u64,
    failures: u64,
    /// Id, schedules, violations and an example's order, in the order in which they were reached.
    outcomes: Vec<(String, u64, Vec<String>, Vec<usize>)>,
    failure: Option<History>,
}

impl Findings {
    fn of(exploration: Exploration) -> Findings {
        let outcomes = exploration.outcomes.into_iter();
        Findings {
            verdict: exploration.verdict,
            reasons: exploration.reasons,
            schedules_run: exploration.schedules_run,
            failures: exploration.failures,
            outcomes: outcomes
                .map(|tally| (tally.id, tally.schedules, tally.violations, tally.order))
                .collect(),
            failure: exploration.failure.map(|run| run.history),
        }
    }
}

/// Alternates between one and two jobs, and starts from a new setup each time.
fn findings(name: &str, repetition: usize) -> Findings {
    let scenario = load(name);
    let options = Options {
        keep_going: true,
        ..exhaustive(1 + repetition % 2)
    };
    let mut strategy = Case::named(name).strategy(&scenario);
    Findings::of(Lab::new().explore(&scenario, strategy.as_mut(), &options))
}

#[test]
#[ignore = "takes minutes: cargo test --release --test gallery -- --ignored fifty_times"]
fn fifty_times() {
    let mut different = Vec::new();
    for (name, _) in CASES {
        let first = findings(name, 0);
        let differing: Vec<usize> = (1..TIMES)
            .filter(|&repetition| {
                let again = findings(name, repetition);
                if again != first {
                    eprintln!("{name}, repetition {repetition}:\n{again:#?}\nbut first:\n{first:#?}");
                }
                again != first
            })
            .collect();
        eprintln!("{name}: {} of {} differ", differing.len(), TIMES - 1);
        if !differing.is_empty() {
            different.push(*name);
        }
    }
    assert_eq!(different, Vec::<&str>::new());
}
