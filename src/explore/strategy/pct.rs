//! Samples schedules by priorities: probabilistic concurrency testing.
//!
//! After Burckhardt, Kothari, Musuvathi and Nagarakatte, *A Randomized Scheduler with Probabilistic Guarantees of
//! Finding Bugs* (ASPLOS 2010), section 3: every session gets a random priority, the enabled session with the highest
//! one always moves, and at `depth - 1` randomly drawn moves the session that has just moved gets a priority below all
//! initial ones, the `i`th of these moves giving priority `i`. A released session keeps its priority like all others;
//! so does one whose timeout can expire, for which a fair coin decides whether it does. A failure of depth `d`, that
//! is, one which shows whenever `d` moves come in a certain order, shows in one schedule of `n` sessions and `k` moves
//! with a probability of at least 1 / (n · k^(d - 1)) (their theorem 9), however many interleavings there are. `k` is
//! the number of moves of a run in which each step runs once and none waits.

use rand::Rng;
use rand::seq::SliceRandom;

use super::samples::Samples;
use super::{Job, Key, Strategy};
use crate::explore::{Coverage, turns};
use crate::history::Uncontrolled;
use crate::history::{MoveKind, SoFar};
use crate::run::{Candidate, Run, Scheduler};
use crate::scenario::Scenario;

/// Draws `samples` schedules.
pub struct Pct {
    samples: Samples,
    depth: u32,
    sessions: usize,
    /// The moves of a run in which each step runs once and none waits.
    turns: u32,
}

impl Pct {
    /// `depth` is the depth of the failures for which the bound holds; at least 1.
    pub fn new(scenario: &Scenario, seed: u64, samples: u64, depth: u32) -> Pct {
        Pct {
            samples: Samples::new(seed, samples),
            depth: depth.max(1),
            sessions: scenario.sessions.len(),
            turns: scenario.sessions.iter().map(turns).sum(),
        }
    }

    /// The least probability with which one schedule shows a failure of this depth.
    fn bound(&self) -> f64 {
        let exponent = i32::try_from(self.depth - 1).unwrap_or(i32::MAX);
        1.0 / (self.sessions.max(1) as f64 * f64::from(self.turns.max(1)).powi(exponent))
    }

    /// A sample depends on the seed and its number alone.
    fn schedule(&self, sample: u64) -> Priorities {
        let mut rng = self.samples.rng(sample);
        let changes: Vec<usize> = (1..self.depth)
            .map(|_| (rng.next_u64() % u64::from(self.turns.max(1))) as usize)
            .collect();
        let mut priorities: Vec<usize> = (changes.len()..changes.len() + self.sessions).collect();
        priorities.shuffle(&mut rng);
        Priorities {
            priorities,
            changes,
            seen: 0,
            expires: (0..self.sessions).map(|_| rng.next_u64().is_multiple_of(2)).collect(),
        }
    }
}

impl Strategy for Pct {
    fn coverage(&self) -> Coverage {
        let one = self.bound();
        let all = 100.0 * (1.0 - (1.0 - one).powf(self.samples.total as f64));
        let note = format!(
            "a failure of depth {} (one that takes {} to come in a certain order) shows in one schedule in {:.0} at the \
             least: with {} sampled, in {all:.1} % of all attempts or more",
            self.depth,
            match self.depth {
                1 => "one turn".to_owned(),
                depth => format!("{depth} turns"),
            },
            1.0 / one,
            self.samples.total,
        );
        Coverage {
            notes: vec![note],
            ..Coverage::sampled("pct", self.samples.seed)
        }
    }

    fn planned(&self) -> Option<u64> {
        Some(self.samples.total)
    }

    fn next(&mut self) -> Option<Job> {
        let (key, sample) = self.samples.take()?;
        let scheduler = Box::new(self.schedule(sample));
        Some(Job { key, scheduler })
    }

    fn next_key(&self) -> Option<Key> {
        self.samples.next_key()
    }

    fn observe(&mut self, _key: &Key, _run: &Run) -> Option<Uncontrolled> {
        None
    }
}

/// One schedule: priorities decide who moves.
struct Priorities {
    /// By session; the highest moves.
    priorities: Vec<usize>,
    /// Moves that change the priority of the session that makes them to their index here.
    changes: Vec<usize>,
    /// Moves already processed.
    seen: usize,
    /// By session: whether its timeouts expire, if it has set some.
    expires: Vec<bool>,
}

impl Scheduler for Priorities {
    fn choose(&mut self, SoFar { moves, .. }: SoFar<'_>, ready: &[Candidate<'_>]) -> usize {
        for (index, made) in moves.iter().enumerate().skip(self.seen) {
            for place in (0..self.changes.len()).filter(|&place| self.changes[place] == index) {
                self.priorities[made.session] = place;
            }
        }
        self.seen = moves.len();
        let priority = |candidate: &&Candidate<'_>| {
            let can = candidate.kind != MoveKind::Timeout || self.expires[candidate.session];
            (can, self.priorities[candidate.session])
        };
        ready.iter().max_by_key(priority).unwrap_or(&ready[0]).session
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn pct(depth: u32) -> Pct {
        let text = r#"
            [[session]]
            name = "worker"
            copies = 2
            steps = ["BEGIN", "SELECT 1", "COMMIT"]
        "#;
        let scenario = Scenario::from_toml("test", "test.toml", text, Path::new(".")).unwrap();
        Pct::new(&scenario, 7, 100, depth)
    }

    /// The order in which two sessions of two turns each move.
    fn order(schedule: &mut Priorities) -> Vec<usize> {
        use crate::history::Move;
        use crate::run::Pending;
        let step = Pending::sample("select");
        let mut moves: Vec<Move> = Vec::new();
        loop {
            let made = |session: usize| moves.iter().filter(|one| one.session == session).count();
            let ready: Vec<Candidate<'_>> = (0..2)
                .filter(|&session| made(session) < 2)
                .map(|session| Candidate {
                    session,
                    kind: MoveKind::Step,
                    step: &step,
                    answer: None,
                })
                .collect();
            if ready.is_empty() {
                return moves.iter().map(|one| one.session).collect();
            }
            let so_far = SoFar {
                turns: &[],
                moves: &moves,
            };
            let session = schedule.choose(so_far, &ready);
            moves.push(Move::new(session, MoveKind::Step, moves.len()));
        }
    }

    #[test]
    fn with_depth_1_sessions_run_one_after_another() {
        let pct = pct(1);
        let orders: Vec<Vec<usize>> = (0..100).map(|sample| order(&mut pct.schedule(sample))).collect();
        assert!(
            orders
                .iter()
                .all(|order| *order == [0, 0, 1, 1] || *order == [1, 1, 0, 0])
        );
        assert!(orders.contains(&vec![0, 0, 1, 1]) && orders.contains(&vec![1, 1, 0, 0]));
    }

    #[test]
    fn a_depth_of_2_shows_as_often_as_the_bound_says() {
        let pct = pct(2);
        // session 1 between the turns of session 0, a failure of depth 2: at least one in 2 · 4 schedules
        let between = (0..1_000)
            .filter(|&sample| order(&mut pct.schedule(sample)).starts_with(&[0, 1]))
            .count();
        assert_eq!(pct.bound(), 1.0 / 8.0);
        assert!(between >= 90, "{between} of 1000");
    }
}
