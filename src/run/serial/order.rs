//! Runs one serial order.

use super::guide::{Guide, Standing};
use crate::history::{Origin, SoFar, Turn, TxEnd};
use crate::run::scheduler::{Candidate, Scheduler};
use crate::verdict::serializability::SessionPart;

/// A moment at which no transaction is open.
#[derive(Debug, Clone)]
pub struct Boundary {
    /// How many turns come before it.
    pub turns: usize,
    /// Sessions that have a next transaction.
    pub ready: Vec<usize>,
    /// The session whose transaction comes next; `None` where the order ends.
    pub chosen: Option<usize>,
}

/// Keeps a session running until its transaction ends. Where one ends, the next session is that of the given path, and
/// beyond the path the guide's first choice.
pub struct SerialOrder<'a> {
    /// By session: it is a program.
    programs: &'a [bool],
    path: Vec<usize>,
    guide: &'a dyn Guide,
    pub boundaries: Vec<Boundary>,
    current: Option<usize>,
    /// A transaction waited for something that another session holds beyond its own transaction, or that it is to do: this
    /// is not a serial order, and only runs to its end.
    pub is_blocked: bool,
}

impl<'a> SerialOrder<'a> {
    pub fn new(programs: &'a [bool], path: Vec<usize>, guide: &'a dyn Guide) -> SerialOrder<'a> {
        SerialOrder {
            programs,
            path,
            guide,
            boundaries: Vec::new(),
            current: None,
            is_blocked: false,
        }
    }
}

/// Whether a session's transaction is over with its last turn. After the error of a script the server may have to be told
/// to roll back, or the transaction is run again.
pub fn ends_transaction(turn: &Turn, is_program: bool) -> bool {
    match turn.tx.end {
        Some(TxEnd::Failed) => is_program,
        Some(TxEnd::Committed | TxEnd::RolledBack) => true,
        None => false,
    }
}

/// What the sessions have done in these turns, and which of them have sent something.
pub fn parts(sessions: usize, turns: &[Turn]) -> (Vec<SessionPart>, Vec<bool>) {
    let own = |session: usize| turns.iter().filter(move |turn| turn.session == session);
    let parts = (0..sessions).map(|session| SessionPart::of(own(session))).collect();
    let begun = (0..sessions).map(|session| own(session).next().is_some()).collect();
    (parts, begun)
}

impl Scheduler for SerialOrder<'_> {
    fn is_over(&mut self, SoFar { turns, .. }: SoFar<'_>, ready: &[usize]) -> bool {
        self.is_blocked |= turns
            .iter()
            .any(|turn| !turn.waits.is_empty() || turn.finished_in == Turn::IN_FLIGHT);
        if self.is_blocked {
            return false;
        }
        let last = turns.last();
        if self.current.is_some() && last.is_some_and(|turn| matches!(turn.origin, Origin::Disconnect(_))) {
            return false;
        }
        if let (Some(session), Some(turn)) = (self.current, last)
            && turn.session == session
            && !ends_transaction(turn, self.programs[session])
        {
            if ready.contains(&session) {
                return false;
            }
            // an error has ended a script; a program waits for what only another session can give it
            if turn.tx.end.is_none() {
                self.is_blocked = true;
                return false;
            }
        }
        let (sessions, begun) = parts(self.programs.len(), turns);
        let standing = Standing {
            sessions: &sessions,
            ready,
            begun: &begun,
        };
        let depth = self.boundaries.len();
        let chosen = match self.path.get(depth) {
            Some(session) => ready.contains(session).then_some(*session),
            None if depth < self.guide.longest() => self.guide.choices(standing).first().copied(),
            None => None,
        };
        self.boundaries.push(Boundary {
            turns: turns.len(),
            ready: ready.to_vec(),
            chosen,
        });
        self.current = chosen;
        chosen.is_none()
    }

    fn choose(&mut self, _so_far: SoFar<'_>, ready: &[Candidate<'_>]) -> usize {
        // a connection that only has to be closed is not a transaction, and is closed at once
        let ends = |candidate: &&Candidate<'_>| matches!(candidate.step.origin, Origin::Disconnect(_));
        if let Some(ending) = ready.iter().find(ends) {
            return ending.session;
        }
        match self
            .current
            .filter(|session| ready.iter().any(|candidate| candidate.session == *session))
        {
            Some(session) => session,
            None => ready[0].session,
        }
    }
}
