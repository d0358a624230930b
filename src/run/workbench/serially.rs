//! Runs a serial order, and reads what it has left behind after each transaction.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::contents::Contents;
use super::{OWN_WORK_LIMIT, Template, Workbench};
use crate::history::{Answer, Turn, Uncontrolled};
use crate::postgres::wire::Connection;
use crate::run::serial::{Boundary, SerialOrder, SerialRun, parts};
use crate::run::watch::Watch;
use crate::run::{AnySession, Run, RunError, SerialOracle, Session};
use crate::scenario::Symmetry;
use crate::sql::StatementKind;
use crate::verdict::outcome::TableContent;
use crate::verdict::serializability::{CommittedPart, ProgramEnd};

/// The content of the tables after the transactions of a run.
pub struct CommittedTables {
    template: Arc<Template>,
    limit: Duration,
    /// From so many turns on.
    after: Vec<(usize, Vec<TableContent>)>,
}

impl CommittedTables {
    /// Reads the tables, after so many turns.
    pub async fn look(&mut self, control: &mut Connection, turns: usize) -> Result<(), RunError> {
        let reading = Contents::read(control, &self.template);
        let tables = timeout(self.limit, reading)
            .await
            .map_err(|_| RunError::TakesTooLong {
                doing: "reading the tables after a transaction",
                limit: self.limit,
            })??;
        self.after.push((turns, tables));
        Ok(())
    }
}

impl Workbench {
    /// Adds what serial orders say of a run, the last one of this workbench.
    pub(super) async fn compare_with_serial_orders(
        &mut self,
        run: &mut Run,
        serial: &SerialOracle,
    ) -> Result<(), RunError> {
        let names = self.session_names();
        let overlap = self.sessions.iter().position(Session::overlaps_itself);
        if let Some(session) = overlap {
            let session = names[session].clone();
            run.uncontrolled.push(Uncontrolled::TransactionsOverlap { session });
            return Ok(());
        }
        let prepares = |turn: &&Turn| turn.statement.kind == StatementKind::PrepareTransaction;
        if let Some(turn) = run.history.turns.iter().find(prepares) {
            let session = names[turn.session].clone();
            run.uncontrolled.push(Uncontrolled::TransactionPrepared { session });
            return Ok(());
        }
        let (mut sessions, _) = parts(names.len(), &run.history.turns);
        for (part, end) in sessions.iter_mut().zip(self.program_ends()) {
            part.end = end;
        }
        let part = CommittedPart {
            sessions,
            tables: run.outcome.tables.clone(),
        };
        let judged = serial.judge(&part, self).await?;
        run.violations.extend(judged.violation);
        for doubt in judged.doubts {
            if !run.uncontrolled.contains(&doubt) {
                run.uncontrolled.push(doubt);
            }
        }
        Ok(())
    }

    /// Runs a serial order.
    pub(in crate::run) async fn run_serially(&mut self, order: &mut SerialOrder<'_>) -> Result<SerialRun, RunError> {
        self.within_limit("coming back to the state after setup", Self::begin)
            .await?;
        let mut tables = CommittedTables {
            template: self.template.clone(),
            limit: OWN_WORK_LIMIT.max(self.limits.step_timeout),
            after: Vec::new(),
        };
        tables.look(&mut self.control, 0).await?;
        let execution = self.execute(order, Watch::Tables(&mut tables)).await?;
        if self.is_looked_at() {
            self.refuse_changes().await?;
        }
        let mut boundaries = std::mem::take(&mut order.boundaries);
        let is_open = boundaries.last().is_none_or(|last| last.chosen.is_some());
        if is_open && !order.is_blocked {
            boundaries.push(Boundary {
                turns: execution.turns.len(),
                ready: Vec::new(),
                chosen: None,
            });
        }
        let of_sessions = self.sessions.iter().flat_map(|session| session.uncontrolled());
        let uncontrolled = execution.uncontrolled.iter().chain(of_sessions).cloned().collect();
        Ok(SerialRun {
            turns: execution.turns,
            boundaries,
            tables: tables.after,
            ends: self.program_ends(),
            uncontrolled,
        })
    }

    /// By session: how its program ended; `None` where it is none, or has not ended.
    pub(super) fn program_ends(&self) -> Vec<Option<ProgramEnd>> {
        let mask = |text: &str| self.template.volatile.mask(text).into_owned();
        let end = |session: &AnySession| {
            let end = session.end();
            let has_ended = end.exit.is_some() || end.answer.is_some();
            has_ended.then(|| ProgramEnd {
                exit: end.exit,
                answer: end.answer.map(|answer| Answer {
                    body: mask(&answer.body),
                    ..answer
                }),
                stdout: session.output().map(|output| mask(&output.stdout)),
            })
        };
        self.sessions.iter().map(end).collect()
    }

    pub(in crate::run) fn session_names(&self) -> Vec<String> {
        let sessions = self.template.scenario.sessions.iter();
        sessions.map(|session| session.name.clone()).collect()
    }

    /// What is left of a symmetry after all that programs were seen to do.
    pub(in crate::run) fn symmetry(&self, of_steps: &Symmetry) -> Symmetry {
        let observed = self.template.observed();
        match observed.is_some_and(|observed| observed.knowledge().shows_names) {
            true => of_steps.broken(),
            false => of_steps.clone(),
        }
    }
}
