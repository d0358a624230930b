//! Sessions that share rows at READ COMMITTED and REPEATABLE READ, without a server.

mod list;

use std::collections::{BTreeMap, BTreeSet};

use self::list::List;
use crate::history::MoveKind;

pub use self::list::ListOrder;

/// What a session does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Script {
    /// It reads what was committed when its transaction took its first step, and fails if it would write a row that was
    /// changed since; otherwise it reads what is committed when the step begins.
    pub repeatable_read: bool,
    /// It runs its transaction once more the first time that it fails.
    pub retries: bool,
    /// Its steps fail after waiting long enough.
    pub times_out: bool,
    pub steps: Vec<Step>,
    /// By step: the step that follows, by what it is told.
    pub branches: Vec<Vec<Branch>>,
}

/// The step that follows if a step's answer is of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Branch {
    pub told: Told,
    pub to: usize,
}

/// Something that an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Told {
    /// The first value that was read.
    First(u8),
    /// How many values were read.
    Count(usize),
    /// It changed nothing.
    NotWritten,
    Failed,
    /// It did not fail.
    Anything,
}

impl Script {
    /// The next step after one that was told something.
    fn after(&self, step: usize, answer: &Answer) -> usize {
        let branches = self.branches.get(step).map_or(&[][..], Vec::as_slice);
        let tells = |branch: &&Branch| match (branch.told, answer) {
            (Told::Failed, Answer::Failed) | (Told::Anything, Answer::Done(..)) => true,
            (Told::First(value), Answer::Done(read, _)) => read.first() == Some(&value),
            (Told::Count(count), Answer::Done(read, _)) => read.len() == count,
            (Told::NotWritten, Answer::Done(_, wrote)) => !wrote,
            _ => false,
        };
        let otherwise = match answer {
            Answer::Done(..) => step + 1,
            Answer::Failed => self.steps.len(),
        };
        branches.iter().find(tells).map_or(otherwise, |branch| branch.to)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Step {
    /// It writes only if the row has this value. Checked again if a row that it waited for is this one.
    pub condition: Option<(usize, u8)>,
    pub reads: Vec<usize>,
    pub writes: Vec<(usize, Value)>,
    /// What it does beside.
    pub also: Option<Also>,
    /// The transaction ends with it.
    pub commits: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Also {
    /// It adds an item to the list, with the time at which its transaction began.
    Add(u8),
    /// It reads the list.
    List(ListOrder),
    /// Outside the database, once it is over: its session reads a value and sets it to this.
    File(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    Set(u8),
    AddOne,
    /// The session's number, behind all other values.
    Number,
}

impl Step {
    pub fn only_commits(&self) -> bool {
        self.commits
            && self.condition.is_none()
            && self.reads.is_empty()
            && self.writes.is_empty()
            && self.also.is_none()
    }

    /// The row that it is about, if it is about one row alone and takes it.
    fn row_alone(&self) -> Option<usize> {
        match (self.writes.as_slice(), self.condition) {
            ([(row, _)], None) if self.reads.is_empty() => Some(*row),
            ([(row, _)], Some((looked_at, _))) if self.reads.is_empty() && looked_at == *row => Some(*row),
            _ => None,
        }
    }
}

/// Whether steps take a row only one at a time, each doing nothing else, and with a condition only as the last of its
/// transaction: the moment at which a step begins to wait for it then makes no difference to what it does. Sessions
/// must not wait for it in a cycle either, since the order of the queue would then matter.
pub fn is_taken_alone(program: &Program, row: usize) -> bool {
    let takes_alone = |steps: &[Step], place: usize| {
        let step = &steps[place];
        let end = steps[place..].iter().position(|step| step.commits).unwrap_or_default();
        let mut after = steps[place..=place + end].iter().skip(1);
        let claims_nothing_after = after.all(|later| later.writes.is_empty());
        step.row_alone() == Some(row) && (step.condition.is_none() || claims_nothing_after)
    };
    !program.iter().any(|script| script.repeatable_read || script.times_out)
        && !is_in_cycle(program, row)
        && program.iter().all(|Script { steps, .. }| {
            let writes = |step: &Step| step.writes.iter().any(|(written, _)| *written == row);
            (0..steps.len()).all(|place| !writes(&steps[place]) || takes_alone(steps, place))
        })
}

/// Whether transactions may hold one of these rows and wait for the next, in a circle.
fn is_in_cycle(program: &Program, row: usize) -> bool {
    let mut waited_for_with: BTreeSet<(usize, usize)> = BTreeSet::new();
    for Script { steps, .. } in program {
        let mut held = BTreeSet::new();
        for step in steps {
            for &(row, _) in &step.writes {
                waited_for_with.extend(held.iter().filter(|&&held| held != row).map(|&held| (held, row)));
                held.insert(row);
            }
            if step.commits {
                held.clear();
            }
        }
    }
    let mut reached = BTreeSet::new();
    let mut left = vec![row];
    while let Some(from) = left.pop() {
        let next = waited_for_with.iter().filter(|(held, _)| *held == from);
        left.extend(next.map(|(_, row)| *row).filter(|&row| reached.insert(row)));
    }
    reached.contains(&row)
}

/// A script for each session.
pub type Program = Vec<Script>;

fn tells_times(program: &Program) -> bool {
    let mut steps = program.iter().flat_map(|script| &script.steps);
    steps.any(|step| step.also == Some(Also::List(ListOrder::Times)))
}

/// What the sessions saw, each in its order.
pub type Answers = Vec<Vec<Answer>>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// What it read, and whether it wrote.
    Done(Vec<u8>, bool),
    Failed,
}

/// The progress of a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct UnderWay {
    /// The next of its writes.
    place: usize,
    read: Vec<u8>,
    /// It has made another write.
    wrote: bool,
    /// It waits for the first session in the row's queue, not for the row itself.
    behind: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Session {
    next: usize,
    has_failed: bool,
    /// Rows that its transaction holds, and what it wrote there.
    own: BTreeMap<usize, Option<u8>>,
    snapshot: Option<Snapshot>,
    /// When its transaction began.
    began: Option<u8>,
    /// Its step waits for the row of the next write.
    waiting: Option<UnderWay>,
    /// What it waited for is free.
    released: bool,
    /// Sessions that its failure released, which resume before it runs its transaction again.
    retries_after: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Snapshot {
    committed: Vec<u8>,
    list: List,
    /// Rows changed since.
    changed: BTreeSet<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World<'a> {
    program: &'a Program,
    /// By row: whether only the first waiter waits for the row, as for a row of a table; otherwise all do, as for a
    /// key.
    queued: &'a [bool],
    /// By session: to begin a transaction is a move of its own.
    begins_apart: Vec<bool>,
    /// How many transactions have begun, if anything tells times apart.
    clock: Option<u8>,
    committed: Vec<u8>,
    list: List,
    file: u8,
    sessions: Vec<Session>,
    /// Waiting sessions, the longest-waiting one first.
    queue: Vec<usize>,
    /// By row: the first in its queue.
    heads: Vec<Option<usize>>,
    answers: Answers,
}

/// What one session did in a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub session: usize,
    pub step: usize,
    /// It waited before.
    pub has_waited: bool,
    pub did: Did,
    /// The sessions that it released.
    pub released: Vec<usize>,
    /// The sessions that may run their transactions again.
    pub lets_retry: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// It has begun a transaction, and no more.
    Begin,
    /// It waits at the end of the move.
    Wait,
    Finish {
        wrote: bool,
    },
    Fail,
}

impl<'a> World<'a> {
    pub fn new(program: &'a Program, queued: &'a [bool]) -> World<'a> {
        World {
            program,
            queued,
            begins_apart: vec![false; program.len()],
            clock: tells_times(program).then_some(0),
            committed: vec![0; queued.len()],
            list: List::default(),
            file: 0,
            sessions: vec![Session::default(); program.len()],
            queue: Vec::new(),
            heads: vec![None; queued.len()],
            answers: vec![Vec::new(); program.len()],
        }
    }

    /// From now on, it is a move of its own where the session begins a transaction, or it is not.
    pub fn begin_apart(&mut self, session: usize, apart: bool) {
        self.begins_apart[session] = apart;
    }

    /// Whether the session's next move begins a transaction and does no more.
    pub fn only_begins(&self, session: usize) -> bool {
        self.begins_apart[session] && self.sessions[session].began.is_none()
    }

    /// Whether a session is in a transaction.
    pub fn in_transaction(&self, session: usize) -> bool {
        self.sessions[session].began.is_some()
    }

    /// What a session was told last.
    pub fn last_answer(&self, session: usize) -> Option<&Answer> {
        self.answers[session].last()
    }

    /// The enabled sessions.
    pub fn ready(&self) -> Vec<usize> {
        let is_enabled = |&session: &usize| match &self.sessions[session] {
            one if one.waiting.is_some() => one.released || self.program[session].times_out,
            one => one.next < self.program[session].steps.len() && one.retries_after.is_empty(),
        };
        (0..self.sessions.len()).filter(is_enabled).collect()
    }

    /// What a session does next.
    pub fn kind(&self, session: usize) -> MoveKind {
        match &self.sessions[session] {
            one if one.waiting.is_none() => MoveKind::Step,
            one if one.released => MoveKind::Resume,
            _ => MoveKind::Timeout,
        }
    }

    /// The next step of a session, by its index.
    pub fn next(&self, session: usize) -> usize {
        self.sessions[session].next
    }

    pub fn program(&self) -> &'a Program {
        self.program
    }

    pub fn step(&self, session: usize, place: usize) -> &'a Step {
        &self.program[session].steps[place]
    }

    pub fn committed(&self, row: usize) -> u8 {
        self.committed[row]
    }

    /// The outcome.
    pub fn outcome(&self) -> (Vec<u8>, Answers) {
        let rows = self
            .committed
            .iter()
            .copied()
            .chain(self.list.items(None, ListOrder::None));
        (rows.collect(), self.answers.clone())
    }

    /// Makes the session's move.
    pub fn make_move(&mut self, session: usize) -> Move {
        let kind = self.kind(session);
        self.queue.retain(|&waiting| waiting != session);
        for head in self.heads.iter_mut().filter(|head| **head == Some(session)) {
            *head = None;
        }
        let mut made = match self.sessions[session].waiting.take() {
            Some(waiting) if kind == MoveKind::Resume => {
                self.sessions[session].released = false;
                self.write(session, waiting, true)
            }
            Some(_) => {
                let step = self.sessions[session].next;
                Move {
                    session,
                    step,
                    has_waited: true,
                    did: self.fail(session, step),
                    released: Vec::new(),
                    lets_retry: Vec::new(),
                }
            }
            None => self.begin(session),
        };
        self.pass_over_commits(session);
        made.released = self.release();
        for (other, one) in self.sessions.iter_mut().enumerate() {
            if one.retries_after.contains(&session) {
                one.retries_after.retain(|&released| released != session);
                made.lets_retry.push(other);
            }
        }
        if made.did == Did::Fail && self.program[session].retries {
            self.sessions[session].retries_after = made.released.clone();
        }
        made
    }

    /// A program's commit of nothing is no step.
    fn pass_over_commits(&mut self, session: usize) {
        let Script { steps, branches, .. } = &self.program[session];
        let one = &mut self.sessions[session];
        while !branches.is_empty() && one.began.is_none() && steps.get(one.next).is_some_and(Step::only_commits) {
            one.next += 1;
        }
    }

    fn begin(&mut self, session: usize) -> Move {
        let only_begins = self.only_begins(session);
        if self.sessions[session].began.is_none() {
            self.sessions[session].began = Some(self.clock.unwrap_or_default());
            self.clock = self.clock.map(|clock| clock + 1);
        }
        if only_begins {
            return Move {
                session,
                step: self.sessions[session].next,
                has_waited: false,
                did: Did::Begin,
                released: Vec::new(),
                lets_retry: Vec::new(),
            };
        }
        if self.takes_snapshot(session) {
            self.sessions[session].snapshot = Some(Snapshot {
                committed: self.committed.clone(),
                list: self.list.committed(),
                changed: BTreeSet::new(),
            });
        }
        let step = &self.program[session].steps[self.sessions[session].next];
        let read = step.reads.iter().map(|&row| self.seen(session, row)).collect();
        let holds = step
            .condition
            .is_none_or(|(row, value)| self.seen(session, row) == value);
        let place = if holds { 0 } else { step.writes.len() };
        let begun = UnderWay {
            place,
            read,
            wrote: false,
            behind: false,
        };
        self.write(session, begun, false)
    }

    /// Releases sessions that wait for what is free.
    fn release(&mut self) -> Vec<usize> {
        let mut released = Vec::new();
        for session in self.queue.clone() {
            let Some((row, behind)) = self.waited_for(session) else {
                continue;
            };
            let is_free = match behind {
                true => self.heads[row].is_none(),
                false => self.holder(row).is_none(),
            };
            if is_free {
                if behind {
                    self.heads[row] = Some(session);
                }
                self.sessions[session].released = true;
                released.push(session);
            }
        }
        self.queue.retain(|session| !released.contains(session));
        released
    }

    /// Whether a session's next step takes the snapshot for its transaction.
    pub fn takes_snapshot(&self, session: usize) -> bool {
        let Script {
            repeatable_read, steps, ..
        } = &self.program[session];
        let Session { next, snapshot, .. } = &self.sessions[session];
        *repeatable_read && snapshot.is_none() && !steps[*next].only_commits()
    }

    /// The value that a session sees.
    fn seen(&self, session: usize, row: usize) -> u8 {
        let Session { own, snapshot, .. } = &self.sessions[session];
        let committed = snapshot
            .as_ref()
            .map_or(&self.committed, |snapshot| &snapshot.committed);
        own.get(&row).copied().flatten().unwrap_or(committed[row])
    }

    fn fail(&mut self, session: usize, step: usize) -> Did {
        self.answers[session].push(Answer::Failed);
        self.list.roll_back(session);
        let Script { retries, steps, .. } = &self.program[session];
        let other = self.program[session].after(step, &Answer::Failed);
        let retries = *retries && !self.sessions[session].has_failed;
        let first = steps[..step]
            .iter()
            .rposition(|step| step.commits)
            .map_or(0, |end| end + 1);
        self.sessions[session] = Session {
            next: if retries { first } else { other },
            has_failed: true,
            ..Session::default()
        };
        Did::Fail
    }

    fn commit(&mut self, session: usize) {
        self.sessions[session].snapshot = None;
        self.sessions[session].began = None;
        self.list.commit(session);
        for (row, value) in std::mem::take(&mut self.sessions[session].own) {
            if let Some(value) = value {
                self.committed[row] = value;
                let snapshots = self.sessions.iter_mut().filter_map(|session| session.snapshot.as_mut());
                snapshots.for_each(|snapshot| {
                    snapshot.changed.insert(row);
                });
            }
        }
    }

    fn holder(&self, row: usize) -> Option<usize> {
        (0..self.sessions.len()).find(|&session| self.sessions[session].own.contains_key(&row))
    }

    /// The row that a session waits for, and whether it waits behind the first waiter.
    fn waited_for(&self, session: usize) -> Option<(usize, bool)> {
        let Session { next, waiting, .. } = &self.sessions[session];
        let waiting = waiting.as_ref()?;
        Some((
            self.program[session].steps[*next].writes[waiting.place].0,
            waiting.behind,
        ))
    }

    /// The session that a session waits for.
    fn blocker(&self, session: usize) -> Option<usize> {
        match self.waited_for(session).filter(|_| !self.sessions[session].released)? {
            (row, true) => self.heads[row],
            (row, false) => self.holder(row),
        }
    }

    /// Makes a step's further writes.
    fn write(&mut self, session: usize, mut under_way: UnderWay, has_waited: bool) -> Move {
        let index = self.sessions[session].next;
        let step = &self.program[session].steps[index];
        let done = |did| Move {
            session,
            step: index,
            has_waited,
            did,
            released: Vec::new(),
            lets_retry: Vec::new(),
        };
        while let Some(&(row, value)) = step.writes.get(under_way.place) {
            if let Some(holder) = self.holder(row).filter(|&holder| holder != session) {
                let head = self.heads[row].filter(|_| self.queued[row]);
                if self.waits_in_the_end_for(head.unwrap_or(holder), session) {
                    return done(self.fail(session, index));
                }
                under_way.behind = head.is_some();
                if self.queued[row] && head.is_none() {
                    self.heads[row] = Some(session);
                }
                self.sessions[session].waiting = Some(under_way);
                self.queue.push(session);
                return done(Did::Wait);
            }
            let snapshot = self.sessions[session].snapshot.as_ref();
            if snapshot.is_some_and(|snapshot| snapshot.changed.contains(&row)) {
                return done(self.fail(session, index));
            }
            let seen = self.seen(session, row);
            let is_another = |(looked_at, wanted): (usize, u8)| looked_at == row && seen != wanted;
            let finds = !step.condition.is_some_and(is_another);
            let value = match value {
                Value::Set(value) => value,
                Value::AddOne => (seen + 1) % 4,
                Value::Number => session as u8 + 4,
            };
            // the row is locked all the same
            let held = self.sessions[session].own.entry(row).or_default();
            *held = Some(value).filter(|_| finds).or(*held);
            under_way.wrote |= finds;
            under_way.place += 1;
        }
        let UnderWay { mut read, wrote, .. } = under_way;
        match step.also {
            Some(Also::Add(item)) => self.list.add(session, item, self.sessions[session].began),
            Some(Also::List(order)) => {
                let snapshot = self.sessions[session].snapshot.as_ref();
                let list = snapshot.map_or_else(|| self.list.clone(), |one| self.list.seen_with(&one.list, session));
                read.extend(list.items(Some(session), order));
            }
            Some(Also::File(value)) => read.push(std::mem::replace(&mut self.file, value)),
            None => {}
        }
        let answer = Answer::Done(read, wrote);
        self.sessions[session].next = self.program[session].after(index, &answer);
        self.answers[session].push(answer);
        if step.commits {
            self.commit(session);
        }
        done(Did::Finish { wrote })
    }

    fn waits_in_the_end_for(&self, session: usize, other: usize) -> bool {
        let mut at = session;
        while at != other {
            match self.blocker(at) {
                Some(blocker) => at = blocker,
                None => return false,
            }
        }
        true
    }
}
