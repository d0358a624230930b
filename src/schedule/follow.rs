//! Runs a schedule as it is written, and notes where that was not possible.

use super::{Extent, Plan};
use crate::run::history::{History, Turn};
use crate::run::{Candidate, Scheduler};

/// Lets sessions go on as a schedule says; see [the module](super).
#[derive(Debug)]
pub struct Follower {
    entries: Vec<Tracked>,
    departures: Vec<Departure>,
}

#[derive(Debug)]
struct Tracked {
    session: usize,
    extent: Extent,
    /// The first turn that was taken for it.
    started: Option<usize>,
    done: bool,
}

/// Where a run left the order of its schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// The index of the entry that was not followed.
    pub entry: usize,
    pub session: usize,
    /// How many turns had been taken by then.
    pub turn: usize,
    pub kind: DepartureKind,
}

/// Why an entry was not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DepartureKind {
    /// The session was blocked in the step that it was let go on with in this turn; its turn passed.
    Blocked { in_turn: usize },
    /// The session had ended.
    Ended,
    /// The session ended without coming to this step.
    NotReached { step: String },
}

impl Follower {
    pub fn new(plan: &Plan) -> Follower {
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

    /// Where the run, whose history this is, left the order.
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
        // a session that stays blocked has left the order once
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
            Extent::OneStep => DepartureKind::Ended,
            Extent::Until(_) | Extent::Before(_) if entry.started.is_none() => DepartureKind::Ended,
            Extent::Until(step) | Extent::Before(step) => DepartureKind::NotReached { step: step.clone() },
        };
        self.depart(index, turns.len(), kind);
    }
}

impl Tracked {
    /// Whether the step of this name has finished since the entry's first turn.
    fn has_run(&self, step: &str, turns: &[Turn]) -> bool {
        let Some(started) = self.started else { return false };
        turns[started..]
            .iter()
            .any(|turn| turn.session == self.session && turn.step == step && turn.finished_in != Turn::IN_FLIGHT)
    }

    /// Whether the session, which can go on with `next`, has gone far enough.
    fn is_complete(&self, next: &str, turns: &[Turn]) -> bool {
        match &self.extent {
            Extent::OneStep => self.started.is_some(),
            Extent::Until(step) => self.has_run(step, turns),
            Extent::Before(step) => next == step,
            Extent::ToEnd => false,
        }
    }
}

impl Scheduler for Follower {
    fn choose(&mut self, turns: &[Turn], ready: &[Candidate<'_>]) -> usize {
        let mut blocked = Vec::new();
        for index in 0..self.entries.len() {
            let entry = &mut self.entries[index];
            let session = entry.session;
            if entry.done || blocked.contains(&session) {
                continue;
            }
            if let Some(candidate) = ready.iter().find(|candidate| candidate.session == session) {
                if entry.is_complete(&candidate.step.name, turns) {
                    entry.done = true;
                    continue;
                }
                entry.started.get_or_insert(turns.len());
                entry.done = entry.extent == Extent::OneStep;
                return session;
            }
            let in_flight = |turn: &Turn| turn.session == session && turn.finished_in == Turn::IN_FLIGHT;
            match turns.iter().rposition(in_flight) {
                Some(in_turn) => {
                    blocked.push(session);
                    self.depart(index, turns.len(), DepartureKind::Blocked { in_turn });
                }
                None => self.end(index, turns),
            }
        }
        // `ready` is never empty
        ready[0].session
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::run::StepInfo;
    use crate::run::history::{StepResult, TurnRole};
    use crate::schedule::Schedule;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    /// Plays the part of a server on which each session has three steps. Some steps wait for other sessions' ends.
    struct Play {
        steps: [&'static str; 3],
        /// A session, its step, and the session that it waits for.
        waits: Vec<(usize, usize, usize)>,
    }

    impl Play {
        fn new(waits: &[(usize, usize, usize)]) -> Play {
            Play {
                steps: ["read", "write", "commit"],
                waits: waits.to_vec(),
            }
        }

        /// Runs a schedule; returns the order in which sessions went on, and where it was left.
        fn run(&self, entries: &[&str]) -> (String, Vec<(usize, DepartureKind)>) {
            let schedule = Schedule::parse(entries.iter().copied()).expect("entries");
            let place = |name: &str| NAMES.iter().position(|other| *other == name).expect("a session");
            let plan = Plan {
                entries: schedule
                    .entries
                    .iter()
                    .map(|entry| (place(&entry.session), entry.extent.clone()))
                    .collect(),
            };
            let mut follower = Follower::new(&plan);
            let mut turns: Vec<Turn> = Vec::new();
            loop {
                let taken =
                    |session: usize, turns: &[Turn]| turns.iter().filter(|turn| turn.session == session).count();
                let blocked = |session: usize, turns: &[Turn]| {
                    turns
                        .iter()
                        .any(|turn| turn.session == session && turn.finished_in == Turn::IN_FLIGHT)
                };
                let infos: Vec<(usize, StepInfo)> = (0..NAMES.len())
                    .filter(|&session| taken(session, &turns) < 3 && !blocked(session, &turns))
                    .map(|session| (session, info(self.steps[taken(session, &turns)])))
                    .collect();
                if infos.is_empty() {
                    break;
                }
                let ready: Vec<_> = infos
                    .iter()
                    .map(|(session, step)| Candidate {
                        session: *session,
                        step,
                        answer: None,
                    })
                    .collect();
                let chosen = follower.choose(&turns, &ready);
                let step = taken(chosen, &turns);
                let waits = |turns: &[Turn], session: usize, step: usize| {
                    let blocker = self.waits.iter().find(|(one, at, _)| (*one, *at) == (session, step));
                    blocker.is_some_and(|(.., blocker)| (1..3).contains(&taken(*blocker, turns)))
                };
                let index = turns.len();
                let finished_in = if waits(&turns, chosen, step) {
                    Turn::IN_FLIGHT
                } else {
                    index
                };
                turns.push(turn(chosen, self.steps[step], finished_in));
                for other in 0..turns.len() {
                    let (session, step) = (turns[other].session, taken(turns[other].session, &turns) - 1);
                    if turns[other].finished_in == Turn::IN_FLIGHT && !waits(&turns, session, step) {
                        turns[other].finished_in = index;
                    }
                }
            }
            let order = turns
                .iter()
                .map(|turn| NAMES[turn.session])
                .collect::<Vec<_>>()
                .join("");
            let history = History {
                sessions: NAMES.map(str::to_owned).to_vec(),
                turns,
                ends: Vec::new(),
            };
            // following what is made of a run is to do the same again
            let again = Schedule::of(&history).to_string();
            let entries_again: Vec<&str> = again.split(", ").filter(|entry| !entry.is_empty()).collect();
            if entries != entries_again.as_slice() {
                assert_eq!(self.run(&entries_again), (order.clone(), Vec::new()), "{again}");
            }
            let departures = follower.departures(&history);
            (
                order,
                departures
                    .into_iter()
                    .map(|departure| (departure.entry, departure.kind))
                    .collect(),
            )
        }
    }

    fn info(name: &str) -> StepInfo {
        StepInfo {
            name: name.to_owned(),
            index: 0,
            role: TurnRole::Step,
            sql: String::new(),
            filled: String::new(),
            values: Vec::new(),
            begin: None,
            attempt: 0,
        }
    }

    fn turn(session: usize, step: &str, finished_in: usize) -> Turn {
        Turn {
            session,
            step: step.to_owned(),
            step_index: 0,
            role: TurnRole::Step,
            sql: String::new(),
            filled: String::new(),
            values: Vec::new(),
            begin: None,
            attempt: 0,
            result: StepResult::Done { tag: String::new() },
            waits: Vec::new(),
            finished_in,
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
        // when it is released it goes on ahead of those whose turn had come
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
        /// `Play::run` also follows what is made of each run.
        #[test]
        fn what_is_made_of_a_run_repeats_it(
            // a session waits for one ahead of it, so that there is no deadlock
            waits in proptest::collection::vec((1usize..3, 0usize..3, 0usize..2), 0..4),
            entries in proptest::collection::vec((0usize..3, 0usize..8), 0..9),
        ) {
            let waits: Vec<_> = waits.into_iter().filter(|(session, _, blocker)| blocker < session).collect();
            let extents = ["", " to end", " until read", " until write", " until commit", " before write", " before commit", ""];
            let entries: Vec<String> =
                entries.into_iter().map(|(session, extent)| format!("{}{}", NAMES[session], extents[extent])).collect();
            let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
            let (order, _) = Play::new(&waits).run(&entries);
            prop_assert_eq!(order.len(), 9);
        }
    }
}
