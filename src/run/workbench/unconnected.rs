//! Programs that have connected in no run, perhaps because they use another address: a search has shown nothing of them.

use std::collections::BTreeSet;

use crate::history::Uncontrolled;
use crate::scenario::{Scenario, Session, SessionProgram};

/// What is to be said of the programs and services of a scenario, given those that have connected. Closures are given the
/// address itself, and copies need not all connect.
pub(super) fn unconnected(scenario: &Scenario, connected: &BTreeSet<String>) -> Vec<Uncontrolled> {
    let has_copy = |entry: usize| {
        let mut copies = scenario.sessions.iter().filter(|session| session.entry == entry);
        copies.any(|copy| connected.contains(copy.program_name()))
    };
    let has_instance = |service: &str| {
        let mut instances = connected.iter().filter_map(|name| name.strip_prefix(service));
        instances.any(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let missing = |session: &Session| match session.program.as_deref() {
        Some(SessionProgram::Command(_)) if !has_copy(session.entry) => {
            Some(format!("the program of session {}", session.entry_name()))
        }
        Some(SessionProgram::Request(request)) if !has_instance(&request.service) => {
            Some(format!("service {}", request.service))
        }
        _ => None,
    };
    let programs: BTreeSet<String> = scenario.sessions.iter().filter_map(missing).collect();
    let never = programs
        .into_iter()
        .map(|program| Uncontrolled::NeverConnected { program });
    never.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn one_copy_or_instance_is_enough() {
        let text = r#"
            [[service]]
            name = "shop"
            instances = 2
            command = ["shop"]
            [[session]]
            name = "import"
            copies = 2
            command = ["import"]
            [[session]]
            name = "order"
            request = { service = "shop", path = "/" }
            [[session]]
            name = "look"
            steps = ["SELECT 1"]
        "#;
        let scenario = Scenario::from_toml("test", "test.toml", text, Path::new(".")).unwrap();
        let said = |connected: &[&str]| {
            let connected = connected.iter().map(|name| (*name).to_owned()).collect();
            let missing = unconnected(&scenario, &connected);
            missing.iter().map(|one| one.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(said(&["import-2", "shop-1"]), Vec::<String>::new());
        assert_eq!(said(&["shop", "import-1"]), Vec::<String>::new());
        let found = said(&["shopping", "look"]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("service shop connected") && found[1].contains("session import connected"));
    }
}
