//! A run's schedule as a person would write it.

use std::ops::Range;

use super::{Entry, Extent, Schedule, named};
use crate::history::{History, Move, MoveKind, Turn};

impl Schedule {
    /// The schedule of a run. Following it repeats the run without leaving the order.
    pub fn of(history: &History) -> Schedule {
        let moves = named_moves(history);
        let mut blocks: Vec<Range<usize>> = Vec::new();
        for (index, one) in moves.iter().enumerate() {
            match blocks.last_mut() {
                Some(block) if continues(moves[block.start], one) => block.end = index + 1,
                _ => blocks.push(index..index + 1),
            }
        }
        let explicit = blocks.len() - undisturbed_at_the_end(&moves, &blocks);
        let mut entries = Vec::new();
        for block in &blocks[..explicit] {
            let session = &history.sessions[moves[block.start].session];
            let extents = extents(&history.turns, &moves, block.clone());
            entries.extend(extents.into_iter().map(|extent| Entry::new(session.clone(), extent)));
        }
        Schedule { entries }
    }

    /// The schedule of a run, one entry for each move.
    pub fn step_by_step(history: &History) -> Schedule {
        let entry = |one: &Move| {
            let extent = match one.kind {
                MoveKind::Step => Extent::OneStep,
                MoveKind::Resume => Extent::Resumes,
                MoveKind::Timeout => Extent::TimesOut,
            };
            Entry::new(history.sessions[one.session].clone(), extent)
        };
        named_moves(history).into_iter().map(entry).collect()
    }
}

/// The moves that a schedule has to name.
fn named_moves(history: &History) -> Vec<&Move> {
    let moves = history.moves.iter().zip(named(history));
    moves.filter(|(_, named)| *named).map(|(one, _)| one).collect()
}

fn continues(block: &Move, next: &Move) -> bool {
    let is_step = |one: &Move| one.kind == MoveKind::Step;
    block.session == next.session && is_step(block) && is_step(next)
}

/// Whether the step was over with the move.
fn finishes(one: &Move) -> bool {
    one.finished.contains(&one.turn)
}

/// How many blocks at the end are what would run there anyway: whole sessions, in the order of the scenario. None if
/// there is nothing else.
fn undisturbed_at_the_end(moves: &[&Move], blocks: &[Range<usize>]) -> usize {
    let session = |block: &Range<usize>| moves[block.start].session;
    let is_whole = |block: &Range<usize>| {
        blocks.iter().filter(|other| session(other) == session(block)).count() == 1
            && block.clone().all(|place| finishes(moves[place]))
    };
    let mut count = 0;
    for (index, block) in blocks.iter().enumerate().rev() {
        let next = blocks.get(index + 1);
        if !is_whole(block) || next.is_some_and(|next| session(next) < session(block)) {
            break;
        }
        count += 1;
    }
    if blocks[..blocks.len() - count].iter().all(is_whole) {
        0
    } else {
        count
    }
}

/// How far the session of these consecutive moves goes.
fn extents(turns: &[Turn], moves: &[&Move], block: Range<usize>) -> Vec<Extent> {
    match moves[block.start].kind {
        MoveKind::Step => {}
        MoveKind::Resume => return vec![Extent::Resumes],
        MoveKind::Timeout => return vec![Extent::TimesOut],
    }
    let step = |place: usize| &turns[moves[place].turn].step;
    let mut extents = Vec::new();
    let mut from = block.start;
    let last = block.end - 1;
    let is_blocked = !finishes(moves[last]);
    let ends = moves[block.end..].iter().all(|one| one.session != moves[last].session);
    // a step that blocked is an entry of its own: following that entry means sending it
    let end = if is_blocked { last } else { block.end };
    while from < end {
        if ends && !is_blocked {
            extents.push(Extent::ToEnd);
            break;
        }
        // a step of a transaction that is run again occurs twice
        let until = (from..end)
            .find(|&place| step(place) == step(end - 1))
            .unwrap_or(end - 1);
        extents.push(Extent::Until(step(until).clone()));
        from = until + 1;
    }
    if is_blocked {
        extents.push(Extent::OneStep);
    }
    extents
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::testing::{Sample, deadlock, done};

    /// `a1 b1 …`: sessions by letter with their steps; `!` where the step blocks until the next turn.
    fn schedule(turns: &str) -> String {
        let mut sample = Sample::new(&["a", "b", "c"]);
        for (index, turn) in turns.split(' ').enumerate() {
            let session = "abc".find(&turn[..1]).expect("a session");
            sample = sample.turn(session, &turn[1..2], done(""));
            if turn.ends_with('!') {
                sample = sample.with(|turn| turn.finished_in = index + 1);
            }
        }
        Schedule::of(&sample.history()).to_string()
    }

    #[test]
    fn blocks_of_a_session_become_entries() {
        assert_eq!(schedule("a1 b1 b2 a2"), "a until 1, b to end, a to end");
        assert_eq!(
            schedule("a1 a2 b1 b2 a3 b3"),
            "a until 2, b until 2, a to end, b to end"
        );
    }

    #[test]
    fn a_step_that_blocks_is_an_entry_of_its_own() {
        assert_eq!(
            schedule("a1 b1 b2! a2 b3"),
            "a until 1, b until 1, b, a to end, b to end"
        );
        assert_eq!(schedule("a1 b1! a2"), "a until 1, b, a to end");
    }

    #[test]
    fn a_step_that_comes_twice_is_named_each_time() {
        assert_eq!(schedule("a1 a2 a1 b1 a2"), "a until 1, a until 1, b to end, a to end");
    }

    #[test]
    fn sessions_that_run_alone_at_the_end_are_left_out() {
        assert_eq!(schedule("a1 b1 b2 a2 c1 c2"), "a until 1, b to end, a to end");
        assert_eq!(schedule("b1 c1 c2 b2 a1"), "b until 1, c to end, b to end");
        assert_eq!(schedule("a1 b1 c1"), "a to end, b to end, c to end");
        assert_eq!(schedule("c1 c2 a1 b1"), "c to end, a to end, b to end");
    }

    #[test]
    fn a_deadlock() {
        assert_eq!(
            Schedule::of(&deadlock()).to_string(),
            "worker-1 until update, worker-2 until update, worker-1, worker-2 to end, worker-1 to end"
        );
    }
}
