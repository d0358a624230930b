//! The table of docs/reduction.md.

use std::sync::Arc;

use pgbraid::explore::{Exploration, Options, Strategy, interleavings};
use pgbraid::run::Template;

use super::cases::CASES;
use super::check::{Coverage, load, reduction};
use crate::common::lab::{Lab, exhaustive};

/// Schedules beyond which a scenario's outcomes are not counted.
const MOST_SCHEDULES: u64 = 2_000;

#[test]
#[ignore = "prints a table: cargo test --release --test slow -- --ignored gallery::table --nocapture"]
fn table() {
    println!("| scenario | interleavings | schedules | run | outcomes | run ÷ outcomes |");
    println!("|---|--:|--:|--:|--:|--:|");
    let lab = Lab::new();
    for (name, case) in CASES {
        let template = lab.prepare(&load(name));
        let reduced = all_outcomes(&lab, &template, &mut reduction(&template, true));
        let outcomes = reduced.outcomes.len();
        let schedules = match case.coverage {
            Coverage::Every { schedules, .. } => schedules.to_string(),
            Coverage::Reduced { .. } => "–".to_owned(),
        };
        let ratio = reduced.schedules_run as f64 / outcomes as f64;
        let more = if reduced.exhaustive { "" } else { "more than " };
        println!(
            "| {} | {} | {schedules} | {more}{} | {more}{outcomes} | {ratio:.1} |",
            name.replace('_', "-"),
            interleavings(template.scenario()),
            reduced.schedules_run,
        );
    }
}

fn all_outcomes(lab: &Lab, template: &Arc<Template>, strategy: &mut dyn Strategy) -> Exploration {
    let options = Options {
        max_schedules: Some(MOST_SCHEDULES),
        ..exhaustive(1)
    };
    lab.explore_template(template, strategy, &options)
}
