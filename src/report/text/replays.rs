//! A replay, as a test run prints it: one line for each schedule, and the failing ones in full at the end.

use crate::replay::{Judgement, Replay};
use crate::report::document::{ReplayedSchedule, Replays, Status};
use crate::report::text::layout::{TextOptions, Tone, counted, joined, paint, visible, wrap};
use crate::report::text::summary::duration;
use crate::report::text::timeline::timeline;
use crate::report::text::violations::violations;
use crate::schedule::{Departure, DepartureKind};

/// One line for each file: whether it passed, how long it took, and what did not happen as expected; below it, where
/// the run left the pinned order. Why a file could not be run is not printed here. The last line has no line break.
pub(super) fn lines(replayed: &[ReplayedSchedule], options: &TextOptions) -> String {
    let line = |one: &ReplayedSchedule| {
        let (word, tone) = match one.status {
            Status::Passed => ("PASS", Tone::Good),
            Status::Failed => ("FAIL", Tone::Bad),
            Status::Inconclusive => ("?", Tone::Blocked),
            Status::Error => ("ERROR", Tone::Bad),
        };
        let padded = format!("{word:>7}");
        let seconds = one.elapsed().as_secs_f64();
        let path = visible(&one.path.display().to_string());
        let text = format!(
            "{padded} [{seconds:>8.3}s] {path}{}",
            // an error is shown with its place, by itself
            headline(one)
                .filter(|_| one.result.is_ok())
                .map_or_else(String::new, |text| format!(": {text}"))
        );
        let mut lines = hanging(&text, options);
        if let Some(first) = lines.first_mut() {
            *first = first.replacen(word, &paint(word, tone, options.colour), 1);
        }
        if let Ok(replay) = &one.result {
            for departure in &replay.departures {
                lines.extend(hanging(&format!("{HANG}{}", left_order(departure, replay)), options));
            }
        }
        lines.join("\n")
    };
    replayed.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The indentation of what is printed below a file's line.
const HANG: &str = "                    ";

fn hanging(text: &str, options: &TextOptions) -> Vec<String> {
    let indent = &text[..text.len() - text.trim_start().len()];
    let mut lines = wrap(text.trim_start(), options.width.saturating_sub(indent.len()), |_| false).into_iter();
    let first = lines.next().map(|line| format!("{indent}{line}"));
    let rest: Vec<String> = lines.map(|line| line.trim_start().to_owned()).collect();
    let rest = match rest.as_slice() {
        [] => Vec::new(),
        rest => wrap(&rest.join(" "), options.width.saturating_sub(HANG.len()), |_| false),
    };
    let set_in = rest.iter().map(|line| format!("{HANG}{}", line.trim_start()));
    first.into_iter().chain(set_in).collect()
}

/// What there is to say about a file; `None` if it passed.
pub(in crate::report) fn headline(replayed: &ReplayedSchedule) -> Option<String> {
    let replay = match &replayed.result {
        Ok(replay) => replay,
        Err(error) => return Some(visible(&error.message)),
    };
    let names = |names: &[String]| joined(&names.iter().map(|name| visible(name)).collect::<Vec<_>>());
    let violated = || -> Vec<String> { replay.run.violations.iter().map(|violation| violation.name()).collect() };
    let said = match &replay.judgement {
        Judgement::Met => return None,
        Judgement::Holds => "holds, but is pinned to fail: if it is fixed, --update makes it expect that".to_owned(),
        Judgement::Fails => format!("expected to hold, but fails: {}", names(&violated())),
        Judgement::FailsOtherwise { violates } => format!(
            "fails in another way: {}, but is pinned for {}",
            names(violates),
            names(&replay.file.pinned.violates)
        ),
        Judgement::LeftOrder if violated().is_empty() => "is strict, but left its order; it holds".to_owned(),
        Judgement::LeftOrder => format!("is strict, but left its order; it fails: {}", names(&violated())),
        Judgement::Differs { run, difference } => {
            format!(
                "did not do the same each time: in run {run}, {}",
                visible(&difference.to_string())
            )
        }
        Judgement::NotControlled(reasons) => {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            format!("holds, but not everything was under control: {}", names(&reasons))
        }
    };
    Some(match replayed.updated {
        true => format!("updated: {}", updated(replay, &names(&replay.run.violated()))),
        false => said,
    })
}

/// What was changed in the file; `violates` are the names of what it violates, in words.
fn updated(replay: &Replay, violates: &str) -> String {
    match (&replay.judgement, replay.run.violations.is_empty()) {
        (Judgement::FailsOtherwise { .. }, _) => format!("`violates` is now {violates}"),
        (_, true) => "it is now expected to hold".to_owned(),
        (_, false) => format!("it is now expected to fail: {violates}"),
    }
}

/// Where a run left the order, in words.
fn left_order(departure: &Departure, replay: &Replay) -> String {
    let order = &replay.file.pinned.order.entries;
    let history = &replay.run.history;
    let name = |session: usize| {
        history
            .sessions
            .get(session)
            .map(|name| visible(name))
            .unwrap_or_default()
    };
    let session = name(departure.session);
    let entry = order
        .get(departure.entry)
        .map(|entry| visible(&entry.to_string()))
        .unwrap_or_default();
    let why = match &departure.kind {
        DepartureKind::Blocked { in_turn } => {
            let turn = history.turns.get(*in_turn);
            let step = turn.map(|turn| visible(&turn.step)).unwrap_or_default();
            let blockers = turn.map(|turn| turn.waits.as_slice()).unwrap_or_default();
            let blockers: Vec<String> = match blockers.first() {
                Some(wait) => wait.blocked_by.iter().map(|&session| name(session)).collect(),
                None => Vec::new(),
            };
            let whom = if blockers.is_empty() {
                String::new()
            } else {
                format!(" for {}", joined(&blockers))
            };
            format!("{session} waited in step {step}{whom}, and its turn passed")
        }
        DepartureKind::NotBlocked => format!("{session} was not blocked"),
        DepartureKind::Ended => format!("{session} had ended"),
        DepartureKind::NotReached { step } => format!("{session} ended without step {}", visible(step)),
    };
    format!("left the order at entry {} ({entry}): {why}", departure.entry + 1)
}

/// The schedules that did not pass, each with its timeline and the command that runs it again. Empty if all passed.
pub(super) fn details(replayed: &[ReplayedSchedule], options: &TextOptions) -> String {
    let detail = |one: &ReplayedSchedule| {
        let replay = one.result.as_ref().ok()?;
        if one.status == Status::Passed {
            return None;
        }
        let path = visible(&one.path.display().to_string());
        let mut parts = vec![paint(&format!("── {path}"), Tone::Head, options.colour)];
        parts.push(in_full(replay, options));
        parts.push(format!("run it again: {}", one.again));
        Some(parts.join("\n\n"))
    };
    replayed.iter().filter_map(detail).collect::<Vec<_>>().join("\n\n")
}

/// What it did.
pub(in crate::report) fn in_full(replay: &Replay, options: &TextOptions) -> String {
    let run = &replay.run;
    let mut parts = vec![timeline(&run.history, options)];
    if !run.violations.is_empty() {
        parts.push(violations(&run.violations, &run.outcome.tables, &run.history, options));
    }
    parts.join("\n\n")
}

/// How many passed, and how long all took.
pub(super) fn summary(replays: &Replays, options: &TextOptions) -> String {
    let count = |status| replays.count(status);
    let updated = replays.schedules.iter().filter(|one| one.updated).count();
    let mut parts = vec![format!("{} passed", count(Status::Passed))];
    for (count, what) in [
        (count(Status::Failed), "failed"),
        (count(Status::Inconclusive), "inconclusive"),
        (count(Status::Error), "could not be run"),
        (updated, "updated"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let total = counted(replays.schedules.len() as u64, "schedule");
    let text = format!("{total} in {}: {}", duration(replays.elapsed), parts.join(", "));
    let tone = match replays.all_passed() {
        true => Tone::Good,
        false => Tone::Bad,
    };
    paint(&text, tone, options.colour)
}
