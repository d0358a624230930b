//! Follows a session's transactions through its steps.
//!
//! A step with a condition may or may not run, so a transaction can be open, closed, or either. Only what is wrong
//! however the conditions turn out is a mistake.

use crate::scenario::Step;
use crate::scenario::error::{Mistake, ScenarioError};
use crate::sql::StatementKind;
use crate::sql::classify::needs_block;

/// Which states a transaction can be in.
#[derive(Clone, Copy)]
struct Possible {
    open: bool,
    closed: bool,
}

pub(crate) fn check(session: &str, steps: &[Step]) -> Result<(), ScenarioError> {
    let mut possible = Possible {
        open: false,
        closed: true,
    };
    let mut opened_by = None;
    for step in steps {
        let what = || format!("step `{}` of session `{session}`", step.name);
        let wrong = |mistake| ScenarioError::new(mistake).at_sql(&step.sql, step.sql.first_line(), "here");
        let begun = |error: ScenarioError| match opened_by {
            Some(opener) => labelled(error, opener, "begun here"),
            None => error,
        };
        let closes = match step.statement.kind {
            StatementKind::Begin => {
                if !possible.closed {
                    let error = wrong(Mistake::NestedBegin(what()));
                    return Err(begun(error).hint("end the first transaction before it, or use SAVEPOINT"));
                }
                opened_by = Some(step);
                Some(false)
            }
            StatementKind::Commit { chain } | StatementKind::Rollback { chain } => Some(!chain),
            StatementKind::PrepareTransaction => Some(true),
            StatementKind::OutsideBlock if !possible.closed => {
                return Err(begun(wrong(Mistake::RefusedInTransaction(what()))).hint("move it out of the transaction"));
            }
            _ if !possible.open && needs_block(&step.sql.text) => {
                return Err(wrong(Mistake::NeedsTransaction(what())).hint("begin a transaction before it with BEGIN"));
            }
            _ => None,
        };
        let Some(closes) = closes else { continue };
        if step.statement.kind != StatementKind::Begin && !possible.open && step.when.is_none() {
            let hint = "begin the transaction with BEGIN; a statement outside one commits by itself";
            return Err(wrong(Mistake::NoTransaction(what())).hint(hint));
        }
        possible = Possible {
            open: !closes || (step.when.is_some() && possible.open),
            closed: closes || (step.when.is_some() && possible.closed),
        };
    }
    match opened_by {
        Some(opener) if !possible.closed => {
            let error = ScenarioError::new(Mistake::OpenAtEnd(session.to_owned()));
            Err(labelled(error, opener, "begun here").hint("end it with COMMIT or ROLLBACK"))
        }
        _ => Ok(()),
    }
}

fn labelled(error: ScenarioError, step: &Step, label: &str) -> ScenarioError {
    error.at_sql(&step.sql, step.sql.first_line(), label)
}
