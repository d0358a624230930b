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
use crate::run::{AnySession, Judgement, Run, RunError, Session};
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

/// A run, and the part of it that is compared with serial orders, or why it cannot be.
pub(super) type Compared = (Run, Option<Result<CommittedPart, Uncontrolled>>);

impl Workbench {
    /// The part of the last run that is compared with serial orders.
    pub(super) fn committed_part(&self, run: &Run) -> Result<CommittedPart, Uncontrolled> {
        let name = |session: usize| self.template.scenario.sessions[session].name.clone();
        if let Some(session) = self.sessions.iter().position(Session::overlaps_itself) {
            let session = name(session);
            return Err(Uncontrolled::TransactionsOverlap { session });
        }
        let prepares = |turn: &&Turn| turn.statement.kind == StatementKind::PrepareTransaction;
        if let Some(turn) = run.history.turns.iter().find(prepares) {
            let session = name(turn.session);
            return Err(Uncontrolled::TransactionPrepared { session });
        }
        let (mut sessions, _) = parts(self.sessions.len(), &run.history.turns);
        for (part, end) in sessions.iter_mut().zip(self.program_ends()) {
            part.end = end;
        }
        Ok(CommittedPart {
            sessions,
            tables: run.outcome.tables.clone(),
        })
    }

    /// Adds what serial orders say of a run.
    pub(super) async fn compare_with_serial_orders(&mut self, (mut run, part): Compared) -> Result<Run, RunError> {
        let template = self.template.clone();
        let judged = match (&template.serial, part) {
            (Some(serial), Some(Ok(part))) => serial.judge(&part, self).await?,
            (Some(_), Some(Err(doubt))) => Judgement {
                violation: None,
                doubts: vec![doubt],
            },
            _ => return Ok(run),
        };
        run.violations.extend(judged.violation);
        for doubt in judged.doubts {
            if !run.uncontrolled.contains(&doubt) {
                run.uncontrolled.push(doubt);
            }
        }
        Ok(run)
    }

    /// Runs a serial order, from what was learned of the programs as far as that is enough.
    pub(in crate::run) async fn run_serially<'a>(
        &mut self,
        order: impl Fn() -> SerialOrder<'a>,
    ) -> Result<SerialRun, RunError> {
        if self.may_recall() {
            match self.run_serially_on(true, order()).await {
                Err(RunError::NotLearned) => self.leave_recalled(),
                result => return result,
            }
        }
        self.run_serially_on(false, order()).await
    }

    async fn run_serially_on(&mut self, recalled: bool, mut order: SerialOrder<'_>) -> Result<SerialRun, RunError> {
        self.begin_on(recalled).await?;
        let run = self.run_serially_begun(&mut order).await;
        self.end_on(recalled);
        run
    }

    async fn run_serially_begun(&mut self, order: &mut SerialOrder<'_>) -> Result<SerialRun, RunError> {
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
        let overlapping = self.sessions.iter().find(|session| session.overlaps_itself());
        let overlap = overlapping.map(|session| Uncontrolled::TransactionsOverlap {
            session: session.name().to_owned(),
        });
        let uncontrolled = execution.uncontrolled.iter().chain(of_sessions).chain(&overlap);
        let uncontrolled = uncontrolled.cloned().collect();
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
                answer: end.answer.map(|answer| {
                    answer.map(|answer| Answer {
                        body: mask(&answer.body),
                        ..answer
                    })
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
