//! A schedule's names, looked up in a scenario.

use std::collections::BTreeMap;

use super::{Entry, Extent, Schedule};
use crate::history::DISCONNECT;
use crate::scenario::{Scenario, Session};
use crate::sql::StatementKind;
use crate::suggest::one_of;

/// A schedule whose names are those of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Sessions by index.
    pub(super) entries: Vec<(usize, Extent)>,
}

/// An entry that names what the scenario does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The index of the entry.
    pub entry: usize,
    /// What is wrong, as the end of a sentence.
    pub problem: String,
    /// What to write instead.
    pub hint: String,
}

pub(super) fn fit(schedule: &Schedule, scenario: &Scenario) -> Result<Plan, Vec<Misfit>> {
    let mut entries = Vec::new();
    let mut misfits = Vec::new();
    // by session: index of the last step that an entry is known to have passed
    let mut passed: BTreeMap<usize, usize> = BTreeMap::new();
    for (index, entry) in schedule.entries.iter().enumerate() {
        match look_up(entry, scenario, &mut passed) {
            Ok(session) => entries.push((session, entry.extent.clone())),
            Err((problem, hint)) => misfits.push(Misfit {
                entry: index,
                problem,
                hint,
            }),
        }
    }
    if !misfits.is_empty() {
        return Err(misfits);
    }
    Ok(Plan { entries })
}

fn look_up(entry: &Entry, scenario: &Scenario, passed: &mut BTreeMap<usize, usize>) -> Result<usize, (String, String)> {
    let names = || scenario.sessions.iter().map(|session| session.name.as_str());
    let Some(place) = names().position(|name| name == entry.session) else {
        return Err(unknown_session(entry, &names().collect::<Vec<_>>()));
    };
    let session = &scenario.sessions[place];
    let (Extent::Until(name) | Extent::Before(name)) = &entry.extent else {
        return Ok(place);
    };
    let step = find_step(session, name)?;
    let until = matches!(entry.extent, Extent::Until(_));
    let before = passed.get(&place).copied();
    // a transaction that is run again comes to its steps again
    if session.retry.is_none() && before.is_some_and(|before| step <= before) {
        return Err((
            format!("`{}` is past step `{name}` by then", entry.session),
            "an earlier entry takes it there".to_owned(),
        ));
    }
    if until {
        passed.insert(place, step);
    }
    Ok(place)
}

fn unknown_session(entry: &Entry, names: &[&str]) -> (String, String) {
    let typed = &entry.session;
    // `worker-1 untill read` was read as the name of a session
    let misread = names
        .iter()
        .find_map(|name| typed.strip_prefix(name)?.strip_prefix(' '))
        .filter(|_| entry.extent == Extent::OneStep);
    if let Some(rest) = misread {
        let hint = match meant_extent(rest) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                "after a session comes nothing (one step), `until STEP`, `before STEP`, `to end`, `resumes` or `times \
                     out`"
                    .to_owned()
            }
        };
        return (format!("`{rest}` does not say how far it goes"), hint);
    }
    let hint = match one_of(typed, names.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("the sessions are {}", names.join(", ")),
    };
    (format!("there is no session `{typed}`"), hint)
}

/// What was meant by words such as `till read`.
fn meant_extent(words: &str) -> Option<String> {
    let (first, rest) = words.split_once(' ').unwrap_or((words, ""));
    let rest = rest.trim();
    if first.eq_ignore_ascii_case("end") || rest.eq_ignore_ascii_case("end") {
        return Some("to end".to_owned());
    }
    if rest.is_empty() {
        return None;
    }
    let until = ["till", "til", "to", "upto", "through", "after"].map(|word| (word, "until"));
    let known = until.into_iter().chain([("until", "until"), ("before", "before")]);
    let near = one_of(first, known.clone().map(|(word, _)| word))?;
    let (_, word) = known.into_iter().find(|(word, _)| *word == near)?;
    Some(format!("{word} {rest}"))
}

/// The step's place among the turns of the session: twice its index, one more for a commit or rollback of its own.
fn find_step(session: &Session, name: &str) -> Result<usize, (String, String)> {
    let mut turns: Vec<(String, usize)> = Vec::new();
    let mut after_begin = false;
    for (index, step) in session.steps.iter().enumerate() {
        if step.statement.kind == StatementKind::Begin && !after_begin {
            if step.name.eq_ignore_ascii_case(name) {
                let next = session.steps.get(index + 1).map_or("", |next| next.name.as_str());
                return Err((
                    format!("`{name}` is no step of the schedule: BEGIN goes with the statement after it"),
                    format!("name that one: `{next}`"),
                ));
            }
            after_begin = true;
            continue;
        }
        after_begin = false;
        turns.push((step.name.clone(), 2 * index));
        turns.push((format!("commit of {}", step.name), 2 * index + 1));
        turns.push((format!("rollback of {}", step.name), 2 * index + 1));
    }
    turns.push((DISCONNECT.to_owned(), 2 * session.steps.len()));
    if let Some((_, place)) = turns.iter().find(|(turn, _)| turn == name) {
        return Ok(*place);
    }
    let hint = match one_of(name, turns.iter().map(|(turn, _)| turn.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let names: Vec<&str> = turns
                .iter()
                .filter(|(turn, place)| place % 2 == 0 && turn != DISCONNECT)
                .map(|(turn, _)| turn.as_str())
                .collect();
            format!("the steps of {} are {}", session.name, names.join(", "))
        }
    };
    Err((format!("session `{}` has no step `{name}`", session.name), hint))
}
