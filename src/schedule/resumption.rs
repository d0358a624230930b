//! When released sessions resume if a schedule does not say so: at once, in the order in which they began to wait.

use crate::history::{History, Move, MoveKind, SoFar};
use crate::run::Candidate;

/// The session to resume now, if there is one that no later entry names.
pub fn at_once(so_far: SoFar<'_>, ready: &[Candidate<'_>], is_named: impl Fn(usize) -> bool) -> Option<usize> {
    let released = ready.iter().filter(|candidate| candidate.kind == MoveKind::Resume);
    let sessions = released.map(|candidate| candidate.session);
    so_far.first_to_wait(sessions.filter(|&session| !is_named(session)))
}

/// For each move of a run, whether a schedule has to name it: all but the resumptions that happen without being named.
/// A session whose later resumption is named waits for that entry, so its earlier ones are named, too.
pub fn named(history: &History) -> Vec<bool> {
    let moves = &history.moves;
    let mut named: Vec<bool> = moves.iter().map(|one| one.kind == MoveKind::Step).collect();
    while let Some(another) = first_to_name(moves, &named) {
        named[another] = true;
    }
    named
}

/// The first resumption that would happen at another time if it were not named.
fn first_to_name(moves: &[Move], named: &[bool]) -> Option<usize> {
    let mut released: Vec<usize> = Vec::new();
    for (index, one) in moves.iter().enumerate() {
        let is_resumption =
            |other: &usize, session: usize| moves[*other].kind == MoveKind::Resume && moves[*other].session == session;
        let next_resumption = |session: usize| (index..moves.len()).find(|other| is_resumption(other, session));
        let is_named =
            |session: usize| (index..moves.len()).any(|other| named[other] && is_resumption(&other, session));
        let so_far = SoFar {
            turns: &[],
            moves: &moves[..index],
        };
        let expected = so_far.first_to_wait(released.iter().copied().filter(|&session| !is_named(session)));
        match expected {
            Some(expected) if one.kind != MoveKind::Resume || one.session != expected => {
                if let Some(resumption) = next_resumption(expected) {
                    return Some(resumption);
                }
            }
            None if !named[index] => return Some(index),
            _ => {}
        }
        released.retain(|&session| session != one.session);
        released.extend(&one.released);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::testing::history;

    /// `a b b> c*bd`: a session by letter; `>` where it resumes, `*` before those that it releases.
    fn told(moves: &str) -> String {
        let place = |name: char| "abcd".find(name).expect("a session");
        let parsed = moves.split(' ').enumerate().map(|(turn, text)| {
            let kind = match text.contains('>') {
                true => MoveKind::Resume,
                false => MoveKind::Step,
            };
            let session = place(text.chars().next().expect("a session"));
            let mut one = Move::new(session, kind, turn);
            one.released = text
                .split_once('*')
                .map_or("", |(_, names)| names)
                .chars()
                .map(place)
                .collect();
            one
        });
        let history = history(&["a", "b", "c", "d"], Vec::new(), parsed.collect());
        let names = moves.split(' ').zip(named(&history));
        names
            .filter(|(_, named)| *named)
            .map(|(text, _)| text)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn resumptions_at_once_in_the_order_of_the_waits_need_no_name() {
        assert_eq!(told("a b c a*bc b> c> b c"), "a b c a*bc b c");
        assert_eq!(told("a c b a*bc c> b> b c"), "a c b a*bc b c");
        assert_eq!(told("a b c a*b b>*c c> b*c c> c"), "a b c a*b b*c c");
    }

    #[test]
    fn others_are_named() {
        assert_eq!(told("a b c a*bc c> b> b c"), "a b c a*bc b> b c");
        assert_eq!(told("a b a*b a b> b"), "a b a*b a b> b");
    }

    #[test]
    fn of_a_session_with_a_named_resumption_the_earlier_ones_are_named_too() {
        assert_eq!(told("a b a*b b> a*b a b>"), "a b a*b b> a*b a b>");
        // and those of others that come after it
        assert_eq!(told("a b c a*bc b> c> a*b a b>"), "a b c a*bc b> c> a*b a b>");
    }
}
