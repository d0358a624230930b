//! A scenario whose sessions have the steps that programs sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::answers::{Ended, columns_asked, rewritten};
use super::bind::{Origin, Slot, origins, shown};
use super::known::{Known, known};
use super::lines::{Lines, Obstacle, lines};
use super::rows::{Row, alike, rows};
use super::steps::step;
use super::values::whole;
use super::when::{When, conditions, unwrap_single_statements};
use crate::history::SessionEnd;
use crate::postgres::type_oid::{INT2, INT4, INT8};
use crate::postgres::wire::Value;
use crate::run::Exchange;
use crate::scenario::source::SqlText;
use crate::scenario::unique::UniqueNames;
use crate::scenario::{Invariant, Param, Remarks, Scenario, Session, SessionProgram, Step};
use crate::sql::Template;

/// A scenario of steps, and what its readers should know.
#[derive(Debug, Clone)]
pub struct Script {
    pub scenario: Scenario,
    pub remarks: Remarks,
}

/// A session that no script does the same as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("session {session} cannot be written as steps: {obstacle}")]
pub struct NotScripted {
    pub session: String,
    pub obstacle: Obstacle,
}

/// The script of what the programs of a scenario sent, and how they ended, by session.
///
/// # Errors
/// When a session cannot be written as steps.
pub fn script(recorded: &Scenario, transcripts: &[Vec<Exchange>], ends: &[SessionEnd]) -> Result<Script, NotScripted> {
    let mut writing = Writing {
        script: Script {
            scenario: Scenario {
                services: Vec::new(),
                sessions: Vec::new(),
                invariants: Vec::new(),
                schedules_prelude: false,
                ..recorded.clone()
            },
            remarks: Remarks::default(),
        },
        entries: 0,
        ended: Vec::new(),
        has_conditions: false,
    };
    let mut sessions = recorded.sessions.as_slice();
    let (mut transcripts, mut ends) = (transcripts, ends);
    while let Some(first) = sessions.first() {
        let count = sessions.iter().take_while(|one| one.entry == first.entry).count();
        let (copies, rest) = sessions.split_at(count);
        let (theirs, rest_of_transcripts) = transcripts.split_at(count);
        let (their_ends, rest_of_ends) = ends.split_at(count);
        match &first.program {
            None => writing.keep(copies),
            Some(program) => writing.program(program, copies, theirs, their_ends)?,
        }
        (sessions, transcripts, ends) = (rest, rest_of_transcripts, rest_of_ends);
    }
    if let (true, Some(first)) = (writing.entries == 0, recorded.sessions.first()) {
        return Err(NotScripted {
            session: first.name.clone(),
            obstacle: Obstacle::Silent,
        });
    }
    for invariant in &recorded.invariants {
        writing.invariant(invariant);
    }
    if writing.has_conditions {
        writing.head(
            "A step with `when` is one that some copies did without. Its condition is a guess from the values that they had."
                .to_owned(),
        );
    }
    Ok(writing.script)
}

struct Writing {
    script: Script,
    /// `[[session]]` entries so far.
    entries: usize,
    /// The sessions of programs.
    ended: Vec<Ended>,
    has_conditions: bool,
}

/// A copy, and what it sent.
struct Sender<'a> {
    session: &'a Session,
    lines: Lines,
    end: &'a SessionEnd,
}

/// The name of a session that is an entry of its own.
fn name_of(sender: &Sender<'_>) -> String {
    // connections of one program are named by a dot
    sender.session.name.replace('.', "-")
}

impl Writing {
    /// Sessions that have steps already.
    fn keep(&mut self, copies: &[Session]) {
        let entry = self.entries;
        let own = copies.iter().map(|session| Session {
            entry,
            ..session.clone()
        });
        self.script.scenario.sessions.extend(own);
        self.entries += 1;
    }

    fn head(&mut self, remark: String) {
        self.script.remarks.head.push(remark);
    }

    /// The copies of a program, or of a request.
    fn program(
        &mut self,
        program: &SessionProgram,
        copies: &[Session],
        transcripts: &[Vec<Exchange>],
        ends: &[SessionEnd],
    ) -> Result<(), NotScripted> {
        let mut senders = Vec::with_capacity(copies.len());
        for ((session, transcript), end) in copies.iter().zip(transcripts).zip(ends) {
            match lines(transcript) {
                Ok(lines) => senders.push(Sender { session, lines, end }),
                Err(Obstacle::Silent) => {
                    self.head(format!("Session {} is left out: {}.", session.name, Obstacle::Silent))
                }
                Err(obstacle) => {
                    return Err(NotScripted {
                        session: session.name.clone(),
                        obstacle,
                    });
                }
            }
        }
        let Some(first) = senders.first() else { return Ok(()) };
        let name = first.session.entry_name().to_owned();
        if senders.iter().any(|sender| sender.lines.locks_files) {
            self.head(format!(
                "The program of {name} locks files, and a script has no such locks: what they keep apart can race here."
            ));
        }
        let allows = match program {
            SessionProgram::Command(program) if !program.allow_exit.is_empty() => {
                Some(format!("allow_exit = {:?}", program.allow_exit))
            }
            SessionProgram::Request(request) if !request.allow_status.is_empty() => {
                Some(format!("allow_status = {:?}", request.allow_status))
            }
            _ => None,
        };
        let all: Vec<&Sender<'_>> = senders.iter().collect();
        let first_entry = self.entries;
        if !self.group(&name, &all) {
            let mut rest = all;
            while let Some(first) = rest.first().copied() {
                let (group, others): (Vec<_>, Vec<_>) =
                    rest.into_iter().partition(|sender| alike(&sender.lines, &first.lines));
                if !self.group(&name_of(first), &group) {
                    for sender in group {
                        self.group(&name_of(sender), &[sender]);
                    }
                }
                rest = others;
            }
            let remark =
                "the copies of this program took different paths, and no variable tells which: each path is a session";
            self.remark(first_entry, remark.to_owned());
        }
        if let Some(allows) = allows {
            self.remark(
                first_entry,
                format!("the program has {allows}; the errors that may end a session are named by `allow_errors`"),
            );
        }
        Ok(())
    }

    fn remark(&mut self, entry: usize, remark: String) {
        self.script.remarks.sessions.entry(entry).or_default().push(remark);
    }

    /// Copies as one `[[session]]` entry. Returns whether they could be, which one session alone always can.
    fn group(&mut self, name: &str, senders: &[&Sender<'_>]) -> bool {
        let copies: Vec<&Lines> = senders.iter().map(|sender| &sender.lines).collect();
        if copies.iter().any(|lines| lines.isolation != copies[0].isolation) {
            return false;
        }
        let params: Vec<&BTreeMap<String, Param>> = senders.iter().map(|sender| &sender.session.params).collect();
        let rows = unwrap_single_statements(rows(&copies), &copies);
        let known = known(&rows, &copies, &params);
        let Some(conditions) = conditions(&rows, &known) else {
            return false;
        };
        let mut group = Group::new(senders, &known);
        for ((row, when), known) in rows.iter().zip(&conditions).zip(&known) {
            if !group.add(row, &copies, known, when.as_ref()) {
                return false;
            }
        }
        self.has_conditions |= conditions.iter().any(Option::is_some);
        let entry = self.entries;
        self.entries += 1;
        self.remarks_of_group(entry, &copies);
        for (step, remarks) in group.remarks {
            self.script.remarks.steps.insert((entry, step), remarks);
        }
        let errors: BTreeSet<&String> = copies.iter().filter_map(|lines| lines.error.as_ref()).collect();
        let steps: Arc<[Step]> = group.steps.into();
        let at_end = known.into_iter().next_back().unwrap_or_default();
        for (((index, sender), params), known) in senders.iter().enumerate().zip(group.params).zip(at_end) {
            let name = match senders.len() {
                1 => name.to_owned(),
                _ => format!("{name}-{}", index + 1),
            };
            let error = sender.lines.error.clone();
            self.ended
                .push(Ended::new(name.clone(), entry, error, known, sender.end));
            self.script.scenario.sessions.push(Session {
                name,
                entry,
                copy: (senders.len() > 1).then_some(index + 1),
                connection: None,
                isolation: copies[0].isolation,
                params,
                steps: steps.clone(),
                allow_errors: errors.iter().map(|error| (*error).clone()).collect(),
                retry: None,
                program: None,
                ..sender.session.clone()
            });
        }
        true
    }

    fn remarks_of_group(&mut self, entry: usize, copies: &[&Lines]) {
        let mut split: Vec<&String> = copies.iter().flat_map(|lines| &lines.split).collect();
        split.dedup();
        if let Some(step) = split.first() {
            self.remark(
                entry,
                format!(
                    "the program sent `{step}`{} as one request, which is one step; here each statement is a step",
                    more(split.len())
                ),
            );
        }
        if copies.iter().any(|lines| lines.connections > 1) {
            let remark = "the program used several connections, one after the other; a session has one";
            self.remark(entry, remark.to_owned());
        }
        let after: Vec<&String> = copies.iter().flat_map(|lines| &lines.after_error).collect();
        if let (Some(step), Some(error)) = (after.first(), copies.iter().find_map(|lines| lines.error.as_ref())) {
            self.remark(
                entry,
                format!(
                    "after the error {error} the program sent `{step}`{}; an error ends a script's session, so that is left \
                     out",
                    more(after.len())
                ),
            );
        }
    }

    /// What scripts have no counterpart for cannot be asked about.
    fn invariant(&mut self, invariant: &Invariant) {
        let columns = columns_asked(&invariant.sql.text);
        let shown: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
        let shown = shown.join(" and ");
        let rewritten = rewritten(&invariant.sql.text, &columns, &self.ended);
        let invariants = &mut self.script.scenario.invariants;
        match (columns.is_empty(), rewritten) {
            (true, _) => invariants.push(invariant.clone()),
            (false, Some(sql)) => {
                let remark = format!(
                    "a script has no {shown}: the query tells it from how sessions end, as programs ended when they were \
                     recorded; that is a guess"
                );
                self.script.remarks.invariants.insert(invariants.len(), vec![remark]);
                invariants.push(Invariant {
                    name: invariant.name.clone(),
                    sql: SqlText::unplaced(sql),
                });
            }
            (false, None) => self.script.remarks.end.push(format!(
                "Left out: invariant \"{}\", which asks for {shown}. A script has none; pgbraid.sessions has `committed`, \
                 `sqlstate` and `variables` of it.\n{}",
                invariant.name, invariant.sql.text
            )),
        }
    }
}

/// The steps of a `[[session]]` entry, and the parameters of its copies.
struct Group {
    steps: Vec<Step>,
    names: UniqueNames,
    /// The condition of the last step.
    when: Option<When>,
    /// What is to be said of steps, by index.
    remarks: Vec<(usize, Vec<String>)>,
    params: Vec<BTreeMap<String, Param>>,
    /// The parameters of the programs, of which those are kept that steps use.
    all_params: Vec<BTreeMap<String, Param>>,
    /// Names for parameters that stand for what nothing else explains.
    fresh: UniqueNames,
}

impl Group {
    fn new(senders: &[&Sender<'_>], known: &[Vec<Known>]) -> Group {
        let taken = known.iter().flatten().flat_map(|known| known.variables.keys().cloned());
        Group {
            steps: Vec::new(),
            names: UniqueNames::default(),
            when: None,
            remarks: Vec::new(),
            params: vec![BTreeMap::new(); senders.len()],
            all_params: senders.iter().map(|sender| sender.session.params.clone()).collect(),
            fresh: UniqueNames::besides(taken),
        }
    }

    /// Adds the step of a row. Returns whether it could be one step for all copies.
    fn add(&mut self, row: &Row, copies: &[&Lines], known: &[Known], when: Option<&When>) -> bool {
        let Some(line) = row.line(copies) else { return true };
        let found = origins(row, copies, known);
        let mut remarks = found.remarks;
        let mut by_slot: BTreeMap<Slot, Origin> = BTreeMap::new();
        for (slot, origin) in found.by_slot {
            let origin = match origin {
                // a parameter cannot be NULL
                Origin::Unexplained(values) if values.iter().flatten().any(|value| value.text.is_none()) => {
                    return false;
                }
                Origin::Unexplained(values) => {
                    let name = self.fresh.take("value");
                    remarks.push(format!(
                        "the copies sent {}, which nothing that they were told explains: `:{name}` is a parameter",
                        several(&values)
                    ));
                    self.give(&name, &values);
                    Origin::Expression(format!(":{name}"))
                }
                Origin::Expression(sql) => {
                    for variable in Template::parse(&sql).variables {
                        self.keep(&variable.name);
                    }
                    Origin::Expression(sql)
                }
                other => other,
            };
            by_slot.insert(slot, origin);
        }
        let last = std::mem::replace(&mut self.when, when.cloned());
        // it is said once of steps that follow each other
        if let Some(when) = when.filter(|when| last.as_ref() != Some(when)) {
            remarks.push(when.remark.clone());
        }
        if !remarks.is_empty() {
            self.remarks.push((self.steps.len(), remarks));
        }
        self.steps.push(step(line, &by_slot, when, &mut self.names));
        true
    }

    /// Keeps a parameter that a step uses.
    fn keep(&mut self, name: &str) {
        for (params, all) in self.params.iter_mut().zip(&self.all_params) {
            if let Some(value) = all.get(name) {
                params.insert(name.to_owned(), value.clone());
            }
        }
    }

    /// A parameter of these values. Copies that did not send the value need one, too.
    fn give(&mut self, name: &str, values: &[Option<Value>]) {
        let any = values.iter().flatten().next();
        for (params, value) in self.params.iter_mut().zip(values) {
            if let Some(value) = value.as_ref().or(any) {
                params.insert(name.to_owned(), param(value));
            }
        }
    }
}

fn param(value: &Value) -> Param {
    match (value.type_oid, whole(value)) {
        (INT2 | INT4 | INT8, Some(number)) => Param::Integer(number),
        _ => Param::Text(value.text.clone().unwrap_or_default()),
    }
}

fn several(values: &[Option<Value>]) -> String {
    const MOST: usize = 3;
    let texts: Vec<String> = values.iter().flatten().map(shown).collect();
    match texts.len() > MOST {
        true => format!("{}, …", texts[..MOST].join(", ")),
        false => texts.join(" and "),
    }
}

fn more(count: usize) -> String {
    match count {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    }
}
