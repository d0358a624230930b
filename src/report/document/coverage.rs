//! What the schedules run stand for, and what happened in them.

use num_bigint::BigUint;

use crate::explore::{Coverage, Exploration, Tally, Verdict};
use crate::report::text::layout::grouped;

const GRANULARITY: &str = "an interleaving is an order of the sessions' statements and commits; what the server does within \
                           one statement (functions, triggers) is not interleaved with others, except where it waits \
                           for a lock";

/// What was covered and what that means.
pub(super) fn proof(exploration: &Exploration) -> Vec<String> {
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
    const FEWER: &str = "a blocked session cannot be scheduled, so several interleavings are one schedule";
    notes.extend(match schedules {
        Some(covered) => {
            let fewer = exploration.verdict == Verdict::Holds
                && exploration.interleavings.as_ref().is_some_and(|all| covered < all);
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
            "a session that waits for a row does the same as one that arrives when the row is free: schedules with such \
             waits were not run, and not counted"
                .to_owned(),
        ),
        None => Some(format!("{them} for more than can be counted")),
    });
    if *redundant > 0 {
        notes.push(format!(
            "{} of the {} run turned out to be equivalent to an earlier one",
            grouped(&redundant.to_string()),
            grouped(&run.to_string())
        ));
    }
    let happened = [
        (blocked, "a session was blocked"),
        (deadlocks, "PostgreSQL broke a deadlock"),
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
            "{} run twice, to check that nothing but the schedule decides",
            match checked_twice {
                1 => "one was".to_owned(),
                several => format!("{} were", grouped(&several.to_string())),
            }
        ));
    }
    notes.push(GRANULARITY.to_owned());
    notes
}
