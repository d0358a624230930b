//! One scenario, explored with and without reduction.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use num_bigint::BigUint;
use pgbraid::explore::{Dpor, Exhaustive, Exploration, Options, Strategy, explore};
use pgbraid::run::{RunError, Template};
use pgbraid::scenario::Scenario;
use tokio_util::sync::CancellationToken;

use super::host::Host;
use super::renamed::closure;

/// Schedules beyond which a scenario is left alone.
const MOST_SCHEDULES: u64 = 6000;

/// What came of exploring a scenario in both ways.
#[derive(Debug)]
pub struct Comparison {
    pub interleavings: BigUint,
    pub exhaustive: u64,
    pub reduced: u64,
    pub symmetric: Option<u64>,
    pub redundant: u64,
    pub outcomes: usize,
}

/// Why there is no comparison.
#[derive(Debug)]
pub enum Difference {
    /// The reduction is at fault, in words.
    Found(String),
    /// The run was not under control, for these reasons.
    Uncontrolled(Vec<String>),
    /// A session waits for what nobody will release, or there are too many schedules.
    Unfit(&'static str),
}

/// An outcome, and the violations that come with it.
type Verdicts = BTreeSet<(String, Vec<String>)>;

pub fn compare(host: &Host, name: &str, toml: &str) -> Result<Comparison, Difference> {
    let scenario = Scenario::from_toml(name, &format!("{name}.toml"), toml, Path::new("."))
        .unwrap_or_else(|error| panic!("{error:?}\n{toml}"));
    host.with_template(scenario, |template| compare_on(host, template))
        .unwrap_or_else(|error| panic!("{error:?}\n{toml}"))
}

fn compare_on(host: &Host, template: &Arc<Template>) -> Result<Comparison, Difference> {
    let scenario = template.scenario();
    let dpor = |symmetric| Dpor::new(scenario.clone(), template.footprints().clone(), symmetric);
    let mut exhaustive = Exhaustive::new();
    let full = run(template, &mut exhaustive)?;
    let mut without_symmetry = dpor(false);
    let reduced = run(template, &mut without_symmetry)?;
    same_outcomes(&verdicts(&full), &verdicts(&reduced), &orders(&full, &reduced), "reduction")?;
    if let Some(covered) = without_symmetry.covered()
        && covered != BigUint::from(full.schedules_run)
    {
        return Err(Difference::Found(format!(
            "the runs stand for {covered} schedules, but there are {} ({} were run, {} redundant)",
            full.schedules_run,
            reduced.schedules_run,
            without_symmetry.redundant()
        )));
    }
    let copies = scenario
        .sessions
        .windows(2)
        .any(|pair| pair[0].entry == pair[1].entry && pair[0].params == pair[1].params);
    let mut symmetric = None;
    if copies {
        let mut strategy = dpor(true);
        let found = run(template, &mut strategy)?;
        if found.verdict != full.verdict {
            return Err(Difference::Found(format!(
                "with symmetry the verdict is {:?}, without {:?}",
                found.verdict, full.verdict
            )));
        }
        if let Some(covered) = strategy.covered()
            && covered != BigUint::from(full.schedules_run)
        {
            return Err(Difference::Found(format!(
                "with symmetry the runs stand for {covered} schedules, but there are {} ({} were run, {} redundant)",
                full.schedules_run,
                found.schedules_run,
                strategy.redundant()
            )));
        }
        if scenario.sessions.iter().all(|session| session.retry.is_none()) {
            let renamed = closure(host, template, &found);
            let ids = full.outcomes.iter().map(|tally| tally.id.clone()).collect();
            if renamed != ids {
                return Err(Difference::Found(format!(
                    "with symmetry the outcomes are, whatever the names: {renamed:?}, without {ids:?}"
                )));
            }
        }
        symmetric = Some(found.schedules_run);
    }
    Ok(Comparison {
        interleavings: full.interleavings.clone(),
        exhaustive: full.schedules_run,
        reduced: reduced.schedules_run,
        symmetric,
        redundant: without_symmetry.redundant(),
        outcomes: full.outcomes.len(),
    })
}

fn run(template: &Arc<Template>, strategy: &mut dyn Strategy) -> Result<Exploration, Difference> {
    let options = Options {
        jobs: 1,
        max_schedules: Some(MOST_SCHEDULES),
        timeout: None,
        keep_going: true,
        step_timeout: Duration::from_secs(60),
        interrupt: CancellationToken::new(),
    };
    let exploration = match explore(template, strategy, &options, &mut |_| {}) {
        Ok(exploration) => exploration,
        Err(RunError::Stuck { .. }) => return Err(Difference::Unfit("a session waits for what nobody will release")),
        Err(error) => return Err(Difference::Uncontrolled(vec![error.to_string()])),
    };
    if exploration.schedules_run >= MOST_SCHEDULES {
        return Err(Difference::Unfit("there are too many schedules"));
    }
    if !exploration.exhaustive {
        let mut reasons = exploration.reasons;
        reasons.push(format!("under {}", strategy.name()));
        return Err(Difference::Uncontrolled(reasons));
    }
    Ok(exploration)
}

fn verdicts(exploration: &Exploration) -> Verdicts {
    let of_each = |tally: &pgbraid::explore::OutcomeTally| (tally.id.clone(), tally.violations.clone());
    exploration.outcomes.iter().map(of_each).collect()
}

/// A schedule for each outcome.
fn orders(one: &Exploration, other: &Exploration) -> BTreeMap<String, Vec<usize>> {
    let of_each = |tally: &pgbraid::explore::OutcomeTally| (tally.id.clone(), tally.order.clone());
    other.outcomes.iter().chain(&one.outcomes).map(of_each).collect()
}

fn same_outcomes(
    full: &Verdicts,
    reduced: &Verdicts,
    orders: &BTreeMap<String, Vec<usize>>,
    what: &str,
) -> Result<(), Difference> {
    if full == reduced {
        return Ok(());
    }
    let list = |missing: Vec<&(String, Vec<String>)>| {
        let each = missing.iter().map(|(id, _)| format!("{id} by the order {:?}", orders[id]));
        each.collect::<Vec<_>>().join("; ")
    };
    Err(Difference::Found(format!(
        "{what} misses [{}] and adds [{}]",
        list(full.difference(reduced).collect()),
        list(reduced.difference(full).collect())
    )))
}
