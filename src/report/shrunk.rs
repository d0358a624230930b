//! What making a failing schedule small came to.

use crate::report::text::{TextOptions, counted, joined, visible, wrap};
use crate::scenario::Scenario;
use crate::shrink::{Confirmed, Shrunk};

/// The schedule as one would write it by hand, how it was found, and what of the scenario is enough for it; a line each,
/// or wrapped. `found_turns` is the length of the schedule that was made small. The last line has no line break.
pub fn shrunk(shrunk: &Shrunk, scenario: &Scenario, found_turns: usize, options: &TextOptions) -> String {
    let mut lines = vec![format!(
        "Smallest schedule: {}",
        visible(&shrunk.smallest.schedule.to_string())
    )];
    let Confirmed { fails, of } = shrunk.smallest.confirmed;
    lines.push(format!("  fails {fails} of {of} times"));
    lines.push(format!("  {}", race(shrunk, scenario)));
    let known = match shrunk.known {
        0 => String::new(),
        known => format!(" ({known} more had been run before)"),
    };
    lines.push(format!(
        "  made from a schedule of {} in {}{known}",
        counted(found_turns as u64, "step"),
        counted(shrunk.runs, "run")
    ));
    if !shrunk.is_minimal {
        lines.push(
            "  it may not be the smallest: there are too many orders with fewer switches to run all of them".to_owned(),
        );
    }
    if let Some(smallest) = &shrunk.scenario {
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
            visible(&smallest.smallest.schedule.to_string())
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

fn race(shrunk: &Shrunk, scenario: &Scenario) -> String {
    let name = |index: &usize| {
        scenario
            .sessions
            .get(*index)
            .map(|session| visible(&session.name))
            .unwrap_or_default()
    };
    let racing: Vec<String> = shrunk.racing.iter().map(name).collect();
    let others = scenario.sessions.len() - racing.len();
    match (racing.len(), others) {
        (0, _) => "this is no race: it fails though the sessions run one after another; look at the steps and at what must hold".to_owned(),
        (_, 0) => format!("{} race", joined(&racing)),
        (_, 1) => format!("{} race, the other session runs by itself", joined(&racing)),
        _ => format!("{} race, the {others} others run by themselves", joined(&racing)),
    }
}

/// Neighbouring copies.
struct Span<'a> {
    first: &'a str,
    last: &'a str,
    /// The last one's name without its number, and its number.
    copy: Option<(&'a str, u32)>,
}

/// Names of sessions, as shown, those of neighbouring copies as a span.
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
