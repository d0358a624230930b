//! Histories as lines of text.

use pgbraid::history::{StepResult, Turn};
use pgbraid::run::Run;

/// One line a turn: session and step, result, waits.
///
/// `b.update: UPDATE 1 (a 1-2, c 2-3)` waited for `a` from turn 1 to turn 2, then for `c` to turn 3, and finished in
/// turn 3.
pub fn transcript(run: &Run) -> Vec<String> {
    let turns = &run.history.turns;
    turns
        .iter()
        .enumerate()
        .map(|(index, turn)| {
            let session = &run.history.sessions[turn.session];
            let attempt = match turn.attempt {
                0 => String::new(),
                attempt => format!(" again {attempt}"),
            };
            format!(
                "{session}.{}{attempt}: {}{}",
                turn.step,
                result(&turn.result),
                waits(run, index, turn)
            )
        })
        .collect()
}

fn waits(run: &Run, index: usize, turn: &Turn) -> String {
    let waits: Vec<String> = turn
        .waits
        .iter()
        .map(|wait| {
            let names: Vec<&str> = wait
                .blocked_by
                .iter()
                .map(|&session| run.history.sessions[session].as_str())
                .collect();
            format!("{} {}-{}", names.join("+"), wait.from, wait.until)
        })
        .collect();
    let end = turn.waits.last().map_or(index, |wait| wait.until);
    let late = match turn.finished_in == end {
        true => String::new(),
        false => format!(" finished in {}", turn.finished_in),
    };
    match waits.is_empty() {
        true => late,
        false => format!(" ({}){late}", waits.join(", ")),
    }
}

fn result(result: &StepResult) -> String {
    match result {
        StepResult::Rows { rows, tag, .. } => {
            let rows: Vec<String> = rows
                .iter()
                .map(|row| {
                    let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
                    values.join(",")
                })
                .collect();
            format!("{tag} [{}]", rows.join(" | "))
        }
        StepResult::Done { tag } => tag.clone(),
        StepResult::Error(error) => format!("error {}", error.sqlstate),
    }
}

/// The rows that a step of a session returned, at its last attempt.
pub fn results(run: &Run, session: &str, step: &str) -> Vec<Vec<Option<String>>> {
    let turn = run
        .history
        .turns
        .iter()
        .rev()
        .find(|turn| run.history.sessions[turn.session] == session && turn.step == step);
    match turn.map(|turn| &turn.result) {
        Some(StepResult::Rows { rows, .. }) => rows.clone(),
        other => panic!("{session}.{step}: {other:?}"),
    }
}
