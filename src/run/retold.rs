//! A schedule that is run once more because its first run could not be ended: the choices of that run are made again.

use super::{Candidate, Scheduler};
use crate::history::{History, SoFar, Turn, Uncontrolled};

/// Asks another scheduler, and remembers what it said.
pub struct Retold<'a> {
    inner: &'a mut dyn Scheduler,
    said: Vec<Said>,
    /// How many of these the present run has come to.
    at: usize,
    /// The turns of the first run.
    turns: Vec<Turn>,
    /// A choice could not be made again.
    differs: bool,
}

/// What the scheduler said before a move.
#[derive(Default)]
struct Said {
    is_over: Option<bool>,
    /// By session.
    questions: Vec<(usize, Option<String>)>,
    chosen: Option<usize>,
}

impl<'a> Retold<'a> {
    pub fn new(inner: &'a mut dyn Scheduler) -> Retold<'a> {
        Retold {
            inner,
            said: Vec::new(),
            at: 0,
            turns: Vec::new(),
            differs: false,
        }
    }

    /// Before the second run.
    pub fn again(&mut self) {
        self.at = 0;
    }

    /// Where the second run, whose history this is, did not do what the first one had done.
    pub fn contradiction(&self, history: &History) -> Option<Uncontrolled> {
        let mut turns = self.turns.iter().enumerate();
        let differs = |(index, turn): &(usize, &Turn)| {
            let other = history.turns.get(*index);
            !other.is_some_and(|other| is_same(turn, other))
        };
        let first = turns.find(differs).map(|(_, turn)| turn);
        let first = first.or_else(|| self.turns.last().filter(|_| self.differs))?;
        Some(Uncontrolled::LearnedDiffers {
            session: history.sessions.get(first.session).cloned().unwrap_or_default(),
            step: first.step.clone(),
        })
    }

    fn present(&mut self) -> &mut Said {
        if self.at >= self.said.len() {
            self.said.resize_with(self.at + 1, Said::default);
        }
        &mut self.said[self.at]
    }
}

/// Whether a turn did the same, as far as the first run has come.
fn is_same(first: &Turn, second: &Turn) -> bool {
    let is_sent = first.session == second.session && first.filled == second.filled && first.values == second.values;
    is_sent && (first.finished_in == Turn::IN_FLIGHT || first.result == second.result)
}

impl Scheduler for Retold<'_> {
    fn question(&mut self, so_far: SoFar<'_>, candidate: Candidate<'_>) -> Option<String> {
        let session = candidate.session;
        let known = self.present().questions.iter().find(|(asked, _)| *asked == session);
        if let Some((_, question)) = known {
            return question.clone();
        }
        let question = self.inner.question(so_far, candidate);
        self.present().questions.push((session, question.clone()));
        question
    }

    fn choose(&mut self, so_far: SoFar<'_>, ready: &[Candidate<'_>]) -> usize {
        let chosen = match self.present().chosen {
            Some(chosen) => chosen,
            None => {
                let chosen = self.inner.choose(so_far, ready);
                self.present().chosen = Some(chosen);
                self.turns = so_far.turns.to_vec();
                chosen
            }
        };
        self.at += 1;
        if ready.iter().any(|candidate| candidate.session == chosen) {
            return chosen;
        }
        self.differs = true;
        ready.first().map_or(chosen, |candidate| candidate.session)
    }

    fn is_over(&mut self, so_far: SoFar<'_>, ready: &[usize]) -> bool {
        if let Some(is_over) = self.present().is_over {
            return is_over;
        }
        let is_over = self.inner.is_over(so_far, ready);
        self.present().is_over = Some(is_over);
        is_over
    }
}
