//! What a step has come to, and what the client hears of it.

use super::host::Host;
use super::link::Link;
use super::schedulable::commands;
use super::told::Told;
use super::transcript::Exchange;
use super::{Attached, Held, hash};
use crate::history::{Origin, StepError, StepOutcome, StepResult, TxEnd};
use crate::postgres::wire::TransactionStatus;
use crate::proxy::{RequestEnd, readable};
use crate::run::RunError;
use crate::run::driver::{Action, deadlocked_backends};
use crate::run::script::step_error;
use crate::run::session::Finished;
use crate::sql::StatementKind;

impl Attached {
    /// The step under way is over.
    pub(super) fn take_in(&mut self, host: &mut Host, held: Held, told: Told) -> Finished {
        self.learn_told(&told);
        let mut exchange = Exchange::turn(&host.links[held.link], &held, &told);
        let Held {
            link: index,
            action,
            pending,
            request,
            ..
        } = held;
        let link = &mut host.links[index];
        link.fresh = false;
        let request_end = request.as_ref().map(|(_, end)| *end);
        if let Some((request, end)) = &request {
            link.note_commands(&commands(request), &told, *end);
        }
        let kind = pending.statement.kind;
        let isolation = link
            .level
            .take_in(pending.begin.as_deref(), pending.origin, kind, &pending.statement.sql);
        exchange.isolation = pending.opens.then_some(isolation);
        self.transcript.push(exchange);
        if kind == StatementKind::RollbackTo && told.error.is_none() {
            link.checks.forget();
        }
        let tag = told.results.last().map(|result| result.tag.clone());
        let status = link.status();
        let chains = told.error.is_none() && kind.chains() && status == TransactionStatus::Open;
        let ended = chains || (status == TransactionStatus::Idle && action != Action::Autocommitted);
        let end = match (&told.error, action) {
            (_, Action::Disconnect) => None,
            // what came before the savepoint still stands
            (Some(_), _) if status == TransactionStatus::Aborted && link.savepoint_open => None,
            (Some(_), _) => Some(TxEnd::Failed),
            (None, _) if ended => Some(match (action, tag.as_deref()) {
                (Action::Rollback, _) | (_, Some("ROLLBACK")) => TxEnd::RolledBack,
                _ => TxEnd::Committed,
            }),
            (None, _) => None,
        };
        if status == TransactionStatus::Idle {
            link.end_transaction();
        } else if chains {
            link.begin_chained();
        }
        let has_open = |(other, link): (usize, &Link)| {
            other != index && self.owns(host, other) && link.status() != TransactionStatus::Idle && !link.fresh
        };
        let overlaps = end.is_some() && host.open_links().any(has_open);
        self.overlaps_itself |= overlaps;
        let link = &mut host.links[index];
        let deadlock = told.error.as_deref().map(deadlocked_backends).unwrap_or_default();
        match (action, &told.error) {
            (Action::Autocommitted, None) if request_end == Some(RequestEnd::Flush) => {}
            (Action::Autocommitted, None) => {
                let name = format!("commit of {}", pending.name);
                let origin = Origin::Autocommit(pending.origin.step());
                self.hold_own(host, index, Action::Commit, origin, name, "COMMIT");
                // the client's own request is told how it ended
                if let Some(held) = &mut self.held {
                    held.request = request.clone();
                }
            }
            (Action::Commit, None) => link.withhold_ready(b'I'),
            (Action::Commit, Some(_)) => {
                let frames: Vec<_> = told.error_frame.iter().cloned().collect();
                link.withhold_error(&frames, request_end.unwrap_or(RequestEnd::Sync));
                link.withhold_ready(b'I');
            }
            _ => {}
        }
        // rows whose columns nobody has asked for are not shown, but the program reads them
        let unnamed = told.results.last().filter(|result| result.columns.is_none());
        let unnamed = hash(unnamed.map(|result| &result.rows));
        let result = match &told.error {
            Some(error) => {
                let error = step_error(error);
                let message = self.volatile.mask(&error.message).into_owned();
                StepResult::Error(StepError { message, ..error })
            }
            None if action == Action::Disconnect => StepResult::Done {
                tag: "DISCONNECT".to_owned(),
            },
            None => self.step_result(told, pending.statement.ordered),
        };
        self.path = hash((self.path, format!("{result:?}"), unnamed));
        self.results.push(StepOutcome {
            origin: pending.origin,
            end,
            result: result.clone(),
        });
        Finished {
            result,
            isolation,
            end,
            deadlock,
        }
    }

    fn step_result(&self, told: Told, ordered: bool) -> StepResult {
        let Some(result) = told.results.into_iter().last() else {
            return StepResult::Done { tag: String::new() };
        };
        let Some(columns) = result.columns else {
            return StepResult::Done { tag: result.tag };
        };
        let row = |row: &Vec<Option<bytes::Bytes>>| {
            let cells = columns.iter().zip(row).map(|(column, value)| {
                let type_oid = column.column.type_oid;
                let text = value.as_ref().map(|bytes| readable(type_oid, column.binary, bytes));
                self.volatile.show(&column.column, &text)
            });
            cells.collect::<Vec<_>>()
        };
        let rows = result.rows.iter().map(row).collect();
        let columns = columns.iter().map(|column| column.column.name.clone()).collect();
        StepResult::of_rows(columns, rows, ordered, result.tag)
    }

    /// Ends what an error has left of an autocommitted statement, which has released everything.
    pub(super) async fn roll_back_failed(&mut self, host: &mut Host) -> Result<(), RunError> {
        let index = self.current;
        if index >= host.links.len() {
            return Ok(());
        }
        self.run_own(host, index, "ROLLBACK").await?;
        let link = &mut host.links[index];
        link.end_transaction();
        link.withhold_ready(b'I');
        Ok(())
    }
}
