//! A scenario that was made from a specification, as a scenario file.

use std::fmt::Write;

use crate::scenario::{DeadlockPolicy, Scenario};

/// Writes the scenario's setup and sessions. Read again, it gives the same.
pub fn to_toml(scenario: &Scenario) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "# Made from the isolation specification {}.", scenario.name);
    if scenario.deadlock == DeadlockPolicy::Allowed {
        text += "deadlock = \"allowed\"\n";
    }
    if let Some(setup) = &scenario.setup {
        let _ = writeln!(text, "setup = {}", string(&setup.text));
    }
    for session in &scenario.sessions {
        let errors: Vec<String> = session.allow_errors.iter().map(|state| string(state)).collect();
        let _ = writeln!(text, "\n[[session]]\nname = {}", string(&session.name));
        let _ = writeln!(text, "allow_errors = [{}]\nsteps = [", errors.join(", "));
        for step in session.steps.iter() {
            let _ = writeln!(
                text,
                "  {{ name = {}, sql = {} }},",
                string(&step.name),
                string(&step.sql.text)
            );
        }
        text += "]\n";
    }
    text
}

fn string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::isolation::Specification;

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
        let read = Scenario::from_toml("x", "x.toml", &to_toml(&scenario), Path::new("")).unwrap();
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
