//! One scenario, explored with and without reduction.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use num_bigint::BigUint;
use pgbraid::explore::{Dpor, Exhaustive, Strategy};
use pgbraid::run::{Run, RunError, Template, Workbench};
use pgbraid::scenario::Scenario;

use super::host::Host;
use super::renamed::closure;

/// Schedules beyond which a scenario is left alone.
const MOST_SCHEDULES: u64 = 6000;

/// What came of exploring a scenario in both ways: how many schedules were run each way, and what they led to.
#[derive(Debug)]
pub struct Comparison {
    pub exhaustive: u64,
    pub reduced: u64,
    /// Where there are copies.
    pub symmetric: Option<u64>,
    pub redundant: u64,
    pub outcomes: usize,
}

/// Why there is no comparison.
#[derive(Debug)]
pub enum Difference {
    /// The reduction is at fault, in words.
    Found(String),
    /// The run was not under control, in words.
    Uncontrolled(String),
    /// The server does not take the scenario, a session waits for what nobody will release, or there are too many
    /// schedules.
    Unfit(String),
}

/// An outcome's id, and the violations that come with it.
pub type Verdict = (String, Vec<String>);

/// What a strategy's schedules led to.
#[derive(Default)]
pub struct Found {
    /// A run for each.
    pub outcomes: BTreeMap<Verdict, Run>,
    schedules: u64,
}

pub fn compare(host: &Host, name: &str, toml: &str) -> Result<Comparison, Difference> {
    let scenario = Scenario::from_toml(name, &format!("{name}.toml"), toml, Path::new("."))
        .unwrap_or_else(|error| panic!("{error:?}\n{toml}"));
    match host.with_template(scenario, |template| compare_on(host, template)) {
        Ok(comparison) => comparison,
        Err(RunError::Scenario(error)) => Err(Difference::Unfit(error.to_string())),
        Err(error) => panic!("{error:?}\n{toml}"),
    }
}

fn compare_on(host: &Host, template: &Arc<Template>) -> Result<Comparison, Difference> {
    let scenario = template.scenario();
    let mut workbench = host
        .runtime
        .block_on(Workbench::open(template.clone(), Duration::from_secs(60)))
        .unwrap();
    let mut explore = |strategy: &mut dyn Strategy| explore(host, &mut workbench, strategy);
    let full = explore(&mut Exhaustive::new())?;
    let mut dpor = Dpor::new(scenario, template.program().clone(), false);
    let reduced = explore(&mut dpor)?;
    same_outcomes(&full, &reduced)?;
    adds_up(&dpor, &reduced, &full)?;
    if full
        .outcomes
        .values()
        .all(|run| run.history.ends.iter().all(|end| end.error.is_some()))
    {
        return Err(Difference::Unfit("every session fails in every order".to_owned()));
    }
    let alike = |one: usize, other: usize| {
        let (one, other) = (&scenario.sessions[one], &scenario.sessions[other]);
        one.entry == other.entry && one.params == other.params
    };
    let mut symmetric = None;
    if (1..scenario.sessions.len()).any(|session| alike(session - 1, session)) {
        let mut dpor = Dpor::new(scenario, template.program().clone(), true);
        let found = explore(&mut dpor)?;
        adds_up(&dpor, &found, &full)?;
        same_verdict(&full, &found)?;
        if scenario.sessions.iter().all(|session| session.retry.is_none()) {
            let ids = full.outcomes.keys().map(|(id, _)| id.clone()).collect();
            let renamed = closure(scenario, &found, alike);
            if renamed != ids {
                return Err(Difference::Found(format!(
                    "with symmetry the outcomes are, whatever the names, {renamed:?}, and not {ids:?}"
                )));
            }
        }
        symmetric = Some(found.schedules);
    }
    Ok(Comparison {
        exhaustive: full.schedules,
        reduced: reduced.schedules,
        symmetric,
        redundant: dpor.coverage().redundant,
        outcomes: full.outcomes.len(),
    })
}

/// Runs all of a strategy's schedules, one by one.
pub fn explore(host: &Host, workbench: &mut Workbench, strategy: &mut dyn Strategy) -> Result<Found, Difference> {
    let mut found = Found::default();
    while let Some(mut job) = strategy.next() {
        let run = match host.runtime.block_on(workbench.run(job.scheduler.as_mut())) {
            Ok(run) => run,
            Err(error @ RunError::Stuck { .. }) => return Err(Difference::Unfit(error.to_string())),
            Err(RunError::SeveralRows { .. }) => {
                return Err(Difference::Unfit("a variable has no single value".to_owned()));
            }
            Err(error) => return Err(Difference::Uncontrolled(error.to_string())),
        };
        let difference = strategy.observe(&job.key, &run);
        if let Some(what) = difference.or_else(|| run.uncontrolled.first().cloned()) {
            let text = format!("{what} ({}, order {:?})", strategy.coverage().strategy, run.order());
            return Err(Difference::Uncontrolled(text));
        }
        found.schedules += 1;
        if found.schedules > MOST_SCHEDULES {
            return Err(Difference::Unfit("there are too many schedules".to_owned()));
        }
        let violations = run.violations.iter().map(|violation| violation.name()).collect();
        found
            .outcomes
            .entry((run.outcome.id.clone(), violations))
            .or_insert(run);
    }
    Ok(found)
}

fn same_outcomes(full: &Found, reduced: &Found) -> Result<(), Difference> {
    let only_in = |one: &Found, other: &Found| {
        let missing = one
            .outcomes
            .iter()
            .filter(|(verdict, _)| !other.outcomes.contains_key(*verdict));
        let by_order = missing.map(|((id, _), run)| format!("{id} by the order {:?}", run.order()));
        by_order.collect::<Vec<_>>().join("; ")
    };
    let (missing, added) = (only_in(full, reduced), only_in(reduced, full));
    match missing.is_empty() && added.is_empty() {
        true => Ok(()),
        false => Err(Difference::Found(format!(
            "outcomes that the reduction misses: [{missing}], and that it adds: [{added}]"
        ))),
    }
}

fn same_verdict(full: &Found, symmetric: &Found) -> Result<(), Difference> {
    let fails = |found: &Found| found.outcomes.keys().any(|(_, violations)| !violations.is_empty());
    match fails(full) == fails(symmetric) {
        true => Ok(()),
        false => Err(Difference::Found("with symmetry the verdict is another".to_owned())),
    }
}

/// The certificate: the schedules that the runs stand for are all that there are.
fn adds_up(dpor: &Dpor, reduced: &Found, full: &Found) -> Result<(), Difference> {
    match dpor.coverage().schedules {
        Some(covered) if covered != BigUint::from(full.schedules) => Err(Difference::Found(format!(
            "{} runs ({} of them redundant) stand for {covered} schedules, but there are {}",
            reduced.schedules,
            dpor.coverage().redundant,
            full.schedules
        ))),
        _ => Ok(()),
    }
}
