//! Fewer sessions and steps in the scenario itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::arrangement::{Arrangement, Planned};
use super::ddmin::ddmin;
use super::order;
use super::reduce::{Cut, can_be_cut, reduce as cut_down, steps_left};
use super::trials::{Trials, is_refusal};
use crate::history::{Origin, Turn};
use crate::run::{Run, RunError};
use crate::scenario::Scenario;
use crate::schedule::named;

/// The most sessions for which every serial order is tried.
const MOST_IN_EVERY_ORDER: usize = 4;
/// The most sessions of a scenario whose outcomes must be serializable: it has to run all serial orders of each
/// candidate.
const MOST_SERIALIZABLE: usize = 4;

/// A smaller scenario and a failing run of it.
pub struct Smaller {
    pub scenario: Arc<Scenario>,
    pub run: Run,
    pub dropped_sessions: Vec<String>,
    pub dropped_steps: Vec<(String, String)>,
}

/// Drops sessions, then steps, as long as the race stays. `None` if nothing can be dropped.
pub fn reduce(trials: &mut Trials<'_>, arrangement: &Arrangement, run: &Run) -> Result<Option<Smaller>, RunError> {
    let whole = trials.scenario().clone();
    if whole.serializable && whole.sessions.len() > MOST_SERIALIZABLE {
        return Ok(None);
    }
    let mut reduction = Reduction {
        whole: whole.clone(),
        arrangement,
        run,
        best: None,
    };
    let idle: Vec<usize> = (0..whole.sessions.len())
        .filter(|session| !arrangement.racing.contains(session))
        .collect();
    let mut cut = Cut::default();
    if !arrangement.racing.is_empty() {
        cut.sessions = reduction.drop_sessions(trials, &idle)?;
    }
    let mut steps: Vec<(usize, usize)> = Vec::new();
    for (index, session) in whole.sessions.iter().enumerate() {
        let of_entry = |step: usize| (session.entry, step);
        if !cut.sessions.contains(&index) && !steps.iter().any(|(entry, _)| *entry == session.entry) {
            let can_go = (0..session.steps.len()).filter(|&step| can_be_cut(&session.steps[step]));
            steps.extend(can_go.map(of_entry));
        }
    }
    let kept = ddmin(steps.clone(), |kept| {
        let steps = steps.iter().copied().filter(|step| !kept.contains(step)).collect();
        let sessions = cut.sessions.clone();
        reduction.fails(trials, &Cut { sessions, steps })
    })?;
    cut.steps = steps.into_iter().filter(|step| !kept.contains(step)).collect();
    // without these steps, a session that raced may have no part in it
    for session in reduction.idle_in_best(&cut) {
        let mut more = cut.clone();
        more.sessions.insert(session);
        if reduction.fails(trials, &more)? {
            cut = more;
        }
    }
    let Some((scenario, run)) = reduction
        .best
        .take()
        .filter(|_| !cut.steps.is_empty() || !cut.sessions.is_empty())
    else {
        return Ok(None);
    };
    let name = |session: &usize| whole.sessions[*session].name.clone();
    let dropped_steps = dropped(&whole, &cut);
    let run = match trials.change_scenario(scenario.clone())? {
        true => order::reduce(trials, run)?.0,
        false => run,
    };
    Ok(Some(Smaller {
        scenario,
        run,
        dropped_sessions: cut.sessions.iter().map(name).collect(),
        dropped_steps,
    }))
}

/// Names of the dropped steps: the session as the file names it, and the step.
fn dropped(whole: &Scenario, cut: &Cut) -> Vec<(String, String)> {
    let mut entries: Vec<usize> = Vec::new();
    let mut dropped = Vec::new();
    for session in &whole.sessions {
        if entries.contains(&session.entry) {
            continue;
        }
        entries.push(session.entry);
        let left = steps_left(&session.steps, |step| cut.steps.contains(&(session.entry, step)));
        let gone = (0..session.steps.len()).filter(|step| !left.contains(step));
        dropped.extend(gone.map(|step| (session.entry_name().to_owned(), session.steps[step].name.clone())));
    }
    dropped
}

struct Reduction<'a> {
    whole: Arc<Scenario>,
    arrangement: &'a Arrangement,
    run: &'a Run,
    /// The last that failed.
    best: Option<(Arc<Scenario>, Run)>,
}

impl Reduction<'_> {
    /// The idle sessions that can be dropped together.
    fn drop_sessions(&mut self, trials: &mut Trials<'_>, idle: &[usize]) -> Result<BTreeSet<usize>, RunError> {
        let without = |sessions: BTreeSet<usize>| Cut {
            sessions,
            ..Cut::default()
        };
        let all: BTreeSet<usize> = idle.iter().copied().collect();
        if all.is_empty() || self.fails(trials, &without(all.clone()))? {
            return Ok(all);
        }
        // if one of several copies cannot be dropped by itself, an invariant counts them: none of them can
        let mut can_go: Vec<usize> = Vec::new();
        for &session in idle {
            let copies = |other: &&usize| self.alike(session, **other);
            let known = idle.iter().take_while(|other| **other != session).find(copies).copied();
            let goes = match known {
                Some(known) => can_go.contains(&known),
                None => self.fails(trials, &without(BTreeSet::from([session])))?,
            };
            if goes {
                can_go.push(session);
            }
        }
        let dropped = |kept: &[usize]| {
            can_go
                .iter()
                .copied()
                .filter(|session| !kept.contains(session))
                .collect()
        };
        let kept = ddmin(can_go.clone(), |kept| self.fails(trials, &without(dropped(kept))))?;
        Ok(dropped(&kept))
    }

    /// Sessions that race in the whole scenario, but not in the smallest one that fails.
    fn idle_in_best(&self, cut: &Cut) -> Vec<usize> {
        let Some((scenario, run)) = &self.best else {
            return Vec::new();
        };
        let racing = Arrangement::of(run).racing;
        if racing.is_empty() {
            return Vec::new();
        }
        let left: Vec<usize> = (0..self.whole.sessions.len())
            .filter(|session| !cut.sessions.contains(session))
            .collect();
        let idle = (0..scenario.sessions.len()).filter(|session| !racing.contains(session));
        idle.filter_map(|session| left.get(session).copied())
            .filter(|session| self.arrangement.racing.contains(session))
            .collect()
    }

    fn alike(&self, one: usize, other: usize) -> bool {
        self.whole.sessions[one].is_like(&self.whole.sessions[other])
    }

    /// Whether some connections of a program would be dropped, and others kept.
    fn splits_program(&self, cut: &Cut) -> bool {
        let sessions = self.whole.sessions.iter().enumerate();
        let mut connections = sessions.filter(|(_, session)| session.connection.is_some());
        connections.any(|(index, session)| {
            let dropped = cut.sessions.contains(&index);
            let mut others = self.whole.sessions.iter().enumerate();
            others.any(|(other, one)| {
                one.program_name() == session.program_name() && cut.sessions.contains(&other) != dropped
            })
        })
    }

    /// Whether the scenario fails in the same way without what is cut.
    fn fails(&mut self, trials: &mut Trials<'_>, cut: &Cut) -> Result<bool, RunError> {
        if trials.is_exhausted() || self.splits_program(cut) {
            return Ok(false);
        }
        let Some(scenario) = cut_down(&self.whole, cut, trials.target()) else {
            return Ok(false);
        };
        let scenario = Arc::new(scenario);
        if !trials.change_scenario(scenario.clone())? {
            return Ok(false);
        }
        let found = self.try_out(trials, cut);
        match found {
            Ok(Some(run)) => {
                self.best = Some((scenario, run));
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) if is_refusal(&error) => {
                trials.reopen()?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn try_out(&self, trials: &mut Trials<'_>, cut: &Cut) -> Result<Option<Run>, RunError> {
        let renumbered = |session: usize| session - cut.sessions.range(..session).count();
        let kept = |session: &usize| !cut.sessions.contains(session);
        let racing: Vec<usize> = self.arrangement.racing.iter().copied().filter(kept).collect();
        let arrangement = Arrangement {
            before: self
                .arrangement
                .before
                .iter()
                .filter(|session| kept(session))
                .map(|&session| renumbered(session))
                .collect(),
            racing: racing.iter().map(|&session| renumbered(session)).collect(),
        };
        let history = &self.run.history;
        let moves = history.moves.iter().zip(named(history)).filter(|(_, named)| *named);
        let order: Vec<Planned> = moves
            .filter(|(one, _)| racing.contains(&one.session))
            .filter(|(one, _)| self.is_left(one.session, &history.turns[one.turn], cut))
            .map(|(one, _)| (renumbered(one.session), one.kind))
            .collect();
        let trial = trials.run(&arrangement, &order)?;
        if !trial.fails || (!arrangement.racing.is_empty() && fails_serially(trials, &arrangement)?) {
            return Ok(None);
        }
        Ok(Some(trial.run.clone()))
    }

    fn is_left(&self, session: usize, turn: &Turn, cut: &Cut) -> bool {
        let session = &self.whole.sessions[session];
        let is_cut = |step: usize| cut.steps.contains(&(session.entry, step));
        let left = steps_left(&session.steps, is_cut);
        match turn.origin {
            Origin::Disconnect(_) => true,
            Origin::Step(step) => !is_cut(step) && left.contains(&step),
            Origin::Autocommit(step) | Origin::Rollback(step) => !is_cut(step),
        }
    }
}

/// Whether some serial order of the racing sessions violates the same. If there are many sessions, only the first order
/// and the last are tried.
fn fails_serially(trials: &mut Trials<'_>, arrangement: &Arrangement) -> Result<bool, RunError> {
    let racing = &arrangement.racing;
    let orders = if racing.len() <= MOST_IN_EVERY_ORDER {
        permutations(racing)
    } else {
        vec![racing.clone(), racing.iter().rev().copied().collect()]
    };
    for order in orders {
        // the session's turns follow its first one; the other sessions wait for their place
        let serial = Arrangement {
            before: arrangement.before.iter().copied().chain(order).collect(),
            racing: Vec::new(),
        };
        let trial = trials.run(&serial, &[])?;
        if trials.target().is_touched(&trial.run, trials.scenario()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, &first) in items.iter().enumerate() {
        let mut others = items.to_vec();
        others.remove(index);
        for mut rest in permutations(&others) {
            rest.insert(0, first);
            all.push(rest);
        }
    }
    all
}
