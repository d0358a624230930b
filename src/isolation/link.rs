//! Looks up the names of steps in a specification.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::error::Mistake;
use super::lexer::Misplaced;
use super::parser::{File, Name, NamedMarker, NamedSession, NamedUse};
use super::specification::{Marker, Permutation, PermutationStep, Session, Specification, Step, StepId};
use crate::scenario::source::Source;

/// Turns what a file says into a specification.
pub(super) fn link(name: &str, source: &Arc<Source>, file: File) -> Result<Specification, Misplaced> {
    let ids = step_ids(&file.sessions)?;
    let permutations = file.permutations.iter().map(|uses| permutation(uses, &ids));
    let permutations: Vec<Permutation> = permutations.collect::<Result<_, _>>()?;
    Ok(Specification {
        name: name.to_owned(),
        source: source.clone(),
        setups: file.setups,
        teardown: file.teardown,
        sessions: file.sessions.into_iter().map(session).collect(),
        permutations: Some(permutations).filter(|permutations| !permutations.is_empty()),
    })
}

fn session(session: NamedSession) -> Session {
    let steps = session.steps.into_iter().map(|step| Step {
        name: step.name.text,
        sql: step.sql,
    });
    Session {
        name: session.name.text,
        setup: session.setup,
        steps: steps.collect(),
        teardown: session.teardown,
    }
}

type Ids = HashMap<String, StepId>;

fn step_ids(sessions: &[NamedSession]) -> Result<Ids, Misplaced> {
    let mut ids = Ids::new();
    for (session, named) in sessions.iter().enumerate() {
        for (step, Name { text, span }) in named.steps.iter().map(|step| &step.name).enumerate() {
            if ids.insert(text.clone(), StepId { session, step }).is_some() {
                return Err((Mistake::DuplicateStep(text.clone()), span.clone()));
            }
        }
    }
    Ok(ids)
}

fn permutation(uses: &[NamedUse], ids: &Ids) -> Result<Permutation, Misplaced> {
    let lookup = |name: &Name| {
        let id = ids.get(&name.text).copied();
        id.ok_or_else(|| (Mistake::UnknownStep(name.text.clone()), name.span.clone()))
    };
    let used: Vec<StepId> = uses.iter().map(|each| lookup(&each.step)).collect::<Result<_, _>>()?;
    let in_use: HashSet<StepId> = used.iter().copied().collect();
    let mut permutation = Permutation::default();
    for (named, &id) in uses.iter().zip(&used) {
        // a step of another session that the permutation uses too
        let other = |name: &Name| match ids.get(&name.text) {
            Some(other) if !in_use.contains(other) => {
                Err((Mistake::UnknownMarker(name.text.clone()), name.span.clone()))
            }
            None => Err((Mistake::UnknownMarker(name.text.clone()), name.span.clone())),
            Some(other) if other.session == id.session => {
                Err((Mistake::OwnSession(named.step.text.clone()), name.span.clone()))
            }
            Some(other) => Ok(*other),
        };
        let markers = named.markers.iter().map(|marker| match marker {
            NamedMarker::Waiting => Ok(Marker::Waiting),
            NamedMarker::Completed(name) => other(name).map(Marker::Completed),
            NamedMarker::Notices { of, count } => Ok(Marker::Notices {
                of: other(of)?,
                count: *count,
            }),
        });
        let markers = markers.collect::<Result<_, _>>()?;
        permutation.steps.push(PermutationStep { id, markers });
    }
    Ok(permutation)
}
