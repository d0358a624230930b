//! When sessions look for deadlocks, and the settings that make them.

use super::Template;
use crate::conflict::{Object, ProgramStep};
use crate::run::DeadlockCheck;
use crate::scenario::{Scenario, Session};
use crate::sql::StatementKind;

/// Whether a session releases others only as it ends: it is one transaction, and keeps what it locks.
pub(super) fn releases_at_end(template: &Template) -> bool {
    if template.scenario.has_programs() {
        return false;
    }
    let keeps = |step: &ProgramStep| {
        let gives_back = matches!(
            step.kind,
            StatementKind::RollbackTo | StatementKind::PrepareTransaction | StatementKind::OutsideBlock
        );
        let footprint = &step.facts.footprint;
        !gives_back && !footprint.unknown && !footprint.takes(&Object::AdvisoryLocks)
    };
    let mut sessions = template.program.sessions().iter();
    sessions.all(|session| session.is_one_transaction() && session.steps.iter().all(keeps))
}

/// The deadlock check that sessions start with. Two sessions need it only occasionally (see `execute`), and statements
/// outside a block cannot set it for themselves.
pub(super) fn default_check(scenario: &Scenario, closes_no_cycle: bool) -> DeadlockCheck {
    let outside_block = |session: &Session| {
        session
            .steps
            .iter()
            .any(|step| step.statement.kind == StatementKind::OutsideBlock)
    };
    if scenario.sessions.len() <= 2
        && !scenario.has_programs()
        && closes_no_cycle
        && !scenario.sessions.iter().any(outside_block)
    {
        DeadlockCheck::Never
    } else {
        DeadlockCheck::Soon
    }
}

/// With `log_lock_waits`, the server reports when a deadlock check has run; the message goes to the client only.
pub(super) fn check_settings(check: DeadlockCheck) -> [(&'static str, &'static str); 5] {
    let timeout = match check {
        DeadlockCheck::Soon => "1ms",
        DeadlockCheck::Never => "1h",
    };
    [
        ("deadlock_timeout", timeout),
        ("log_lock_waits", "on"),
        ("lc_messages", "C"),
        ("client_min_messages", "log"),
        ("log_min_messages", "fatal"),
    ]
}
