//! Looks up a schedule's names in a scenario.

use std::collections::{BTreeMap, HashMap};

use super::{Entry, Extent, Schedule};
use crate::history::DISCONNECT;
use crate::scenario::{Scenario, Session};
use crate::sql::StatementKind;
use crate::suggest::one_of;

/// A schedule whose names are those of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FittedSchedule {
    /// Sessions by index.
    pub(super) entries: Vec<(usize, Extent)>,
}

/// An entry that names something that the scenario does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The index of the entry.
    pub entry: usize,
    /// What is wrong, as the end of a sentence.
    pub problem: String,
    /// What to write instead.
    pub hint: String,
}

/// The most misfits that are reported.
const MOST_MISFITS: usize = 10;

pub(super) fn fit(schedule: &Schedule, scenario: &Scenario) -> Result<FittedSchedule, Vec<Misfit>> {
    let mut entries = Vec::new();
    let mut misfits = Vec::new();
    // by session: index of the last step that it has certainly passed by this entry
    let mut passed: BTreeMap<usize, usize> = BTreeMap::new();
    let mut turns: BTreeMap<usize, Turns> = BTreeMap::new();
    for (index, entry) in schedule.entries.iter().enumerate() {
        match look_up(entry, scenario, &mut passed, &mut turns) {
            Ok(session) => entries.push((session, entry.extent.clone())),
            Err((problem, hint)) => misfits.push(Misfit {
                entry: index,
                problem,
                hint,
            }),
        }
        if misfits.len() == MOST_MISFITS {
            break;
        }
    }
    if !misfits.is_empty() {
        return Err(misfits);
    }
    Ok(FittedSchedule { entries })
}

fn look_up(
    entry: &Entry,
    scenario: &Scenario,
    passed: &mut BTreeMap<usize, usize>,
    turns: &mut BTreeMap<usize, Turns>,
) -> Result<usize, (String, String)> {
    let names = || scenario.sessions.iter().map(|session| session.name.as_str());
    let Some(place) = names().position(|name| name == entry.session) else {
        return Err(unknown_session(entry, &names().collect::<Vec<_>>()));
    };
    let session = &scenario.sessions[place];
    let (Extent::Until(name) | Extent::Before(name)) = &entry.extent else {
        return Ok(place);
    };
    // what a program will do is not known beforehand
    if session.program.is_some() {
        return Ok(place);
    }
    let turns = turns.entry(place).or_insert_with(|| Turns::of(session));
    let step = turns.find(session, name)?;
    let until = matches!(entry.extent, Extent::Until(_));
    let before = passed.get(&place).copied();
    // a transaction that is run again comes to its steps a second time
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
    // `worker-1 untill read` was parsed as the name of a session
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

/// What words such as `till read` were meant to be.
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

/// The turns of a session that an entry can name, each with its place: twice the index of its step, plus one for a
/// commit or rollback of its own.
struct Turns {
    /// In the order of the session.
    named: Vec<(String, usize)>,
    places: HashMap<String, usize>,
    /// Each BEGIN that is sent with the statement after it, and that statement's name.
    begins: Vec<(String, String)>,
}

impl Turns {
    fn of(session: &Session) -> Turns {
        let mut named: Vec<(String, usize)> = Vec::new();
        let mut begins = Vec::new();
        let mut after_begin = false;
        for (index, step) in session.steps.iter().enumerate() {
            if step.statement.kind == StatementKind::Begin && !after_begin {
                let next = session.steps.get(index + 1).map(|next| next.name.clone());
                begins.push((step.name.clone(), next.unwrap_or_default()));
                after_begin = true;
                continue;
            }
            after_begin = false;
            named.push((step.name.clone(), 2 * index));
            named.push((format!("commit of {}", step.name), 2 * index + 1));
            named.push((format!("rollback of {}", step.name), 2 * index + 1));
        }
        named.push((DISCONNECT.to_owned(), 2 * session.steps.len()));
        let mut places = HashMap::new();
        for (name, place) in &named {
            places.entry(name.clone()).or_insert(*place);
        }
        Turns { named, places, begins }
    }

    fn find(&self, session: &Session, name: &str) -> Result<usize, (String, String)> {
        if let Some((_, next)) = self.begins.iter().find(|(begin, _)| begin.eq_ignore_ascii_case(name)) {
            return Err((
                format!("`{name}` is no step of the schedule: BEGIN goes with the statement after it"),
                format!("name that one: `{next}`"),
            ));
        }
        if let Some(place) = self.places.get(name) {
            return Ok(*place);
        }
        let hint = match one_of(name, self.named.iter().map(|(turn, _)| turn.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let names: Vec<&str> = self
                    .named
                    .iter()
                    .filter(|(turn, place)| place % 2 == 0 && turn != DISCONNECT)
                    .map(|(turn, _)| turn.as_str())
                    .collect();
                format!("the steps of {} are {}", session.name, names.join(", "))
            }
        };
        Err((format!("session `{}` has no step `{name}`", session.name), hint))
    }
}
