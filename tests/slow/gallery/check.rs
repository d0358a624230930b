//! Runs a scenario of the gallery and compares what comes out with what its case says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use num_bigint::BigUint;
use pgbraid::explore::{Dpor, Exhaustive, Exploration, Options, Strategy, Verdict};
use pgbraid::run::Template;
use pgbraid::scenario::Scenario;

use super::cases::CASES;
use crate::common::lab::{Lab, exhaustive, fixture};

pub struct Case {
    pub coverage: Coverage,
    /// Why its failing schedules fail, all of them; `None` where none does.
    pub cause: Option<Cause>,
}

pub enum Coverage {
    /// Every interleaving is run: this many schedules, of which this many fail.
    Every { schedules: u64, failing: u64 },
    /// There are too many: the reduction runs this many, up to the first that fails, if one does.
    Reduced { schedules: u64 },
}

pub enum Cause {
    /// The invariant of this name is not true.
    Invariant(&'static str),
    /// This SQLSTATE ends a session that does not allow it.
    Error(&'static str),
    Deadlock,
}

impl Case {
    pub fn named(name: &str) -> &'static Case {
        let (_, case) = CASES.iter().find(|(other, _)| *other == name).unwrap();
        case
    }

    /// The strategy of the case, the same at every call.
    pub fn strategy(&self, template: &Template) -> Box<dyn Strategy> {
        match self.coverage {
            Coverage::Every { .. } => Box::new(Exhaustive::new()),
            Coverage::Reduced { .. } => Box::new(reduction(template, true)),
        }
    }

    /// Options under which its exploration is complete enough.
    pub fn options(&self, jobs: usize) -> Options {
        Options {
            keep_going: matches!(self.coverage, Coverage::Every { .. }),
            ..exhaustive(jobs)
        }
    }
}

impl Cause {
    /// Whether a violation of this name is this cause.
    fn is(&self, violation: &str) -> bool {
        match self {
            Cause::Invariant(name) => violation == *name,
            Cause::Error(sqlstate) => violation.starts_with(&format!("error {sqlstate} in ")),
            Cause::Deadlock => violation == "deadlock",
        }
    }
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The scenario of a case, by the case's name.
pub fn load(name: &str) -> Arc<Scenario> {
    Arc::new(fixture(&name.replace('_', "-")))
}

pub fn reduction(template: &Template, symmetric: bool) -> Dpor {
    Dpor::new(template.scenario(), template.program().clone(), symmetric)
}

/// Schedules beyond which a scenario is proved by the tests that take minutes alone.
const MOST_SCHEDULES: u64 = 2_000;

/// Checks all of a case, or the beginning of one that takes minutes.
pub fn check(name: &str) {
    let case = Case::named(name);
    match case.coverage {
        Coverage::Reduced { schedules } if schedules > MOST_SCHEDULES => check_beginning(name, schedules / 10),
        _ => check_whole(name),
    }
}

fn check_beginning(name: &str, schedules: u64) {
    let (case, lab) = (Case::named(name), Lab::new());
    let template = lab.prepare(&load(name));
    let options = Options {
        max_schedules: Some(schedules),
        ..case.options(2)
    };
    let exploration = lab.explore_template(&template, case.strategy(&template).as_mut(), &options);
    assert_eq!(exploration.verdict, Verdict::Inconclusive);
    assert_eq!((exploration.schedules_run, exploration.exhaustive), (schedules, false));
    check_failures(case, &exploration);
}

#[test]
#[ignore = "takes minutes: cargo test --release --test slow -- --ignored proved_as_a_whole"]
fn what_takes_minutes_is_proved_as_a_whole() {
    for (name, case) in CASES {
        if matches!(case.coverage, Coverage::Reduced { schedules } if schedules > MOST_SCHEDULES) {
            check_whole(name);
        }
    }
}

fn check_whole(name: &str) {
    let case = Case::named(name);
    let lab = Lab::new();
    let template = lab.prepare(&load(name));
    let exploration = lab.explore_template(&template, case.strategy(&template).as_mut(), &case.options(2));
    let verdict = match case.cause {
        Some(_) => Verdict::Fails,
        None => Verdict::Holds,
    };
    assert_eq!(exploration.verdict, verdict, "{:?}", exploration.reasons);
    assert_eq!(exploration.reasons, []);
    check_failures(case, &exploration);
    match case.coverage {
        Coverage::Every { schedules, failing } => {
            assert!(exploration.exhaustive);
            assert_eq!((exploration.schedules_run, exploration.failures), (schedules, failing));
            check_reduction(&lab, &template, &exploration);
        }
        Coverage::Reduced { schedules } => {
            assert_eq!(exploration.exhaustive, case.cause.is_none());
            assert_eq!(exploration.schedules_run, schedules);
        }
    }
}

/// The reduction finds the same outcomes, and its runs stand for the schedules that there are.
fn check_reduction(lab: &Lab, template: &Arc<Template>, full: &Exploration) {
    let reduced = lab.explore_template(template, &mut reduction(template, false), &exhaustive(1));
    let outcomes = |exploration: &Exploration| -> BTreeSet<(String, Vec<String>)> {
        let outcomes = exploration.outcomes.iter();
        outcomes
            .map(|tally| (tally.id.clone(), tally.violations.clone()))
            .collect()
    };
    assert_eq!(outcomes(&reduced), outcomes(full));
    if let Some(covered) = &reduced.coverage.schedules {
        assert_eq!(*covered, BigUint::from(full.schedules_run));
    }
}

fn check_failures(case: &Case, exploration: &Exploration) {
    let violations: Vec<&String> = exploration
        .outcomes
        .iter()
        .flat_map(|tally| &tally.violations)
        .collect();
    match &case.cause {
        None => assert_eq!(violations, Vec::<&String>::new()),
        Some(cause) => {
            assert!(exploration.failure.is_some());
            let others: Vec<_> = violations.iter().filter(|violation| !cause.is(violation)).collect();
            assert!(others.is_empty(), "for another cause: {others:?}");
            assert!(!violations.is_empty());
        }
    }
}

#[test]
fn every_scenario_has_a_case() {
    let files: BTreeSet<String> = std::fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let cases: BTreeSet<String> = CASES.iter().map(|(name, _)| name.replace('_', "-")).collect();
    assert_eq!(files, cases);
}

/// Each scenario file says in its head what is expected of it.
#[test]
fn the_files_say_what_the_cases_say() {
    for (name, case) in CASES {
        let file = fixtures().join(format!("{}.toml", name.replace('_', "-")));
        let text = std::fs::read_to_string(file).unwrap();
        let comment: String = text.lines().take_while(|line| line.starts_with('#')).collect();
        let expected = match case.cause {
            Some(_) => "fails",
            None => "holds",
        };
        assert!(
            comment.contains("Expected: ") && comment.contains(expected),
            "{name}: {comment}"
        );
    }
}
