//! Sessions that can stand for each other.

use crate::scenario::Scenario;
use crate::scenario::source::SqlText;
use crate::scenario::sql::lexer::{TokenKind, tokens};

/// Groups of interchangeable sessions. Of several that have not yet begun, letting one go on leads to what letting
/// another go on leads to, with the names exchanged; so only the first of them is let go on.
#[derive(Debug, Clone)]
pub struct Symmetry {
    /// By session: the group that it is in.
    group: Vec<usize>,
}

impl Symmetry {
    /// No session can stand for another.
    pub fn none(scenario: &Scenario) -> Symmetry {
        Symmetry {
            group: (0..scenario.sessions.len()).collect(),
        }
    }

    /// Copies with the same parameters are interchangeable, unless an invariant or a step may tell them apart by name.
    pub fn of(scenario: &Scenario) -> Symmetry {
        let invariants = scenario.invariants.iter().map(|invariant| (&invariant.sql, "name"));
        Symmetry::unless_told_apart(scenario, invariants)
    }

    /// As [`Symmetry::of`], where no invariant looks at the result.
    pub fn of_steps(scenario: &Scenario) -> Symmetry {
        Symmetry::unless_told_apart(scenario, std::iter::empty())
    }

    fn unless_told_apart<'a>(
        scenario: &'a Scenario,
        invariants: impl Iterator<Item = (&'a SqlText, &'static str)>,
    ) -> Symmetry {
        let steps = scenario.sessions.iter().flat_map(|session| {
            session.steps.iter().flat_map(|step| {
                let condition = step.when.iter().map(|condition| (&condition.sql, "current_setting"));
                std::iter::once((&step.sql, "current_setting")).chain(condition)
            })
        });
        let tells_apart = invariants.chain(steps).any(|(sql, word)| {
            tokens(&sql.text).any(|token| match token.kind {
                TokenKind::Word => token.is(word),
                TokenKind::QuotedName => token.text.trim_matches('"') == word,
                TokenKind::String => scenario
                    .sessions
                    .iter()
                    .any(|session| token.text.contains(&session.name)),
                _ => false,
            }) || (word == "name" && selects_everything_of_sessions(&sql.text))
        });
        if tells_apart {
            return Symmetry::none(scenario);
        }
        let alike = |one: usize, other: usize| {
            let (one, other) = (&scenario.sessions[one], &scenario.sessions[other]);
            one.entry == other.entry && one.params == other.params
        };
        let group = (0..scenario.sessions.len())
            .map(|session| (0..=session).find(|&first| alike(first, session)).unwrap_or(session));
        Symmetry { group: group.collect() }
    }

    /// Sessions that no other can stand for, or that are the first of their group that has not begun.
    pub fn first_of_each(&self, ready: &[usize], has_begun: impl Fn(usize) -> bool) -> Vec<usize> {
        ready
            .iter()
            .copied()
            .filter(|&session| self.stand_in(session, &has_begun) == session)
            .collect()
    }

    /// The session that stands for `session`: itself once it has begun, else the first of its group that has not.
    pub fn stand_in(&self, session: usize, has_begun: impl Fn(usize) -> bool) -> usize {
        if has_begun(session) {
            return session;
        }
        (0..session)
            .find(|&other| self.group[other] == self.group[session] && !has_begun(other))
            .unwrap_or(session)
    }

    /// The groups of more than one session.
    pub fn groups(&self) -> Vec<Vec<usize>> {
        let members = |group: usize| {
            (0..self.group.len())
                .filter(|&session| self.group[session] == group)
                .collect()
        };
        (0..self.group.len())
            .map(members)
            .filter(|members: &Vec<usize>| members.len() > 1)
            .collect()
    }
}

/// `SELECT … FROM pgbraid.sessions` may use the name without naming it: by `*`, or by a row as a whole.
fn selects_everything_of_sessions(sql: &str) -> bool {
    let words: Vec<_> = tokens(sql).filter(|token| !token.is_blank()).collect();
    words.iter().any(|word| word.is("pgbraid"))
        && words
            .windows(2)
            .any(|pair| pair[1].text == "*" && !matches!(pair[0].kind, TokenKind::Open))
}
