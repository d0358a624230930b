//! Where serial orders have led. Orders after which all sessions have heard the same and the tables are the same are one state,
//! since what comes next is the same after each.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::guide::{Guide, Standing};
use super::order::{Boundary, parts};
use crate::history::{Turn, Uncontrolled};
use crate::verdict::outcome::{TableContent, digest, write_table};
use crate::verdict::serializability::{CommittedPart, ProgramEnd, heard};

/// A serial order that was run.
#[derive(Debug)]
pub struct SerialRun {
    pub turns: Vec<Turn>,
    pub boundaries: Vec<Boundary>,
    /// The content of the tables, from so many turns on.
    pub tables: Vec<(usize, Vec<TableContent>)>,
    /// By session: how its program has ended.
    pub ends: Vec<Option<ProgramEnd>>,
    /// What was not under control.
    pub uncontrolled: Vec<Uncontrolled>,
}

#[derive(Debug, Default)]
pub struct States {
    /// The first is the one after setup.
    all: Vec<State>,
    by_digest: HashMap<String, usize>,
}

#[derive(Debug)]
struct State {
    /// The sessions whose transactions lead here.
    path: Vec<usize>,
    part: CommittedPart,
    ready: Vec<usize>,
    begun: Vec<bool>,
    /// By session: where its next transaction leads. `None` where that waits for another session.
    next: BTreeMap<usize, Option<usize>>,
}

impl State {
    fn standing(&self) -> Standing<'_> {
        Standing {
            sessions: &self.part.sessions,
            ready: &self.ready,
            begun: &self.begun,
        }
    }
}

/// What is to be done next in a search.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// This order is not known yet.
    Run(Vec<usize>),
    /// What was looked for is there. Holds the session that ended otherwise, if one did.
    Found(Option<usize>),
    /// Orders went on for longer than they may, and no other leads there.
    TooLong,
    /// All orders are known, and none leads there.
    Nothing,
}

impl States {
    /// Looks for what the guide looks for.
    pub fn next(&self, guide: &dyn Guide) -> Next {
        if self.all.is_empty() {
            return Next::Run(Vec::new());
        }
        let mut search = Search {
            states: self,
            guide,
            visited: HashSet::new(),
            is_cut: false,
            nearly: None,
        };
        match search.visit(0) {
            Some(next) => next,
            None if search.nearly.is_some() => Next::Found(search.nearly),
            None if search.is_cut => Next::TooLong,
            None => Next::Nothing,
        }
    }

    /// Where the guide's first choices lead, as far as that is known to be serial.
    pub fn last(&self, guide: &dyn Guide) -> Option<(Vec<usize>, CommittedPart)> {
        let mut state = self.all.first()?;
        let mut order = Vec::new();
        while let Some(&session) = guide.choices(state.standing()).first() {
            state = &self.all[(*state.next.get(&session)?)?];
            order.push(session);
        }
        Some((order, state.part.clone()))
    }

    /// Takes in a run that was to begin with `path`. Returns whether it did what is known of that.
    pub fn add(&mut self, path: &[usize], run: &SerialRun) -> bool {
        let known = path.split_last().map(|(_, ahead)| (ahead.len(), self.at(ahead)));
        let chosen = |(session, at): (&usize, &Boundary)| at.chosen == Some(*session);
        let mut followed = run.boundaries.len() >= path.len() && path.iter().zip(&run.boundaries).all(chosen);
        let mut before: Option<(usize, usize)> = None;
        for (number, boundary) in run.boundaries.iter().enumerate() {
            let here = self.state_at(run, boundary, before);
            followed &= known.is_none_or(|(place, state)| place != number || state == Some(here));
            if let Some((state, session)) = before {
                self.all[state].next.entry(session).or_insert(Some(here));
            }
            before = boundary.chosen.map(|session| (here, session));
        }
        // the last transaction led nowhere
        if let Some((state, session)) = before {
            self.all[state].next.entry(session).or_insert(None);
        }
        followed
    }

    fn at(&self, path: &[usize]) -> Option<usize> {
        path.iter()
            .try_fold(0, |state, session| *self.all[state].next.get(session)?)
    }

    /// The number of the state in which a run was.
    fn state_at(&mut self, run: &SerialRun, boundary: &Boundary, before: Option<(usize, usize)>) -> usize {
        let sessions = run.ends.len();
        let turns = &run.turns[..boundary.turns];
        let tables = run.tables.iter().rfind(|(since, _)| *since <= boundary.turns);
        let tables = tables.map(|(_, tables)| tables.clone()).unwrap_or_default();
        let mut text = heard(sessions, turns);
        tables.iter().for_each(|table| write_table(&mut text, table));
        let digest = digest(&text);
        if let Some(&known) = self.by_digest.get(&digest) {
            return known;
        }
        let (mut parts, begun) = parts(sessions, turns);
        let later = &run.turns[boundary.turns..];
        for (session, part) in parts.iter_mut().enumerate() {
            let is_over = !boundary.ready.contains(&session) && later.iter().all(|turn| turn.session != session);
            part.end = run.ends[session].clone().filter(|_| is_over);
        }
        let mut path = Vec::new();
        if let Some((state, session)) = before {
            path.clone_from(&self.all[state].path);
            path.push(session);
        }
        let number = self.all.len();
        self.by_digest.insert(digest, number);
        self.all.push(State {
            path,
            part: CommittedPart {
                sessions: parts,
                tables,
            },
            ready: boundary.ready.clone(),
            begun,
            next: BTreeMap::new(),
        });
        number
    }
}

/// Depth first, from the state after setup.
struct Search<'a> {
    states: &'a States,
    guide: &'a dyn Guide,
    visited: HashSet<usize>,
    /// An order was not followed to its end.
    is_cut: bool,
    /// A state is what was looked for, but for how this session's program ended.
    nearly: Option<usize>,
}

impl Search<'_> {
    fn visit(&mut self, number: usize) -> Option<Next> {
        if !self.visited.insert(number) {
            return None;
        }
        let state = &self.states.all[number];
        if self.guide.is_wanted(&state.part) {
            match self.guide.ends_otherwise(&state.part) {
                None => return Some(Next::Found(None)),
                session => self.nearly = session,
            }
        }
        for session in self.guide.choices(state.standing()) {
            if state.path.len() >= self.guide.longest() {
                self.is_cut = true;
                return None;
            }
            let found = match state.next.get(&session) {
                None => {
                    let mut path = state.path.clone();
                    path.push(session);
                    Some(Next::Run(path))
                }
                Some(None) => None,
                Some(Some(next)) => self.visit(*next),
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }
}
