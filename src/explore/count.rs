//! How many interleavings there are.

use num_bigint::BigUint;

use crate::scenario::{Scenario, Session};
use crate::sql::StatementKind;
use crate::sql::lexer::{TokenKind, tokens};

/// What a program is assumed to take, since it does not say. Samples are drawn with it.
const TURNS_OF_PROGRAM: u32 = 12;

/// The turns that a session takes if each of its steps runs once: a BEGIN shares the turn of the statement after it,
/// and the commit of an autocommitted statement has its own. So has the end of a connection with advisory locks.
pub fn turns(session: &Session) -> u32 {
    if session.program.is_some() {
        return TURNS_OF_PROGRAM;
    }
    let mut in_transaction = false;
    let mut turns = 0;
    for step in session.steps.iter() {
        match step.statement.kind {
            StatementKind::Begin if !in_transaction => {
                in_transaction = true;
                turns += u32::from(session.begins_apart);
            }
            StatementKind::Commit { chain } | StatementKind::Rollback { chain } => {
                in_transaction = chain;
                turns += 1;
            }
            StatementKind::PrepareTransaction => {
                in_transaction = false;
                turns += 1;
            }
            StatementKind::Plain if !in_transaction => turns += 2,
            _ => turns += 1,
        }
    }
    turns + u32::from(keeps_advisory_locks(session))
}

/// Whether a session, judging by its steps, ends with advisory locks that outlive transactions, so that the end of its
/// connection is a turn.
fn keeps_advisory_locks(session: &Session) -> bool {
    let (mut locks, mut unlocks) = (0, 0);
    for step in session.steps.iter() {
        for token in tokens(&step.sql.text).filter(|token| token.kind == TokenKind::Word) {
            let word = token.text.to_ascii_lowercase();
            match word.as_str() {
                "pg_advisory_unlock_all" => (locks, unlocks) = (0, 0),
                _ if word.starts_with("pg_advisory_unlock") => unlocks += 1,
                _ if word.starts_with("pg_advisory_lock") || word.starts_with("pg_try_advisory_lock") => locks += 1,
                _ => {}
            }
        }
    }
    locks > unlocks
}

/// The number of orders of all sessions' turns that keep each session's own order: the multinomial coefficient.
pub fn interleavings(scenario: &Scenario) -> BigUint {
    let mut placed = 0u32;
    let mut count = BigUint::from(1u32);
    for session in &scenario.sessions {
        for own in 1..=turns(session) {
            placed += 1;
            // exact at every step: the product so far is a binomial coefficient times what came before
            count = count * placed / own;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn count(sessions: &str) -> BigUint {
        interleavings(&Scenario::from_toml("test", "test.toml", sessions, Path::new(".")).unwrap())
    }

    #[test]
    fn counts_are_multinomials_of_the_turns() {
        let two_by_three = r#"
            [[session]]
            name = "worker"
            copies = 2
            steps = ["BEGIN", "SELECT 1", "SELECT 2", "COMMIT"]
        "#;
        assert_eq!(count(two_by_three), BigUint::from(20u32));
        let three_by_four = r#"
            [[session]]
            name = "worker"
            copies = 3
            steps = ["SELECT 1", "SELECT 2"]
        "#;
        assert_eq!(count(three_by_four), BigUint::from(34_650u32));
    }

    #[test]
    fn the_end_of_a_connection_with_advisory_locks_counts() {
        let session = |name: &str, steps: &str| format!("[[session]]\nname = \"{name}\"\nsteps = [{steps}]\n");
        let keeps = r#""BEGIN", "SELECT pg_advisory_lock(1)", "COMMIT""#;
        let gives_back = r#""BEGIN", "SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)", "COMMIT""#;
        let of_transaction = r#""BEGIN", "SELECT pg_advisory_xact_lock(1)", "COMMIT""#;
        for (steps, turns) in [(keeps, 3u32), (gives_back, 3), (of_transaction, 2)] {
            let both = session("a", steps) + &session("b", r#""BEGIN", "SELECT 1", "ROLLBACK""#);
            let expected = BigUint::from((turns + 1) * (turns + 2) / 2);
            assert_eq!(count(&both), expected, "{steps}");
        }
    }

    #[test]
    fn large_counts_are_exact() {
        let ten_by_four = r#"
            [[session]]
            name = "worker"
            copies = 10
            steps = ["SELECT 1", "SELECT 2"]
        "#;
        // 40! / 4!^10
        assert_eq!(
            count(ten_by_four).to_string(),
            "12868639981414579848070084500000000".to_string()
        );
    }
}
