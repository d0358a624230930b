//! Settings with names of the application's own, such as `app.user`.

use crate::scenario::Scenario;
use crate::sql::words::SET_CONFIG;

/// Whether a session may create one, judging by the scenario's SQL (functions of setup included). Such a setting
/// outlives `DISCARD ALL`: it is then empty where it was NULL before it was first set.
pub fn may_be_made(scenario: &Scenario) -> bool {
    let setup = scenario.setup.iter();
    let steps = scenario
        .sessions
        .iter()
        .flat_map(|session| session.steps.iter().map(|step| &step.sql));
    setup.chain(steps).any(|sql| makes_setting(&sql.text))
}

fn makes_setting(sql: &str) -> bool {
    let lower = sql.replace('"', "").to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
        .filter(|word| !word.is_empty())
        .collect();
    words.iter().enumerate().any(|(index, word)| {
        let mut after = words[index + 1..]
            .iter()
            .skip_while(|word| ["session", "local"].contains(*word));
        *word == SET_CONFIG || *word == "set" && after.next().is_some_and(|name| name.contains('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::makes_setting;

    #[test]
    fn settings_with_a_dot_and_those_by_function_are_found() {
        for sql in [
            "SET app.user = '7'",
            "set local \"app\".\"user\" TO 7",
            "SET SESSION app.user = 7",
            "SELECT set_config(:name, 'x', true)",
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql SET app.user = 7 AS ''",
        ] {
            assert!(makes_setting(sql), "{sql}");
        }
        for sql in [
            "SET work_mem = '1.5MB'",
            "UPDATE t SET v = 1.5",
            "SELECT t.v FROM t",
            "SET",
        ] {
            assert!(!makes_setting(sql), "{sql}");
        }
    }
}
