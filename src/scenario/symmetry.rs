//! Sessions that can stand for each other.

use crate::scenario::Scenario;
use crate::scenario::source::SqlText;
use crate::sql::lexer::{Token, TokenKind, tokens};
use crate::sql::words::CURRENT_SETTING;

/// Words by which a session can learn its own name.
pub(crate) const SHOW_A_NAME: [&str; 3] = [CURRENT_SETTING, "application_name", "pg_stat_activity"];

/// Words whose effect depends on the order of rows.
const ORDER_MATTERS: [&str; 14] = [
    "limit",
    "offset",
    "fetch",
    "over",
    "ordinality",
    "table",
    "array_agg",
    "string_agg",
    "json_agg",
    "jsonb_agg",
    "json_object_agg",
    "jsonb_object_agg",
    "xmlagg",
    "random",
];

/// What can follow a table's name in FROM if there is no alias.
const AFTER_A_TABLE: [&str; 17] = [
    "where",
    "group",
    "having",
    "window",
    "union",
    "intersect",
    "except",
    "order",
    "for",
    "join",
    "inner",
    "left",
    "right",
    "full",
    "cross",
    "on",
    "tablesample",
];

/// Groups of interchangeable sessions. Where several of a group have not begun, scheduling one leads to what scheduling
/// another leads to, with the names exchanged; so only the first of them is scheduled.
#[derive(Debug, Clone)]
pub struct Symmetry {
    /// By session: its group.
    group: Vec<usize>,
}

impl Symmetry {
    /// No session can stand for another.
    pub fn none(scenario: &Scenario) -> Symmetry {
        Symmetry {
            group: (0..scenario.sessions.len()).collect(),
        }
    }

    /// The same number of sessions, none of which can stand for another.
    pub fn broken(&self) -> Symmetry {
        Symmetry {
            group: (0..self.group.len()).collect(),
        }
    }

    /// By session: its group.
    #[cfg(test)]
    pub fn of_groups(group: Vec<usize>) -> Symmetry {
        Symmetry { group }
    }

    /// Copies with the same parameters are interchangeable, unless an invariant or a step may distinguish them.
    pub fn of(scenario: &Scenario) -> Symmetry {
        let invariants = scenario
            .invariants
            .iter()
            .map(|invariant| (&invariant.sql, ["name"].as_slice()));
        Symmetry::unless_told_apart(scenario, invariants)
    }

    /// As [`Symmetry::of`], but without invariants that look at the result.
    pub fn of_steps(scenario: &Scenario) -> Symmetry {
        Symmetry::unless_told_apart(scenario, std::iter::empty())
    }

    fn unless_told_apart<'a>(
        scenario: &'a Scenario,
        invariants: impl Iterator<Item = (&'a SqlText, &'static [&'static str])>,
    ) -> Symmetry {
        let steps = scenario.sessions.iter().flat_map(|session| {
            session.steps.iter().flat_map(|step| {
                let condition = step
                    .when
                    .iter()
                    .map(|condition| (&condition.sql, SHOW_A_NAME.as_slice()));
                std::iter::once((&step.sql, SHOW_A_NAME.as_slice())).chain(condition)
            })
        });
        let named_apart = invariants.chain(steps).any(|(sql, words)| {
            tokens(&sql.text).any(|token| match token.kind {
                TokenKind::Word => words.iter().any(|word| token.is(word)),
                TokenKind::QuotedName => {
                    !token.text.starts_with('"') || words.iter().any(|word| token.text.trim_matches('"') == *word)
                }
                TokenKind::String => scenario
                    .sessions
                    .iter()
                    .any(|session| token.text.contains(&session.name)),
                _ => false,
            })
        });
        let setup = scenario
            .setup
            .as_ref()
            .map(|setup| setup.text.to_lowercase())
            .unwrap_or_default();
        let functions_may = setup.contains("pgbraid") || SHOW_A_NAME.iter().any(|word| setup.contains(word));
        if named_apart
            || functions_may
            || scenario
                .invariants
                .iter()
                .any(|invariant| picks_among_sessions(&invariant.sql.text))
        {
            return Symmetry::none(scenario);
        }
        let alike = |one: usize, other: usize| scenario.sessions[one].is_like(&scenario.sessions[other]);
        let group = (0..scenario.sessions.len())
            .map(|session| (0..session).find(|&first| alike(first, session)).unwrap_or(session));
        Symmetry { group: group.collect() }
    }

    /// Whether two sessions are interchangeable.
    pub fn are_alike(&self, one: usize, other: usize) -> bool {
        self.group[one] == self.group[other]
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.group.len()
    }

    /// Sessions that no other can stand for, and the first of each group that has not begun.
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

/// Whether an invariant may distinguish sessions without using the column `name`: by the order of the rows of
/// `pgbraid.sessions`, by the positions of its columns, or by a row as a whole.
fn picks_among_sessions(sql: &str) -> bool {
    let words: Vec<_> = tokens(sql).filter(|token| !token.is_blank()).collect();
    let text = |index: usize| words.get(index).map_or("", |word: &Token<'_>| word.text);
    let is_name = |index: usize, name: &str| text(index).trim_matches('"').eq_ignore_ascii_case(name);
    if !(0..words.len()).any(|index| is_name(index, "pgbraid")) {
        return false;
    }
    let mut row_names = vec!["sessions".to_owned()];
    for index in 0..words.len() {
        let whole_table = text(index) == "*" && index > 0 && words[index - 1].kind != TokenKind::Open;
        let by_order = words[index].is_one_of(&ORDER_MATTERS)
            || (words[index].is("distinct") && text(index + 1).eq_ignore_ascii_case("on"))
            || (words[index].is("array") && text(index + 1) == "(");
        if whole_table || by_order {
            return true;
        }
        if is_name(index, "sessions") && index > 1 && text(index - 1) == "." && is_name(index - 2, "pgbraid") {
            let alias = if text(index + 1).eq_ignore_ascii_case("as") {
                index + 2
            } else {
                index + 1
            };
            let is_alias = words.get(alias).is_some_and(|word| {
                word.kind == TokenKind::QuotedName || (word.kind == TokenKind::Word && !word.is_one_of(&AFTER_A_TABLE))
            });
            if is_alias {
                if text(alias + 1) == "(" {
                    return true;
                }
                row_names.push(text(alias).trim_matches('"').to_owned());
            }
        }
    }
    // a row's name that does not qualify a column
    (0..words.len()).any(|index| {
        let declares = text(index.wrapping_sub(1)) == "."
            || text(index.wrapping_sub(1))
                .trim_matches('"')
                .eq_ignore_ascii_case("sessions")
            || text(index.wrapping_sub(1)).eq_ignore_ascii_case("as");
        !declares && text(index + 1) != "." && row_names.iter().any(|name| is_name(index, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn is_symmetric(invariant: &str) -> bool {
        let file = format!(
            "[[session]]\nname = \"worker\"\ncopies = 2\nsteps = [\"SELECT 1\"]\n[[invariant]]\nname = \"one\"\nsql = \"\"\"{invariant}\"\"\"\n"
        );
        let scenario = Scenario::from_toml("test", "test.toml", &file, Path::new(".")).unwrap();
        !Symmetry::of(&scenario).groups().is_empty()
    }

    #[test]
    fn invariants_that_count_sessions_do_not_tell_them_apart() {
        assert!(is_symmetric(
            "SELECT count(*) FILTER (WHERE committed) = 1 FROM pgbraid.sessions"
        ));
        assert!(is_symmetric(
            "SELECT count(*) = 1 FROM pgbraid.sessions AS s WHERE s.sqlstate = '40001'"
        ));
        assert!(is_symmetric(
            "SELECT sum((variables->>'paid')::int) = 3 FROM pgbraid.sessions WHERE committed"
        ));
        assert!(is_symmetric("SELECT a = 1 FROM t ORDER BY a LIMIT 1"));
    }

    #[test]
    fn invariants_that_pick_a_session_tell_them_apart() {
        for invariant in [
            "SELECT committed FROM pgbraid.sessions WHERE name = 'worker-1'",
            "SELECT committed FROM pgbraid.sessions WHERE \"name\" LIKE '%1'",
            "SELECT committed FROM pgbraid.sessions LIMIT 1",
            "SELECT (array_agg(committed))[1] FROM pgbraid.sessions",
            "SELECT count(*) = 1 FROM pgbraid.sessions AS s (who, well) WHERE who LIKE '%1' AND well",
            "SELECT count(*) = 1 FROM pgbraid.sessions s WHERE s::text LIKE '%1%'",
            "SELECT count(*) = 1 FROM pgbraid.sessions WHERE sessions::text LIKE '%1%'",
            "SELECT count(*) = 1 FROM (SELECT * FROM pgbraid.sessions) AS s",
        ] {
            assert!(!is_symmetric(invariant), "{invariant}");
        }
    }
}
