//! A specification as a scenario: its sessions' statements, to be run in every order, with a table of outcomes in place
//! of invariants.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::specification::{Session, Specification, Step};
use crate::scenario::error::{Mistake, ScenarioError};
use crate::scenario::file::session::{MAX_STEPS, TOO_MANY_STEPS};
use crate::scenario::file::{concurrency_errors, transactions};
use crate::scenario::source::{Placement, SqlText};
use crate::scenario::unique::UniqueNames;
use crate::scenario::{self, DeadlockPolicy, Isolation, Scenario};
use crate::sql::commands::split;
use crate::sql::lexer::Token;
use crate::sql::{Statement, Template};

impl Specification {
    /// The scenario of the sessions' setups, all steps in the order of the file, and teardowns; or of the steps in one
    /// of the named permutations, counted from 1. Every statement is a step of its own. Errors that concurrent
    /// transactions cause do not fail a schedule, and neither do deadlocks.
    ///
    /// # Errors
    ///
    /// There is no such permutation, or a session makes no sense step after step, as when one of its steps commits and
    /// another, meant to be used instead, rolls back.
    pub fn scenario(&self, permutation: Option<usize>) -> Result<Scenario, ScenarioError> {
        let mut warnings = Vec::new();
        let mut sessions = Vec::new();
        for (index, session) in self.sessions.iter().enumerate() {
            let steps: Vec<&Step> = match permutation {
                None => session.steps.iter().collect(),
                Some(number) => self.used(number, index)?,
            };
            if !steps.is_empty() {
                sessions.push(scenario_session(session, sessions.len(), &steps, &mut warnings)?);
            }
        }
        let steps = sessions.iter().map(|session| session.steps.len()).sum();
        if steps > MAX_STEPS {
            return Err(ScenarioError::new(Mistake::TooManySteps(steps)).hint(TOO_MANY_STEPS));
        }
        let mut scenario = Scenario {
            name: self.name.clone(),
            path: None,
            setup_database: None,
            setup: join(&self.setups),
            setup_command: None,
            services: Vec::new(),
            schedules_prelude: false,
            sessions,
            invariants: Vec::new(),
            deadlock: DeadlockPolicy::Allowed,
            ignore: Vec::new(),
            serializable: false,
            warnings,
        };
        scenario.warn_if_nothing_must_hold();
        Ok(scenario)
    }

    /// The steps of a session in a named permutation.
    fn used(&self, number: usize, session: usize) -> Result<Vec<&Step>, ScenarioError> {
        let named = self.permutations.as_deref().unwrap_or_default();
        let permutation = number
            .checked_sub(1)
            .and_then(|index| named.get(index))
            .ok_or_else(|| {
                let mistake = Mistake::UnknownPermutation {
                    number,
                    named: named.len(),
                };
                ScenarioError::new(mistake).hint("permutations are counted from 1, in the order of the file")
            })?;
        let steps = permutation.steps.iter().filter(|step| step.id.session == session);
        Ok(steps.map(|step| self.step(step.id)).collect())
    }
}

/// The setups one after the other, a line break between them.
fn join(setups: &[SqlText]) -> Option<SqlText> {
    let (first, others) = setups.split_first()?;
    let source = first.origin.as_ref()?.source.clone();
    let mut text = String::new();
    let mut offsets: Vec<usize> = Vec::new();
    for setup in std::iter::once(first).chain(others) {
        let Some(origin) = &setup.origin else { continue };
        if let Some(end) = offsets.pop() {
            let separator = if text.trim_end().ends_with(';') { "\n" } else { ";\n" };
            text += separator;
            offsets.extend(std::iter::repeat_n(end, separator.len()));
        }
        text += &setup.text;
        offsets.extend(origin.offsets.iter());
    }
    let offsets = offsets.into();
    Some(SqlText {
        text,
        origin: Some(Placement { source, offsets }),
    })
}

fn scenario_session(
    session: &Session,
    entry: usize,
    steps: &[&Step],
    warnings: &mut Vec<String>,
) -> Result<scenario::Session, ScenarioError> {
    let mut names = UniqueNames::default();
    let mut converted = Vec::new();
    let setup = session.setup.iter().map(|sql| ("setup", sql));
    let steps = steps.iter().map(|step| (step.name.as_str(), &step.sql));
    let teardown = session.teardown.iter().map(|sql| ("teardown", sql));
    for (name, sql) in setup.chain(steps).chain(teardown) {
        for command in split(&sql.text) {
            if sets_deadlock_timeout(&command) {
                warnings.push(format!(
                    "session `{}` sets deadlock_timeout, which is left out: it is set so that the session that closes a cycle \
                     is the victim",
                    session.name
                ));
                continue;
            }
            let Some(range) = range(&command) else { continue };
            converted.push(step(names.take(name), part(sql, range)));
        }
    }
    if let Err(error) = transactions::check(&session.name, &converted) {
        if !matches!(*error.mistake, Mistake::OpenAtEnd(_)) {
            return Err(error.hint(
                "steps that are meant to be used one instead of the other make no session: choose the steps of one of the \
                 named permutations (--permutation N)",
            ));
        }
        warnings.push(format!(
            "session `{}` leaves its transaction open: it is rolled back at the end",
            session.name
        ));
        converted.push(step(names.take("rollback"), SqlText::unplaced("ROLLBACK")));
    }
    Ok(scenario::Session {
        name: session.name.clone(),
        entry,
        copy: None,
        connection: None,
        isolation: Isolation::default(),
        params: BTreeMap::new(),
        steps: Arc::from(converted),
        allow_errors: concurrency_errors().map(str::to_owned).collect(),
        retry: None,
        program: None,
        begins_apart: false,
    })
}

fn step(name: String, sql: SqlText) -> scenario::Step {
    scenario::Step {
        name,
        named: true,
        template: Template::parse(&sql.text),
        statement: Statement::classify(&sql.text),
        sql,
        when: None,
    }
}

fn sets_deadlock_timeout(command: &[Token<'_>]) -> bool {
    let is_set = command.first().is_some_and(|first| first.is("SET"));
    is_set && command.iter().take(3).any(|token| token.is("DEADLOCK_TIMEOUT"))
}

fn range(command: &[Token<'_>]) -> Option<Range<usize>> {
    Some(command.first()?.offset..command.last()?.end())
}

fn part(sql: &SqlText, range: Range<usize>) -> SqlText {
    let origin = sql.origin.as_ref().and_then(|origin| {
        Some(Placement {
            source: origin.source.clone(),
            offsets: origin.offsets.get(range.start..=range.end)?.into(),
        })
    });
    SqlText {
        text: sql.text[range].to_owned(),
        origin,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SPEC: &str = "
        setup { CREATE TABLE t (a int) }
        setup { INSERT INTO t VALUES (1); }
        teardown { DROP TABLE t; }
        session s1
        setup { BEGIN; SET deadlock_timeout = '10s'; }
        step r1 { SELECT a FROM t; SELECT a + 1 FROM t; }
        step none { }
        step c1 { COMMIT; }
        step a1 { ROLLBACK; }
        session s2
        setup { BEGIN; }
        step w2 { UPDATE t SET a = 2; }
        permutation r1 c1 w2
        permutation w2 r1 r1 a1
    ";

    fn specification() -> Specification {
        Specification::parse("x", "x.spec", SPEC.to_owned()).unwrap()
    }

    fn steps(scenario: &Scenario, session: usize) -> Vec<(&str, &str)> {
        let steps = scenario.sessions[session].steps.iter();
        steps.map(|step| (step.name.as_str(), step.sql.text.as_str())).collect()
    }

    #[test]
    fn every_statement_is_a_step() {
        let scenario = specification().scenario(Some(2)).unwrap();
        assert_eq!(
            steps(&scenario, 0),
            [
                ("setup", "BEGIN"),
                ("r1", "SELECT a FROM t"),
                ("r1-2", "SELECT a + 1 FROM t"),
                ("r1-3", "SELECT a FROM t"),
                ("r1-4", "SELECT a + 1 FROM t"),
                ("a1", "ROLLBACK"),
            ]
        );
        assert_eq!(
            steps(&scenario, 1),
            [
                ("setup", "BEGIN"),
                ("w2", "UPDATE t SET a = 2"),
                ("rollback", "ROLLBACK")
            ]
        );
        assert_eq!(scenario.warnings.len(), 3, "{:?}", scenario.warnings);
    }

    #[test]
    fn setups_are_run_one_after_the_other() {
        let setup = specification().scenario(Some(1)).unwrap().setup.unwrap();
        assert_eq!(setup.text, "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);");
        let at = setup.text.find("INSERT").unwrap();
        let (source, range) = setup.locate(at..at + 6);
        assert_eq!(&source.text[range], "INSERT");
    }

    #[test]
    fn steps_that_exclude_each_other_are_a_mistake_unless_a_permutation_is_chosen() {
        let error = specification().scenario(None).unwrap_err();
        assert!(matches!(*error.mistake, Mistake::NoTransaction(_)), "{error}");
        let error = specification().scenario(Some(3)).unwrap_err();
        assert!(matches!(
            *error.mistake,
            Mistake::UnknownPermutation { number: 3, named: 2 }
        ));
        assert!(specification().scenario(Some(0)).is_err());
    }

    #[test]
    fn what_is_written_is_read_as_the_same_scenario() {
        let spec = r#"
            setup { CREATE TABLE t (a text, "b\c" int); }
            session "s 1"
            step "say ""hi""" { INSERT INTO t
                VALUES ('''"""', 1) }
            session s2 step b { SELECT 'tab	' }
        "#;
        let specification = Specification::parse("x", "x.spec", spec.to_owned()).unwrap();
        let scenario = specification.scenario(None).unwrap();
        let read = Scenario::from_toml("x", "x.toml", &scenario.to_toml(), Path::new("")).unwrap();
        let parts = |scenario: &Scenario| {
            let sessions = scenario.sessions.iter().map(|session| {
                let steps = session.steps.iter();
                let steps: Vec<_> = steps.map(|step| (step.name.clone(), step.sql.text.clone())).collect();
                (session.name.clone(), session.allow_errors.clone(), steps)
            });
            let setup = scenario.setup.as_ref().map(|setup| setup.text.clone());
            (setup, sessions.collect::<Vec<_>>(), scenario.deadlock)
        };
        assert_eq!(parts(&read), parts(&scenario));
    }
}
