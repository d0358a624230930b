//! The serial orders of a scenario's transactions: the outcomes that a serializable scenario may have.

use std::collections::{BTreeMap, BTreeSet};

use num_bigint::BigUint;
use tokio::sync::Mutex;

use super::scheduler::{Candidate, Scheduler};
use super::{RunError, Workbench};
use crate::history::{Origin, SoFar, Turn, TxEnd};
use crate::scenario::{Scenario, Session, Symmetry};
use crate::sql::StatementKind;
use crate::verdict::outcome::Violation;
use crate::verdict::serializability::{CommittedPart, SerialRun, not_serializable};

/// The most serial orders that are run for one set of transactions: seven transactions of different sessions in every
/// order.
const MOST_ORDERS: usize = 5_040;

/// Why outcomes cannot be compared with those of serial orders.
#[derive(Debug, thiserror::Error)]
pub enum SerialError {
    #[error(
        "`serializable`: the transactions of this scenario have {} serial orders, and at most {MOST_ORDERS} are run; \
         take fewer sessions or transactions (copies without parameters of their own count as one order)",
        at_least.as_ref().map_or_else(|| format!("more than {MOST_ORDERS}"), |count| format!("at least {count}"))
    )]
    TooMany { at_least: Option<BigUint> },
    #[error(
        "`serializable`: session {session}, step {step}: a prepared transaction is ended apart from its session, and \
         has no place in a serial order"
    )]
    PreparedTransaction { session: String, step: String },
}

/// Knows the outcomes of serial orders. Those of all transactions are run first; those of some of the transactions (for
/// runs in which others failed or were rolled back) on demand.
#[derive(Debug)]
pub struct SerialOracle {
    symmetry: Symmetry,
    known: Mutex<Known>,
}

/// How many transactions of each session are run; `None` for all transactions.
type Counts = Option<Vec<usize>>;

#[derive(Debug, Default)]
struct Known {
    /// Digests of what serial orders lead to.
    outcomes: BTreeSet<String>,
    orders: BTreeMap<Counts, Vec<SerialRun>>,
    /// The most transactions that each session ran up to its last committed one, without a limit.
    most: Vec<usize>,
}

impl SerialOracle {
    /// # Errors
    /// When the transactions cannot be put in serial orders, or there are too many orders.
    pub fn new(scenario: &Scenario) -> Result<SerialOracle, SerialError> {
        for session in &scenario.sessions {
            let prepares = |step: &&crate::scenario::Step| step.statement.kind == StatementKind::PrepareTransaction;
            if let Some(step) = session.steps.iter().find(prepares) {
                return Err(SerialError::PreparedTransaction {
                    session: session.name.clone(),
                    step: step.name.clone(),
                });
            }
        }
        let symmetry = Symmetry::of_steps(scenario);
        let at_least = orders_at_least(scenario, &symmetry);
        if at_least > BigUint::from(MOST_ORDERS) {
            return Err(SerialError::TooMany {
                at_least: Some(at_least),
            });
        }
        Ok(SerialOracle {
            symmetry,
            known: Mutex::default(),
        })
    }

    pub fn symmetry(&self) -> &Symmetry {
        &self.symmetry
    }

    /// Runs the serial orders of all transactions on `workbench`, unless that has been done.
    ///
    /// # Errors
    /// As [`Workbench::run`], and when there are too many orders.
    pub async fn prepare(&self, workbench: &mut Workbench) -> Result<(), RunError> {
        let mut known = self.known.lock().await;
        self.run_orders(&mut known, None, workbench).await
    }

    /// Compares a run with the serial orders of the transactions that committed in it; those not yet run are run on
    /// `workbench`. Returns what is wrong.
    ///
    /// # Errors
    /// As [`SerialOracle::prepare`].
    pub async fn judge(&self, part: &CommittedPart, workbench: &mut Workbench) -> Result<Option<Violation>, RunError> {
        let mut known = self.known.lock().await;
        self.run_orders(&mut known, None, workbench).await?;
        if known.outcomes.contains(&part.digest) {
            return Ok(None);
        }
        let all = part.transactions.iter().zip(&known.most).all(|(ran, most)| ran >= most);
        let limits = (!all).then(|| part.transactions.clone());
        self.run_orders(&mut known, limits.clone(), workbench).await?;
        if known.outcomes.contains(&part.digest) {
            return Ok(None);
        }
        let orders = known.orders.get(&limits).map_or(&[] as &[SerialRun], Vec::as_slice);
        Ok(Some(not_serializable(workbench.scenario(), part, orders)))
    }

    async fn run_orders(&self, known: &mut Known, limits: Counts, workbench: &mut Workbench) -> Result<(), RunError> {
        if known.orders.contains_key(&limits) {
            return Ok(());
        }
        let scenario = workbench.scenario().clone();
        let mut runs = Vec::new();
        let mut choices = Vec::new();
        let mut count = 0;
        loop {
            let mut order = SerialOrder::new(scenario.sessions.len(), &self.symmetry, limits.as_deref(), choices);
            let part = workbench.run_serially(&mut order).await?;
            if !order.blocked {
                runs.push(SerialRun {
                    order: order.transactions.clone(),
                    part,
                });
            }
            count += 1;
            choices = order.choices;
            while choices
                .pop_if(|choice| choice.chosen + 1 == choice.ready.len())
                .is_some()
            {}
            let Some(last) = choices.last_mut() else { break };
            last.chosen += 1;
            if count == MOST_ORDERS {
                return Err(SerialError::TooMany { at_least: None }.into());
            }
        }
        if limits.is_none() {
            known.most = (0..scenario.sessions.len())
                .map(|session| runs.iter().map(|run| run.part.transactions[session]).max().unwrap_or(0))
                .collect();
        }
        known.outcomes.extend(runs.iter().map(|run| run.part.digest.clone()));
        known.orders.insert(limits, runs);
        Ok(())
    }
}

/// Which transaction comes next.
struct Choice {
    ready: Vec<usize>,
    /// Index in `ready`.
    chosen: usize,
}

/// Keeps a session running until its transaction ends. Where transactions end, it makes the given choices, and after
/// those takes the first session each time.
struct SerialOrder<'a> {
    symmetry: &'a Symmetry,
    limits: Option<&'a [usize]>,
    choices: Vec<Choice>,
    /// Transactions begun, by session.
    transactions: Vec<usize>,
    /// Transactions ended, by session.
    ended: Vec<usize>,
    current: Option<usize>,
    /// A transaction waited for something that another session holds beyond its own transaction: this is not a serial
    /// order, and only runs to its end.
    blocked: bool,
}

impl<'a> SerialOrder<'a> {
    fn new(
        sessions: usize,
        symmetry: &'a Symmetry,
        limits: Option<&'a [usize]>,
        choices: Vec<Choice>,
    ) -> SerialOrder<'a> {
        SerialOrder {
            symmetry,
            limits,
            choices,
            transactions: Vec::new(),
            ended: vec![0; sessions],
            current: None,
            blocked: false,
        }
    }

    fn limit(&self, session: usize) -> usize {
        self.limits.map_or(usize::MAX, |limits| limits[session])
    }

    /// Whether the current session's transaction continues after its last turn.
    fn continues(&mut self, session: usize, turn: &Turn, ready: &[usize]) -> bool {
        let failed = turn.tx.end == Some(TxEnd::Failed) || matches!(turn.origin, Origin::Rollback(_));
        if turn.tx.end.is_some() && !failed {
            self.ended[session] += 1;
            return false;
        }
        // after an error, an enabled session runs its transaction again
        ready.contains(&session)
    }

    /// The sessions whose next transaction may come next.
    fn eligible(&self, turns: &[Turn], ready: &[usize]) -> Vec<usize> {
        let has_begun = |session: usize| turns.iter().any(|turn| turn.session == session);
        ready
            .iter()
            .copied()
            .filter(|&session| self.ended[session] < self.limit(session))
            .filter(|&session| {
                let alike = self.symmetry.stand_in(session, |other| {
                    has_begun(other) || self.limit(other) != self.limit(session)
                });
                alike == session
            })
            .collect()
    }
}

impl Scheduler for SerialOrder<'_> {
    fn is_over(&mut self, SoFar { turns, .. }: SoFar<'_>, ready: &[usize]) -> bool {
        self.blocked |= turns
            .iter()
            .any(|turn| !turn.waits.is_empty() || turn.finished_in == Turn::IN_FLIGHT);
        if self.blocked {
            return false;
        }
        let last = turns.last();
        if self.current.is_some() && last.is_some_and(|turn| matches!(turn.origin, Origin::Disconnect(_))) {
            return false;
        }
        if let (Some(session), Some(turn)) = (self.current, last)
            && self.continues(session, turn, ready)
        {
            return false;
        }
        let eligible = self.eligible(turns, ready);
        let depth = self.transactions.len();
        let chosen = match self.choices.get(depth) {
            Some(choice) => eligible.get(choice.chosen).or(eligible.first()).copied(),
            None => {
                if !eligible.is_empty() {
                    self.choices.push(Choice {
                        ready: eligible.clone(),
                        chosen: 0,
                    });
                }
                eligible.first().copied()
            }
        };
        self.transactions.extend(chosen);
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

/// A lower bound on the number of serial orders, from the file alone: steps with a condition may or may not run.
fn orders_at_least(scenario: &Scenario, symmetry: &Symmetry) -> BigUint {
    let transactions: Vec<u32> = scenario.sessions.iter().map(transactions_at_least).collect();
    let mut placed = 0u32;
    let mut count = BigUint::from(1u32);
    for &of_session in &transactions {
        for own in 1..=of_session {
            placed += 1;
            count = count * placed / own;
        }
    }
    for group in symmetry.groups() {
        let begun = group.iter().filter(|&&session| transactions[session] > 0).count();
        count /= (1..=begun).product::<usize>().max(1);
    }
    count
}

fn transactions_at_least(session: &Session) -> u32 {
    let mut in_transaction = false;
    let mut surely = false;
    let mut count = 0;
    for step in session.steps.iter() {
        match step.statement.kind {
            StatementKind::Begin => (in_transaction, surely) = (true, step.when.is_none()),
            StatementKind::Commit { chain } | StatementKind::Rollback { chain } if in_transaction => {
                in_transaction = chain;
                count += u32::from(surely);
            }
            StatementKind::Plain | StatementKind::OutsideBlock if !in_transaction && step.when.is_none() => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn count(sessions: &str) -> Result<BigUint, SerialError> {
        let scenario = Scenario::from_toml("test", "test.toml", sessions, Path::new(".")).expect("a right scenario");
        SerialOracle::new(&scenario).map(|oracle| orders_at_least(&scenario, &oracle.symmetry))
    }

    #[test]
    fn orders_keep_each_sessions_own_and_do_not_tell_copies_apart() {
        let two_and_one = r#"
            [[session]]
            name = "a"
            steps = ["BEGIN", "SELECT 1", "SELECT 2", "COMMIT", "SELECT 3"]
            [[session]]
            name = "b"
            steps = ["SELECT 1"]
        "#;
        assert_eq!(count(two_and_one).ok(), Some(BigUint::from(3u32)));
        let copies = "[[session]]\nname = \"a\"\ncopies = 10\nsteps = [\"SELECT 1\"]";
        assert_eq!(count(copies).ok(), Some(BigUint::from(1u32)));
    }

    #[test]
    fn too_many_orders_are_refused_with_their_number() {
        let params: Vec<String> = (0..8).map(|n| format!("{{ n = {n} }}")).collect();
        let sessions = format!(
            "[[session]]\nname = \"a\"\nparams = [{}]\nsteps = [\"SELECT :n\"]",
            params.join(", ")
        );
        let refused = count(&sessions).expect_err("8! orders");
        assert!(
            refused.to_string().contains("at least 40320 serial orders"),
            "{refused}"
        );
    }

    #[test]
    fn prepared_transactions_are_refused() {
        let sessions = "[[session]]\nname = \"a\"\nsteps = [\"BEGIN\", \"PREPARE TRANSACTION 'x'\"]";
        let refused = count(sessions).expect_err("a prepared transaction");
        assert!(matches!(refused, SerialError::PreparedTransaction { .. }), "{refused}");
    }
}
