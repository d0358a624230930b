//! `pgbraid prove`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pgbraid::explore::{Dpor, Exploration, Tally, Verdict};
use pgbraid::run::Template;

use super::Common;
use super::exit::Failure;
use super::limits::Limits;
use super::report::report;

/// Cover every interleaving, or say what is missing
///
/// Runs one schedule of each class of schedules that cannot lead to different outcomes, and some of them twice to see
/// that nothing but the schedule decides. Holds when none fails.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Prove {
    /// Scenario file (TOML)
    scenario: PathBuf,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  pgbraid prove fixtures/counter-atomic.toml
      prove that the fix of the lost update leaves no failing interleaving
  pgbraid prove fixtures/list-refresh-parent-lock-3.toml --check-determinism
      run every schedule twice
  pgbraid prove fixtures/last-items-for-update.toml --timeout 60 --format json
      stop after a minute, with exit code 4 if not everything is covered by then";

const GRANULARITY: &str = "an interleaving is an order of the sessions' statements and commits; what the server does within \
                           one statement (functions, triggers) is not interleaved with others, except where it waits \
                           for a lock";

impl Prove {
    pub fn run(self) -> Result<ExitCode, Failure> {
        let symmetric = !self.limits.no_symmetry;
        let strategy = |template: &Template| -> Box<dyn pgbraid::explore::Strategy> {
            Box::new(Dpor::new(
                template.scenario().clone(),
                template.footprints().clone(),
                symmetric,
            ))
        };
        let explored = self
            .limits
            .explore(&self.scenario, &self.common, true, |_| None, strategy)?;
        report(&explored, &notes(&explored.exploration), &self.common)
    }
}

/// What was covered and what that means.
fn notes(exploration: &Exploration) -> Vec<String> {
    let Tally {
        blocked,
        deadlocks,
        allowed_errors,
        retries,
        checked_twice,
    } = exploration.tally;
    let mut notes = Vec::new();
    let run = exploration.schedules_run;
    notes.push(match &exploration.covered {
        Some(covered) if exploration.verdict == Verdict::Holds => format!(
            "the {run} run stand for {covered} schedules, which are all that can occur: a blocked session cannot go on, so \
             several interleavings run as one schedule; `explore --strategy exhaustive` counts them one by one"
        ),
        Some(covered) => format!("the {run} run stand for {covered} schedules"),
        None if exploration.leaves_out_waits => "schedules in which a session begins to wait for a row before the row is free, to \
                 do then what it would do if it came then, are like those run; how many there are was not counted"
            .to_owned(),
        None => "the schedules that those run stand for are too many to be counted".to_owned(),
    });
    if exploration.redundant > 0 {
        notes.push(format!(
            "{} of the {run} run turned out to be like an earlier one",
            exploration.redundant
        ));
    }
    notes.push(format!(
        "in {blocked} of the {run} a session was blocked, in {deadlocks} Postgres broke a deadlock, in {allowed_errors} an \
         allowed error ended a session, in {retries} a transaction was retried"
    ));
    notes.push(format!(
        "{checked_twice} of the {run} were run twice, to see that nothing but the schedule decides"
    ));
    notes.push(GRANULARITY.to_owned());
    notes
}
