//! Takes in what a program sends: hands it on, or holds it until it is scheduled.

use std::future::poll_fn;
use std::sync::Arc;

use super::host::{Came, Given, Host};
use super::link::{Heard, Link, Sending};
use super::naming::{self, Shown};
use super::schedulable::{self, Treatment, commands, treatment};
use super::told::Told;
use super::transcript::Exchange;
use super::{Attached, Held, Part, messages};
use crate::history::{DISCONNECT, Origin, Statement, Uncontrolled};
use crate::postgres::PostgresError;
use crate::postgres::wire::TransactionStatus;
use crate::process::holds_file_lock;
use crate::proxy::{Request, RequestEnd};
use crate::run::driver::{Action, Sent};
use crate::run::session::Pending;
use crate::run::{Conditions, RunError};
use crate::sql::classify::first_word;
use crate::sql::lexer::significant;
use crate::sql::{Isolation, StatementKind, isolation_named};

/// Which session has sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Mine,
    /// That of this number.
    Of(usize),
    /// This one, or one that waits inside the program.
    Unclear,
    /// None: the service starts.
    Start,
}

impl Attached {
    /// What comes on a connection is the session's whose transaction is open there, or the one's that was released.
    pub(super) fn whose(&self, host: &Host, index: usize) -> Whose {
        let link = &host.links[index];
        match (&self.part, link.owner) {
            (Part::Whole, _) => return Whose::Mine,
            (Part::Connection, Some(owner)) if owner == self.id => return Whose::Mine,
            (Part::Connection, Some(owner)) => return Whose::Of(owner),
            (Part::Connection, None) => return Whose::Unclear,
            (Part::Request(_), _) => {}
        }
        let is_open = link.status() != TransactionStatus::Idle || link.begin.is_some();
        match link.owner.filter(|_| is_open) {
            Some(owner) if owner == self.id => Whose::Mine,
            Some(owner) if host.thinking.contains_key(&owner) => Whose::Of(owner),
            _ if host.others_think(self.id) => Whose::Unclear,
            _ => Whose::Mine,
        }
    }

    /// Every run begins in the same state, so a service that starts may only read.
    async fn refuse_changes_at_start(
        &self,
        host: &Host,
        request: &Request,
        commands: &[(StatementKind, String)],
        conditions: &mut Conditions<'_>,
    ) -> Result<(), RunError> {
        let types = request.statements.first().map_or(&[][..], |asked| &asked.types);
        for (kind, sql) in commands.iter().filter(|(_, sql)| !schedulable::listens(sql)) {
            let only_reads = self.observed.only_reads(*kind, sql, types, conditions).await?;
            if !only_reads {
                return Err(RunError::ChangesAtStart {
                    service: host.name.clone(),
                    sql: sql.clone(),
                });
            }
        }
        Ok(())
    }

    /// Takes in a request: hands it on, or holds it. Returns whether it is held.
    pub(super) async fn take_request(
        &mut self,
        host: &mut Host,
        index: usize,
        mut request: Request,
        end: RequestEnd,
        whose: Whose,
        conditions: &mut Conditions<'_>,
    ) -> Result<bool, RunError> {
        if end == RequestEnd::Flush && request.answers == 0 {
            // all that came before it has been answered
            return Ok(false);
        }
        let link = &mut host.links[index];
        if link.skipping {
            self.learn_nothing();
            if end != RequestEnd::Sync {
                return Ok(false);
            }
            request = Request::sync();
            if link.injected {
                let sending = Sending {
                    keeps_ready: true,
                    ..Sending::default()
                };
                let sent = link.send(&request, RequestEnd::Sync, sending);
                sent.map_err(|error| host.lost("", error))?;
                self.await_told(host, index).await?;
                self.current = index;
                self.roll_back_failed(host).await?;
                host.links[index].release();
                return Ok(false);
            }
        }
        let commands = commands(&request);
        if commands.is_empty() && end == RequestEnd::Sync && link.injected && link.status() == TransactionStatus::Open {
            return self.commit_at_sync(host, index, request).await;
        }
        let is_prelude = match (request.statements.as_slice(), commands.as_slice()) {
            ([asked], [(StatementKind::Plain, sql)]) => self.observed.is_prelude(sql, &asked.types, conditions).await?,
            _ => false,
        };
        if commands
            .iter()
            .any(|(_, sql)| crate::sql::Statement::classify(sql).changes_schema)
            && self.observed.schema_changes()
        {
            self.note(Uncontrolled::PreludeNotScheduled {
                session: self.session.name.clone(),
            });
        }
        let link = &host.links[index];
        let gives_back = schedulable::gives_back(&commands)
            && link.status() == TransactionStatus::Idle
            && link.begin.is_none()
            && !link.listens
            && !conditions.keeps_advisory_locks(link.server.backend_pid()).await?;
        let own = without_begin(&commands);
        if !gives_back && own.len() > 1 && own.iter().any(|(kind, _)| *kind == StatementKind::Plain) {
            self.observed.note(format!(
                "the program of {} sends several statements in one request: they are one step",
                self.session.entry_name()
            ));
        }
        let link = &mut host.links[index];
        link.timed |= commands.iter().any(|(_, sql)| schedulable::may_set_timeout(sql));
        if let Some(level) = link.begin.as_deref().and_then(isolation_named) {
            link.level.of_begin(level);
        }
        let standing = link.standing(&self.observed);
        let treatment = match treatment(&commands, end == RequestEnd::Query, request.prepares, standing) {
            _ if gives_back => Treatment::Pass,
            // in a transaction whose snapshot lasts it may be what takes it
            Treatment::Step | Treatment::Autocommitted
                if is_prelude && standing.isolation == Isolation::ReadCommitted =>
            {
                Treatment::Pass
            }
            other => other,
        };
        if matches!(treatment, Treatment::Step | Treatment::Autocommitted) {
            match whose {
                Whose::Mine => {}
                Whose::Of(id) => {
                    host.links[index].busy = true;
                    host.given.push_back(Given {
                        session: id,
                        link: index,
                        what: Came::Request(request, end),
                    });
                    return Ok(false);
                }
                Whose::Unclear => {
                    host.links[index].busy = true;
                    host.unclear.push((index, request, end));
                    return Ok(false);
                }
                Whose::Start => {
                    self.refuse_changes_at_start(host, &request, &commands, conditions)
                        .await?;
                    self.pass(host, index, request, end, &commands, whose).await?;
                    return Ok(false);
                }
            }
        }
        if treatment != Treatment::Pass {
            for (other, link) in host.links.iter_mut().enumerate() {
                let overlaps = std::mem::take(&mut link.overlaps);
                if other == index && overlaps {
                    self.learn_nothing();
                    self.uncontrolled.push(Uncontrolled::ConcurrentConnections {
                        session: self.session.name.clone(),
                    });
                }
            }
        }
        if !matches!(whose, Whose::Mine | Whose::Start) && !are_skipped(&host.links[index], &commands) {
            self.learn_nothing();
        }
        match treatment {
            Treatment::PutOff => {
                if whose == Whose::Mine {
                    self.learn_begin(host, index, &request, end);
                }
                let link = &mut host.links[index];
                let sql = commands.into_iter().next().map(|(_, sql)| sql).unwrap_or_default();
                link.client
                    .queue_complete(match sql.to_lowercase().starts_with("start") {
                        true => "START TRANSACTION",
                        false => "BEGIN",
                    });
                link.client.queue_ready(b'T');
                link.begin = Some(sql);
                link.savepoint_open = false;
                Ok(false)
            }
            Treatment::Pass => {
                self.pass(host, index, request, end, &commands, whose).await?;
                Ok(false)
            }
            Treatment::Step | Treatment::Autocommitted => {
                let link = &host.links[index];
                // the Sync that ends a transaction of pgbraid's may be that of a request after the first
                let ends_injected = link.injected && end == RequestEnd::Sync;
                let action = match treatment {
                    Treatment::Autocommitted => Action::Autocommitted,
                    _ if ends_injected => Action::Autocommitted,
                    _ => Action::Statement,
                };
                self.hold(host, index, action, (request, end), &commands, conditions)
                    .await?;
                Ok(true)
            }
        }
    }

    /// The Sync has come that commits what requests before it, which ended with a Flush, have done.
    async fn commit_at_sync(&mut self, host: &mut Host, index: usize, request: Request) -> Result<bool, RunError> {
        self.learn_nothing();
        if !request.is_sync() {
            let link = &mut host.links[index];
            let sending = Sending {
                keeps_ready: true,
                ..Sending::default()
            };
            let sent = link.send(&request, RequestEnd::Sync, sending);
            sent.map_err(|error| host.lost("", error))?;
            let told = self.await_told(host, index).await?;
            if told.error.is_some() {
                self.current = index;
                self.roll_back_failed(host).await?;
                host.links[index].release();
                return Ok(false);
            }
        }
        let origin = Origin::Autocommit(self.statements.saturating_sub(1));
        self.hold_own(host, index, Action::Commit, origin, "commit".to_owned(), "COMMIT");
        if let Some(held) = &mut self.held {
            held.request = Some((request, RequestEnd::Sync));
        }
        Ok(true)
    }

    /// Sends a request that meets no other session, and has the client hear the answer.
    async fn pass(
        &mut self,
        host: &mut Host,
        index: usize,
        request: Request,
        end: RequestEnd,
        commands: &[(StatementKind, String)],
        whose: Whose,
    ) -> Result<(), RunError> {
        let link = &mut host.links[index];
        let begin = link.begin.take();
        let is_open = begin.is_some() || link.status() != TransactionStatus::Idle;
        if begin.is_some() {
            link.fresh = true;
            link.begun = begin.clone();
        }
        let sending = Sending {
            ahead: begin.as_deref(),
            check: None,
            keeps_ready: false,
        };
        let sent = link.send(&request, end, sending);
        sent.map_err(|error| host.lost("", error))?;
        let told = self.await_told(host, index).await?;
        self.note_settings(host, index, commands);
        let link = &host.links[index];
        let sets = |(kind, _): &(StatementKind, String)| *kind == StatementKind::Setting;
        match told.error.is_none() && !is_open && !link.settled && commands.iter().all(sets) {
            _ if !is_open && !link.changed && schedulable::gives_back(commands) => {}
            true => {
                let settings = commands.iter().map(|(_, sql)| sql.clone()).filter(|sql| !is_show(sql));
                host.links[index].settings.extend(settings);
            }
            false => {
                self.transcript.push(Exchange::passed(link, commands, &told));
                // a transaction in which nothing was done
                let ends = |(kind, _): &(StatementKind, String)| {
                    matches!(
                        kind,
                        StatementKind::Commit { chain: false } | StatementKind::Rollback { chain: false }
                    )
                };
                let ends_nothing = commands.iter().all(ends)
                    && host.links[index].unlearned.take_if(|_| !commands.is_empty()).is_some();
                let is_skipped = told.error.is_none() && (ends_nothing || are_skipped(&host.links[index], commands));
                if whose == Whose::Mine && !is_skipped {
                    self.learn_request(host, index, &request, end);
                    self.learn_told(&told);
                }
            }
        }
        let link = &mut host.links[index];
        link.note_commands(commands, &told, end);
        for (kind, sql) in commands {
            link.level.take_in(None, Origin::Step(0), *kind, sql);
            if *kind == StatementKind::Setting {
                self.observed.sets(sql);
            }
            match kind {
                StatementKind::Begin => {
                    link.fresh = true;
                    link.begun = Some(sql.clone());
                }
                StatementKind::Savepoint if told.error.is_none() => link.savepoint_open = true,
                kind if kind.chains() && link.status() == TransactionStatus::Open => link.begin_chained(),
                _ => {}
            }
        }
        if link.status() == TransactionStatus::Idle {
            link.end_transaction();
        }
        for (again, least) in commands.iter().filter_map(|(kind, sql)| messages::changed(*kind, sql)) {
            let link = &mut host.links[index];
            link.least = least.unwrap_or(link.least);
            if link.status() != TransactionStatus::Aborted && end != RequestEnd::Flush {
                self.run_own(host, index, again).await?;
            }
        }
        host.links[index].release();
        Ok(())
    }

    /// A service whose connections keep settings of a run is started anew for the next.
    fn note_settings(&mut self, host: &mut Host, index: usize, commands: &[(StatementKind, String)]) {
        let is_ready = host.service.as_ref().is_none_or(|instance| instance.ready);
        let link = &mut host.links[index];
        for (kind, sql) in commands {
            if schedulable::listens(sql) {
                link.listens = true;
                link.changed |= is_ready;
            } else if schedulable::resets_settings(sql) {
                link.level.reset();
                link.least = link.first_least;
                // settings that a driver makes only once are gone
                link.changed |= link.settled && link.prepared;
            } else if schedulable::keeps_setting(*kind, sql) {
                match link.settled {
                    true => link.changed = true,
                    false => link.prepared = true,
                }
            }
        }
        if link.changed {
            self.learn_nothing_of_requests();
        }
    }

    /// Something stays on a connection that the next request may take.
    fn learn_nothing_of_requests(&mut self) {
        if matches!(self.part, Part::Request(_)) {
            self.learn_nothing();
        }
    }

    /// Runs a statement of pgbraid's own that meets no other session.
    pub(super) async fn run_own(&mut self, host: &mut Host, index: usize, sql: &str) -> Result<(), RunError> {
        let sent = host.links[index].send_own(sql, None);
        sent.map_err(|error| host.lost("", error))?;
        self.await_told(host, index).await?;
        Ok(())
    }

    /// Waits for the answer to what cannot wait for another session.
    async fn await_told(&mut self, host: &mut Host, index: usize) -> Result<Told, RunError> {
        let limit = host.at.limit;
        let hearing = async {
            loop {
                let heard = poll_fn(|cx| {
                    self.poll_meanwhile(host, cx);
                    host.links[index].poll_heard(cx)
                });
                if let Heard::Finished(told) = heard.await? {
                    return Ok::<_, PostgresError>(told);
                }
            }
        };
        match tokio::time::timeout(limit, hearing).await {
            Ok(told) => told.map_err(|error| host.lost("", error)),
            Err(_) => Err(RunError::StepTimeout {
                session: self.session.name.clone(),
                step: "what its driver sends by itself".to_owned(),
                limit,
                outsider: None,
            }),
        }
    }

    async fn hold(
        &mut self,
        host: &mut Host,
        index: usize,
        action: Action,
        (request, end): (Request, RequestEnd),
        commands: &[(StatementKind, String)],
        conditions: &mut Conditions<'_>,
    ) -> Result<(), RunError> {
        // programs that lock files may meet there
        let locks_file = host.group().is_some_and(holds_file_lock);
        if locks_file {
            self.observed.meets_in_files();
        }
        self.learn_request(host, index, &request, end);
        let link = &mut host.links[index];
        link.owner = Some(self.id);
        link.busy = true;
        let link = &host.links[index];
        let own: Vec<&(StatementKind, String)> = without_begin(commands).iter().collect();
        let sent_with_it = match commands {
            [(StatementKind::Begin, sql), _, ..] => Some(sql.clone()),
            _ => None,
        };
        let went_ahead = link.begun.clone().filter(|_| link.fresh);
        let begin = link.begin.clone().or(sent_with_it).or(went_ahead);
        let asked = request.statements.last().filter(|_| own.len() == 1);
        let given = asked
            .map(|asked| naming::values(asked, &self.volatile))
            .unwrap_or_default();
        let sent = match own.as_slice() {
            [] => "(prepare)".to_owned(),
            [(_, sql)] => sql.clone(),
            several => several
                .iter()
                .map(|(_, sql)| sql.as_str())
                .collect::<Vec<_>>()
                .join("; "),
        };
        let name = match own.as_slice() {
            [] => "prepare".to_owned(),
            // a comment ahead of the statement may name it
            [_] => match request.statements.as_slice() {
                [asked] => naming::name(&asked.sql),
                _ => naming::name(&sent),
            },
            several => {
                let names: Vec<String> = several.iter().map(|(_, sql)| naming::name(sql)).collect();
                names.join(", ")
            }
        };
        // what the program has made anew differs in each run; nothing else follows from its value
        let (sql, made) = naming::with_parameters(&sent, given.len(), &self.volatile);
        let shown: Vec<Shown> = given.iter().cloned().chain(made).collect();
        if shown.iter().any(Shown::is_of_clock) {
            self.observed.takes_own_time();
        }
        let filled = naming::filled(&sql.as_str().into(), &shown);
        let mut statement = Statement::of(&sql);
        if let [_, _, ..] = own.as_slice() {
            statement.kind = kind_of_several(&own);
        }
        statement.seen = Some(match (own.as_slice(), asked) {
            ([(kind, _)], Some(asked)) => {
                let level = begin.as_deref().and_then(isolation_named);
                let level = level.unwrap_or_else(|| link.level.now());
                self.observed
                    .number(&sql, &asked.types, *kind, level, conditions)
                    .await?
            }
            // nothing is known of several statements together but what each one's text says
            _ => {
                own.iter().for_each(|(kind, sql)| self.observed.heed(sql, *kind));
                UNKNOWN
            }
        });
        let pending = Pending {
            name,
            statement: Arc::new(statement),
            origin: Origin::Step(self.statements),
            filled,
            values: shown
                .iter()
                .map(|value| value.text.clone().filter(|_| value.plain))
                .collect(),
            opens: link.fresh || link.status() == TransactionStatus::Idle,
            begin,
            attempt: 0,
        };
        if matches!(self.part, Part::Connection) && pending.opens && self.statements > 0 {
            self.observed.meets_in_process();
        }
        self.statements += 1;
        for (kind, own_sql) in &own {
            let types = asked.map_or(&[][..], |asked| &asked.types);
            let sql = if own.len() == 1 { &sql } else { own_sql };
            self.leaves_more_than_rows |= !self.observed.changes_rows_only(*kind, sql, types, conditions).await?;
            if self
                .observed
                .outlives_transactions(*kind, sql, types, conditions)
                .await?
            {
                self.learn_nothing_of_requests();
            }
        }
        self.note_settings(host, index, commands);
        // which connection of its pool a service takes means nothing, nor does the order in which threads connect
        let link = matches!(self.part, Part::Whole).then(|| self.number_of(host, index));
        self.note_next(&pending.name, (link, &pending.filled, &pending.values, &pending.begin));
        self.held = Some(Held {
            link: index,
            action,
            pending,
            request: Some((request, end)),
            locks_file,
            sent: Sent {
                sql: sent,
                values: given.into_iter().map(Shown::into_value).collect(),
            },
        });
        Ok(())
    }

    /// A step of pgbraid's own.
    pub(super) fn hold_own(
        &mut self,
        host: &mut Host,
        index: usize,
        action: Action,
        origin: Origin,
        name: String,
        sql: &str,
    ) {
        let pending = Pending {
            name,
            statement: Arc::new(Statement::of(sql)),
            origin,
            filled: sql.to_owned(),
            values: Vec::new(),
            opens: false,
            begin: None,
            attempt: 0,
        };
        host.links[index].busy = true;
        self.held = Some(Held {
            link: index,
            action,
            pending,
            request: None,
            locks_file: false,
            sent: Sent {
                sql: sql.to_owned(),
                values: Vec::new(),
            },
        });
    }

    /// Closes connections of a program that has ended, where something else keeps them open. Returns whether that takes a
    /// step.
    pub(super) async fn close_links(
        &mut self,
        host: &mut Host,
        conditions: &mut Conditions<'_>,
    ) -> Result<bool, RunError> {
        for index in 0..host.links.len() {
            let link = &host.links[index];
            if !link.gone && !link.busy && self.farewell(host, index, conditions).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A client has hung up. What its transaction holds is given back in a step. Returns whether there is one.
    pub(super) async fn farewell(
        &mut self,
        host: &mut Host,
        index: usize,
        conditions: &mut Conditions<'_>,
    ) -> Result<bool, RunError> {
        self.learn_farewell(host, index);
        let last = Origin::Rollback(self.statements.saturating_sub(1));
        let link = &mut host.links[index];
        link.begin = None;
        match link.status() {
            status if (status == TransactionStatus::Open && !link.fresh) || keeps_locks(status, link) => {
                let name = "rollback (connection closed)".to_owned();
                self.hold_own(host, index, Action::Rollback, last, name, "ROLLBACK");
                return Ok(true);
            }
            TransactionStatus::Open | TransactionStatus::Aborted => {
                self.run_own(host, index, "ROLLBACK").await?;
            }
            TransactionStatus::Idle => {}
        }
        let backend_pid = host.links[index].server.backend_pid();
        if conditions.keeps_advisory_locks(backend_pid).await? {
            let origin = Origin::Disconnect(self.statements.saturating_sub(1));
            self.hold_own(
                host,
                index,
                Action::Disconnect,
                origin,
                DISCONNECT.to_owned(),
                "(disconnect)",
            );
            return Ok(true);
        }
        if host.keeps_connections() {
            host.links[index].parked = true;
            return Ok(false);
        }
        host.links[index].close().await;
        Ok(false)
    }
}

/// Whether a command only shows a setting. Drivers send such on the first of their connections.
fn is_show(sql: &str) -> bool {
    first_word(sql).as_deref() == Some("show")
}

/// Whether commands that pass look at what is the same in every run, so that they need not be repeated.
fn are_skipped(link: &Link, commands: &[(StatementKind, String)]) -> bool {
    let is_skipped = |(kind, sql): &(StatementKind, String)| {
        let words = significant(sql);
        let drops_another = match words.as_slice() {
            [first, .., name] if first.is("DEALLOCATE") => !link.has_prepared(name.text.trim_matches('"')),
            _ => false,
        };
        // a step may have changed what a setting is
        let shows_setting = is_show(sql) || sql.to_lowercase().contains("current_setting");
        (*kind == StatementKind::Plain || is_show(sql)) && !drops_another && !(shows_setting && link.settled)
    };
    commands.iter().all(is_skipped)
}

/// Whether a transaction that failed holds locks from before a savepoint.
fn keeps_locks(status: TransactionStatus, link: &Link) -> bool {
    status == TransactionStatus::Aborted && link.savepoint_open
}

/// What is sent together with a BEGIN ahead of it.
fn without_begin(commands: &[(StatementKind, String)]) -> &[(StatementKind, String)] {
    match commands {
        [(StatementKind::Begin, _), rest @ ..] if !rest.is_empty() => rest,
        all => all,
    }
}

/// The number of what was not analysed.
const UNKNOWN: usize = usize::MAX;

/// Several commands, some of which begin or end transactions, count as one that is a transaction of its own.
fn kind_of_several(commands: &[&(StatementKind, String)]) -> StatementKind {
    match commands
        .iter()
        .all(|(kind, _)| matches!(kind, StatementKind::Plain | StatementKind::Setting))
    {
        true => StatementKind::Plain,
        false => StatementKind::OutsideBlock,
    }
}
