//! Added rows: when the order in which they are added matters, and when it does not.

use std::collections::BTreeSet;

use super::analysis::StatementKnown;
use super::footprint::{Footprint, Object, WriteKind};
use super::program::{ProgramStep, SessionProgram};

/// Rows lie in the order in which they were added. Where statements lock several of them, they lock them in that order,
/// which may decide whether sessions run into a deadlock. Other statements may show the order: `watchers` are the
/// invariants.
pub fn order_additions(sessions: &mut [SessionProgram], watchers: &[StatementKnown]) {
    let all = || {
        let steps = sessions.iter().flat_map(|session| &session.steps);
        let watched = watchers.iter().map(|watcher| &watcher.footprint);
        steps.map(|step| &step.facts.footprint).chain(watched)
    };
    let unknown = all().any(|footprint| footprint.unknown);
    let claims = |footprint: &Footprint| {
        let changed = footprint.writes.iter().filter(|(_, kind)| **kind != WriteKind::Append);
        let objects = footprint
            .locks
            .keys()
            .chain(changed.map(|(object, _)| object))
            .chain(&footprint.ordered);
        objects.cloned().collect::<Vec<_>>()
    };
    let claimed: BTreeSet<Object> = all().flat_map(claims).collect();
    let steps = sessions.iter_mut().flat_map(|session| &mut session.steps);
    for (object, kind) in steps.flat_map(|step| &mut step.facts.footprint.writes) {
        if *kind == WriteKind::Append && (unknown || claimed.contains(object)) {
            *kind = WriteKind::Change;
        }
    }
}

/// Which steps of each session only add one row of constants, to tables with which no step does anything else.
pub fn adds_constants(sessions: &[SessionProgram]) -> Vec<Vec<bool>> {
    let touches = |one: &Footprint, object: &Object| {
        let mut touched = one.reads.iter().chain(one.claims().map(|(object, _)| object));
        one.unknown || touched.any(|own| own.overlaps(object)) || one.ordered.contains(object)
    };
    let steps = sessions.iter().flat_map(|session| &session.steps);
    let others: Vec<&Footprint> = steps
        .filter(|step| !step.facts.meaning.adds_constants)
        .map(|step| &step.facts.footprint)
        .collect();
    let is_apart = |own: &Footprint| {
        let meets = |other: &&Footprint| own.writes.keys().any(|object| touches(other, object));
        !others.iter().any(meets)
    };
    let adds = |step: &ProgramStep| step.facts.meaning.adds_constants && is_apart(&step.facts.footprint);
    let of_session = |session: &SessionProgram| session.steps.iter().map(adds).collect();
    sessions.iter().map(of_session).collect()
}
