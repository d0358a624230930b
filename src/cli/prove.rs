//! `pgbraid prove`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use num_bigint::BigUint;
use pgbraid::explore::{Coverage, Exploration, Tally, Verdict};
use pgbraid::report::text::grouped;

use super::exit::Failure;
use super::limits::Limits;
use super::report::report;
use super::{Common, EXIT_CODES};

/// Cover every interleaving, or say what is missing
///
/// Runs one schedule of each class of schedules that cannot lead to different outcomes, and some of them twice to see
/// that nothing but the schedule decides. Holds when none fails.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Prove {
    /// Scenario: a TOML file, or a specification of isolationtester (.spec)
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
        let explored = self
            .limits
            .explore(&self.scenario, &self.common, true, self.limits.dpor())?;
        let notes = notes(&explored.findings.exploration);
        report(explored, &notes, &self.common)
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
    let Coverage {
        schedules,
        leaves_out_waits,
        redundant,
        ..
    } = &exploration.coverage;
    let mut notes = Vec::new();
    let run = exploration.schedules_run;
    let them = match run {
        1 => "the schedule run stands".to_owned(),
        run => format!("the {} run stand", grouped(&run.to_string())),
    };
    const FEWER: &str = "a blocked session cannot go on, so several interleavings are one schedule";
    notes.extend(match schedules {
        Some(covered) => {
            let fewer = exploration.verdict == Verdict::Holds && *covered < exploration.interleavings;
            if *covered == BigUint::from(run) {
                fewer.then(|| FEWER.to_owned())
            } else {
                let why = if fewer { format!(" ({FEWER})") } else { String::new() };
                let plural = if *covered == BigUint::from(1u32) { "" } else { "s" };
                Some(format!(
                    "{them} for {} schedule{plural}{why}",
                    grouped(&covered.to_string())
                ))
            }
        }
        None if *leaves_out_waits => Some(
            "a session that waits for a row does the same as one that comes when the row is free: schedules with such \
             waits were not run, and not counted"
                .to_owned(),
        ),
        None => Some(format!("{them} for more than can be counted")),
    });
    if *redundant > 0 {
        notes.push(format!(
            "{} of the {} run turned out to be like an earlier one",
            grouped(&redundant.to_string()),
            grouped(&run.to_string())
        ));
    }
    let happened = [
        (blocked, "a session was blocked"),
        (deadlocks, "Postgres broke a deadlock"),
        (allowed_errors, "an allowed error ended a session"),
        (retries, "a transaction was retried"),
    ];
    let happened: Vec<String> = happened
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("in {} {what}", grouped(&count.to_string())))
        .collect();
    if !happened.is_empty() {
        notes.push(happened.join(", "));
    }
    if checked_twice > 0 {
        notes.push(format!(
            "{} run twice, to see that nothing but the schedule decides",
            match checked_twice {
                1 => "one was".to_owned(),
                several => format!("{} were", grouped(&several.to_string())),
            }
        ));
    }
    notes.push(GRANULARITY.to_owned());
    notes
}
