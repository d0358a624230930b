//! Runs a schedule as written, and notes where that was not possible.

use super::{Extent, FittedSchedule, at_once};
use crate::history::{History, MoveKind, SoFar, Turn};
use crate::run::{Candidate, Scheduler, first_without_timeout};

/// Schedules sessions as a schedule says; see [the module](super).
#[derive(Debug)]
pub struct Follower {
    entries: Vec<Tracked>,
    departures: Vec<Departure>,
}

#[derive(Debug)]
struct Tracked {
    session: usize,
    extent: Extent,
    /// The first turn that was made for it.
    started: Option<usize>,
    done: bool,
}

/// Where a run left the order of its schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// The index of the entry that was not followed.
    pub entry: usize,
    /// The index of the session that the entry names.
    pub session: usize,
    /// How many turns had been made by then.
    pub turn: usize,
    /// How the order was left.
    pub kind: DepartureKind,
}

/// Why an entry was not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DepartureKind {
    /// The session was blocked in the step that it sent in this turn; its turn passed.
    Blocked {
        /// The turn in which it was.
        in_turn: usize,
    },
    /// The session was to resume or time out, but was not blocked.
    NotBlocked,
    /// The session had ended.
    Ended,
    /// The session ended without coming to this step.
    NotReached {
        /// The step by its name.
        step: String,
    },
}

impl Follower {
    /// Begins at the first entry.
    pub fn new(plan: &FittedSchedule) -> Follower {
        let entries = plan.entries.iter().map(|(session, extent)| Tracked {
            session: *session,
            extent: extent.clone(),
            started: None,
            done: false,
        });
        Follower {
            entries: entries.collect(),
            departures: Vec::new(),
        }
    }

    /// Where the run with this history left the order.
    pub fn departures(mut self, history: &History) -> Vec<Departure> {
        let turns = &history.turns;
        for index in 0..self.entries.len() {
            if !self.entries[index].done {
                self.end(index, turns);
            }
        }
        self.departures.sort_by_key(|departure| departure.turn);
        self.departures
    }

    fn depart(&mut self, entry: usize, turn: usize, kind: DepartureKind) {
        let departure = Departure {
            entry,
            session: self.entries[entry].session,
            turn,
            kind,
        };
        // a session that stays blocked has left the order only once
        let known = |other: &Departure| other.session == departure.session && other.kind == departure.kind;
        let blocked = matches!(departure.kind, DepartureKind::Blocked { .. });
        if !blocked || !self.departures.iter().any(known) {
            self.departures.push(departure);
        }
    }

    /// The entry's session has ended.
    fn end(&mut self, index: usize, turns: &[Turn]) {
        self.entries[index].done = true;
        let entry = &self.entries[index];
        let kind = match &entry.extent {
            Extent::ToEnd => return,
            Extent::Until(step) if entry.has_run(step, turns) => return,
            Extent::OneStep | Extent::Resumes | Extent::TimesOut => DepartureKind::Ended,
            Extent::Until(_) | Extent::Before(_) if entry.started.is_none() => DepartureKind::Ended,
            Extent::Until(step) | Extent::Before(step) => DepartureKind::NotReached { step: step.clone() },
        };
        self.depart(index, turns.len(), kind);
    }
}

impl Tracked {
    /// Whether the step with this name has finished since the entry's first turn.
    fn has_run(&self, step: &str, turns: &[Turn]) -> bool {
        let Some(started) = self.started else { return false };
        turns[started..]
            .iter()
            .any(|turn| turn.session == self.session && turn.step == step && turn.finished_in != Turn::IN_FLIGHT)
    }

    /// Whether the session, whose next step is `next`, has gone far enough.
    fn is_complete(&self, next: &str, turns: &[Turn]) -> bool {
        match &self.extent {
            Extent::OneStep => self.started.is_some(),
            Extent::Until(step) => self.has_run(step, turns),
            Extent::Before(step) => next == step,
            Extent::ToEnd | Extent::Resumes | Extent::TimesOut => false,
        }
    }
}

impl Scheduler for Follower {
    fn choose(&mut self, so_far: SoFar<'_>, ready: &[Candidate<'_>]) -> usize {
        let turns = so_far.turns;
        let resumes = |entry: &Tracked| !entry.done && entry.extent == Extent::Resumes;
        let is_named = |session: usize| {
            let mut entries = self.entries.iter();
            entries.any(|entry| entry.session == session && resumes(entry))
        };
        if let Some(session) = at_once(so_far, ready, is_named) {
            return session;
        }
        let mut passed = Vec::new();
        for index in 0..self.entries.len() {
            let entry = &mut self.entries[index];
            let session = entry.session;
            let wanted = match entry.extent {
                Extent::Resumes => MoveKind::Resume,
                Extent::TimesOut => MoveKind::Timeout,
                _ => MoveKind::Step,
            };
            let candidate = ready.iter().find(|candidate| candidate.session == session);
            let can = candidate.filter(|candidate| candidate.kind == wanted);
            if entry.done || (passed.contains(&session) && can.is_none()) {
                continue;
            }
            match can.or(candidate.filter(|candidate| candidate.kind != MoveKind::Timeout)) {
                Some(_) if can.is_some() && wanted != MoveKind::Step => {
                    entry.done = true;
                    return session;
                }
                // it waits for its entry
                Some(candidate) if candidate.kind == MoveKind::Resume && wanted == MoveKind::Step => {
                    passed.push(session)
                }
                Some(_) if can.is_none() => {
                    entry.done = true;
                    self.depart(index, turns.len(), DepartureKind::NotBlocked);
                }
                Some(candidate) if entry.is_complete(&candidate.step.name, turns) => entry.done = true,
                Some(_) => {
                    entry.started.get_or_insert(turns.len());
                    entry.done = entry.extent == Extent::OneStep;
                    return session;
                }
                None => {
                    let in_flight = |turn: &Turn| turn.session == session && turn.finished_in == Turn::IN_FLIGHT;
                    match turns.iter().rposition(in_flight) {
                        Some(in_turn) => {
                            passed.push(session);
                            self.depart(index, turns.len(), DepartureKind::Blocked { in_turn });
                        }
                        None => self.end(index, turns),
                    }
                }
            }
        }
        first_without_timeout(ready).session
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::Move;
    use crate::history::testing::{done, history, turn};
    use crate::run::Pending;
    use crate::schedule::{Schedule, named};

    const NAMES: [&str; 3] = ["a", "b", "c"];

    /// Imitates a server on which each session has three steps. Some steps wait for other sessions' ends.
    struct Play {
        steps: [&'static str; 3],
        /// A session, its step, and the session that it waits for.
        waits: Vec<(usize, usize, usize)>,
    }

    /// A run of a play.
    #[derive(Default)]
    struct State {
        turns: Vec<Turn>,
        moves: Vec<Move>,
        released: Vec<usize>,
    }

    impl State {
        fn taken(&self, session: usize) -> usize {
            self.turns.iter().filter(|turn| turn.session == session).count()
        }

        /// The turn of the step that a session has under way.
        fn in_flight(&self, session: usize) -> Option<usize> {
            let in_flight = |turn: &Turn| turn.session == session && turn.finished_in == Turn::IN_FLIGHT;
            self.turns.iter().position(in_flight)
        }

        fn finish(&mut self, turn: usize) {
            self.turns[turn].finished_in = self.turns.len() - 1;
            self.moves.last_mut().expect("a move").finished.push(turn);
        }
    }

    impl Play {
        fn new(waits: &[(usize, usize, usize)]) -> Play {
            Play {
                steps: ["read", "write", "commit"],
                waits: waits.to_vec(),
            }
        }

        /// Whether the step that a session has under way has to wait: the other session is in the middle of its steps.
        fn waits(&self, state: &State, session: usize) -> bool {
            let step = state.taken(session) - 1;
            let blocker = self.waits.iter().find(|(one, at, _)| (*one, *at) == (session, step));
            blocker.is_some_and(|(.., blocker)| (1..3).contains(&state.taken(*blocker)))
        }

        fn make_move(&self, state: &mut State, session: usize, kind: MoveKind) {
            if kind == MoveKind::Step {
                let step = state.taken(session);
                state.turns.push(Turn {
                    finished_in: Turn::IN_FLIGHT,
                    ..turn(session, (step, self.steps[step]), "", done(""))
                });
            }
            let own = state.in_flight(session).expect("a step under way");
            state.released.retain(|&released| released != session);
            state.moves.push(Move::new(session, kind, own));
            if !self.waits(state, session) {
                state.finish(own);
            }
            for other in (0..NAMES.len()).filter(|&other| other != session) {
                let is_blocked = state.in_flight(other).is_some() && !state.released.contains(&other);
                if is_blocked && !self.waits(state, other) {
                    state.released.push(other);
                    state.moves.last_mut().expect("a move").released.push(other);
                }
            }
        }

        /// Runs a schedule; returns the order in which sessions moved (a letter in upper case where a session does not
        /// resume at once), and where the run left the schedule.
        fn run(&self, entries: &[&str]) -> (String, Vec<(usize, DepartureKind)>) {
            let (history, order, departures) = self.follow(entries);
            // following the schedule that a run is written down as repeats the run
            for again in [Schedule::of(&history), Schedule::step_by_step(&history)] {
                let again = again.to_string();
                let entries: Vec<&str> = again.split(", ").filter(|entry| !entry.is_empty()).collect();
                let (_, order_again, departures_again) = self.follow(&entries);
                assert_eq!((order_again, departures_again), (order.clone(), Vec::new()), "{again}");
            }
            (order, departures)
        }

        fn follow(&self, entries: &[&str]) -> (History, String, Vec<(usize, DepartureKind)>) {
            let schedule = Schedule::parse(entries.iter().copied()).expect("entries");
            let place = |name: &str| NAMES.iter().position(|other| *other == name).expect("a session");
            let plan = FittedSchedule {
                entries: schedule
                    .entries
                    .iter()
                    .map(|entry| (place(&entry.session), entry.extent.clone()))
                    .collect(),
            };
            let mut follower = Follower::new(&plan);
            let mut state = State::default();
            loop {
                let kind = |session: usize| match state.in_flight(session) {
                    Some(_) => state.released.contains(&session).then_some(MoveKind::Resume),
                    None => (state.taken(session) < 3).then_some(MoveKind::Step),
                };
                let infos: Vec<(usize, MoveKind, Pending)> = (0..NAMES.len())
                    .filter_map(|session| {
                        let kind = kind(session)?;
                        let step = state.taken(session) - usize::from(kind == MoveKind::Resume);
                        Some((session, kind, Pending::sample(self.steps[step])))
                    })
                    .collect();
                if infos.is_empty() {
                    break;
                }
                let ready: Vec<_> = infos
                    .iter()
                    .map(|(session, kind, step)| Candidate {
                        session: *session,
                        kind: *kind,
                        step,
                        answer: None,
                    })
                    .collect();
                let so_far = SoFar {
                    turns: &state.turns,
                    moves: &state.moves,
                };
                let chosen = follower.choose(so_far, &ready);
                let kind = kind(chosen).expect("an enabled session");
                self.make_move(&mut state, chosen, kind);
            }
            let history = history(&NAMES, state.turns, state.moves);
            let named = named(&history);
            let moved = history.moves.iter().zip(named).filter(|(_, named)| *named);
            let order = moved
                .map(|(one, _)| match one.kind {
                    MoveKind::Step => NAMES[one.session].to_owned(),
                    MoveKind::Resume => NAMES[one.session].to_uppercase(),
                    MoveKind::Timeout => format!("{}!", NAMES[one.session]),
                })
                .collect::<Vec<_>>()
                .join("");
            let departures = follower.departures(&history);
            let departures = departures
                .into_iter()
                .map(|departure| (departure.entry, departure.kind));
            (history, order, departures.collect())
        }
    }

    #[test]
    fn sessions_go_as_far_as_their_entries_say() {
        let play = Play::new(&[]);
        assert_eq!(
            play.run(&["b until write", "a", "b", "a to end"]),
            ("bbabaaccc".into(), vec![])
        );
        assert_eq!(
            play.run(&["b before commit", "a before read", "c to end"]),
            ("bbcccaaab".into(), vec![])
        );
        assert_eq!(play.run(&[]), ("aaabbbccc".into(), vec![]));
        assert_eq!(play.run(&["c"]), ("caaabbbcc".into(), vec![]));
    }

    #[test]
    fn the_turn_of_a_blocked_session_passes_until_it_is_released() {
        // after the fix `read` locks: b waits for a's end
        let play = Play::new(&[(1, 0, 0)]);
        let pinned = ["a until read", "b until read", "a to end", "b to end"];
        assert_eq!(
            play.run(&pinned),
            ("abaabbccc".into(), vec![(1, DepartureKind::Blocked { in_turn: 1 })])
        );
        // when it is released it runs before those whose turn had come
        let far = ["a until read", "b until write", "a to end", "c to end"];
        assert_eq!(
            play.run(&far),
            ("abaabcccb".into(), vec![(1, DepartureKind::Blocked { in_turn: 1 })])
        );
    }

    #[test]
    fn a_step_that_is_sent_and_blocks_is_one_step() {
        let play = Play::new(&[(1, 0, 0)]);
        assert_eq!(
            play.run(&["a", "b", "a to end", "b to end"]),
            ("abaabbccc".into(), vec![])
        );
        // the second entry of b comes while it is blocked
        assert_eq!(
            play.run(&["a", "b", "b", "a to end"]),
            ("abaabbccc".into(), vec![(2, DepartureKind::Blocked { in_turn: 1 })])
        );
    }

    #[test]
    fn a_released_session_resumes_when_its_entry_says_so() {
        // b and c wait for a's end
        let play = Play::new(&[(1, 0, 0), (2, 0, 0)]);
        assert_eq!(
            play.run(&["a", "b", "c", "a to end", "b to end", "c to end"]),
            ("abcaabbcc".into(), vec![])
        );
        assert_eq!(
            play.run(&["a", "b", "c", "a to end", "c to end", "b resumes", "b to end"]),
            ("abcaaccBbb".into(), vec![])
        );
        // entries of its own that come earlier wait, too
        assert_eq!(
            play.run(&["a", "b", "a to end", "b", "c", "b resumes"]),
            ("abaacBbbcc".into(), vec![])
        );
        assert_eq!(
            play.run(&["a", "c resumes", "b", "a to end"]),
            ("abaabbccc".into(), vec![(1, DepartureKind::NotBlocked)])
        );
    }

    #[test]
    fn entries_that_cannot_be_followed_are_noted() {
        let play = Play::new(&[]);
        assert_eq!(
            play.run(&["a to end", "a", "b until write", "b until read", "c before read"]),
            (
                "aaabbbccc".into(),
                vec![
                    (1, DepartureKind::Ended),
                    (3, DepartureKind::NotReached { step: "read".into() })
                ]
            )
        );
        assert_eq!(
            play.run(&["c to end", "c before write"]),
            ("cccaaabbb".into(), vec![(1, DepartureKind::Ended)])
        );
    }

    proptest! {
        /// `Play::run` also follows the schedules that each run is written down as.
        #[test]
        fn what_is_made_of_a_run_repeats_it(
            // sessions wait only for earlier ones, so there is no deadlock
            waits in proptest::collection::vec((1usize..3, 0usize..3, 0usize..2), 0..4),
            entries in proptest::collection::vec((0usize..3, 0usize..10), 0..12),
        ) {
            let waits: Vec<_> = waits.into_iter().filter(|(session, _, blocker)| blocker < session).collect();
            let extents = ["", " to end", " until read", " until write", " until commit", " before write", " before commit", "", " resumes", " resumes"];
            let entries: Vec<String> =
                entries.into_iter().map(|(session, extent)| format!("{}{}", NAMES[session], extents[extent])).collect();
            let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
            let (order, _) = Play::new(&waits).run(&entries);
            prop_assert_eq!(order.chars().filter(char::is_ascii_lowercase).count(), 9);
        }
    }
}
