//! The result of making a failing schedule small.

use crate::report::document::{Files, Shrink};
use crate::report::text::layout::{TextOptions, counted, joined, visible, wrap};
use crate::shrink::Confirmed;

/// The schedule as a person would write it, how it was found, and the part of the scenario that is enough for it; one
/// line each, or wrapped. The last line has no line break.
pub(super) fn shrunk(shrunk: &Shrink, options: &TextOptions) -> String {
    let mut lines = vec![format!("Smallest schedule: {}", visible(&shrunk.schedule.to_string()))];
    let Confirmed { fails, of } = shrunk.confirmed;
    lines.push(format!("  fails {fails} of {of} times"));
    lines.push(format!("  {}", race(shrunk)));
    let known = match shrunk.known {
        0 => String::new(),
        known => format!(" ({known} more had been run before)"),
    };
    lines.push(format!(
        "  reduced from a schedule of {} in {}{known}",
        counted(shrunk.found_turns as u64, "step"),
        counted(shrunk.runs, "run")
    ));
    if !shrunk.is_minimal {
        lines.push(
            "  it may not be the smallest: there are too many orders with fewer switches to run all of them".to_owned(),
        );
    }
    if let Some(smallest) = &shrunk.smallest_scenario {
        let steps = smallest
            .dropped_steps
            .iter()
            .map(|(session, step)| format!("{}.{}", visible(session), visible(step)));
        let mut without: Vec<String> = steps.collect();
        match smallest.dropped_sessions.as_slice() {
            [] => {}
            [name] => without.push(format!("session {}", visible(name))),
            names => without.push(format!(
                "sessions {}",
                spans(&names.iter().map(|name| visible(name)).collect::<Vec<_>>())
            )),
        }
        lines.push(format!(
            "Smallest scenario: without {} it still fails, by {}",
            joined(&without),
            visible(&smallest.schedule.to_string())
        ));
    }
    let wrapped = |line: &String| {
        let indent = line.len() - line.trim_start().len();
        wrap(line.trim_start(), options.width.saturating_sub(indent), |_| false)
            .into_iter()
            .map(move |part| format!("{}{part}", " ".repeat(indent)))
            .collect::<Vec<_>>()
    };
    lines.iter().flat_map(wrapped).collect::<Vec<_>>().join("\n")
}

fn race(shrunk: &Shrink) -> String {
    let racing: Vec<String> = shrunk.racing.iter().map(|name| visible(name)).collect();
    match (racing.len(), shrunk.others) {
        (0, _) => {
            "this is not a race: it fails even if the sessions run one after another; check the steps, the invariants, \
                   and what is allowed (`allow_errors`, `allow_exit`)"
                .to_owned()
        }
        (_, 0) => format!("{} race", joined(&racing)),
        (_, 1) => format!("{} race, the other session runs by itself", joined(&racing)),
        (_, others) => format!("{} race, the {others} others run by themselves", joined(&racing)),
    }
}

/// What was written, one line for each file.
pub(super) fn files(files: &Files) -> impl Iterator<Item = String> + use<> {
    let pinned = files.pinned.as_ref().map(|pinned| {
        let path = visible(&pinned.path.display().to_string());
        format!("pinned as {path}; run it with: {}", pinned.replay)
    });
    let scenario = files
        .scenario
        .as_ref()
        .map(|path| format!("the smallest scenario is {}", visible(&path.display().to_string())));
    pinned.into_iter().chain(scenario)
}

/// Copies with consecutive numbers.
struct Span<'a> {
    first: &'a str,
    last: &'a str,
    /// The last one's name without its number, and its number.
    copy: Option<(&'a str, u32)>,
}

/// Names of sessions, as shown; copies with consecutive numbers as a span.
pub(crate) fn spans(names: &[String]) -> String {
    let mut spans: Vec<Span<'_>> = Vec::new();
    for name in names {
        let copy = name
            .rsplit_once('-')
            .and_then(|(stem, number)| Some((stem, number.parse::<u32>().ok()?)));
        match (spans.last_mut(), copy) {
            (Some(span), Some((stem, number))) if span.copy == Some((stem, number.wrapping_sub(1))) => {
                span.last = name;
                span.copy = copy;
            }
            _ => spans.push(Span {
                first: name,
                last: name,
                copy,
            }),
        }
    }
    let words: Vec<String> = spans
        .into_iter()
        .map(|span| match span.first == span.last {
            true => span.first.to_owned(),
            false => format!("{} to {}", span.first, span.last),
        })
        .collect();
    joined(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_copies_are_named_together() {
        let said = |names: &[&str]| spans(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(
            said(&["worker-3", "worker-4", "worker-5", "clerk"]),
            "worker-3 to worker-5 and clerk"
        );
        assert_eq!(said(&["a-1", "a-3", "b-4"]), "a-1, a-3 and b-4");
        assert_eq!(said(&["a-9", "a-10"]), "a-9 to a-10");
    }
}
