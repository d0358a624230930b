//! Sessions that share rows at READ COMMITTED and REPEATABLE READ, without a server.

use std::collections::{BTreeMap, BTreeSet};

/// What a session does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Script {
    /// It looks at what was committed when its transaction took its first step, and fails where it would write a row that
    /// was changed since; otherwise it looks at what is committed when the step begins.
    pub repeatable_read: bool,
    /// It runs its transaction once more when that fails for the first time.
    pub retries: bool,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    /// It writes only if the row has the value. Looked at again when a row that it waited for is this one.
    pub condition: Option<(usize, u8)>,
    pub reads: Vec<usize>,
    pub writes: Vec<(usize, Value)>,
    /// The transaction ends with it.
    pub commits: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    Set(u8),
    AddOne,
}

impl Step {
    pub fn only_commits(&self) -> bool {
        self.commits && self.condition.is_none() && self.reads.is_empty() && self.writes.is_empty()
    }

    /// The row that it is about, where it is about one row alone and takes it.
    fn row_alone(&self) -> Option<usize> {
        match (self.writes.as_slice(), self.condition) {
            ([(row, _)], None) if self.reads.is_empty() => Some(*row),
            ([(row, _)], Some((looked_at, _))) if self.reads.is_empty() && looked_at == *row => Some(*row),
            _ => None,
        }
    }
}

/// Whether steps take a row one at a time only, each to do nothing else, and with a condition as its transaction's last:
/// when a step begins to wait for it makes no difference to what it does. Nor can sessions wait for it in a cycle: who is
/// in the queue before whom would matter then.
pub fn is_taken_alone(program: &Program, row: usize) -> bool {
    let takes_alone = |steps: &[Step], place: usize| {
        let step = &steps[place];
        let end = steps[place..].iter().position(|step| step.commits).unwrap_or_default();
        let mut after = steps[place..=place + end].iter().skip(1);
        let claims_nothing_after = after.all(|later| later.writes.is_empty());
        step.row_alone() == Some(row) && (step.condition.is_none() || claims_nothing_after)
    };
    !program.iter().any(|script| script.repeatable_read)
        && !is_in_cycle(program, row)
        && program.iter().all(|Script { steps, .. }| {
            let writes = |step: &Step| step.writes.iter().any(|(written, _)| *written == row);
            (0..steps.len()).all(|place| !writes(&steps[place]) || takes_alone(steps, place))
        })
}

/// Whether transactions may hold one of some rows and wait for the next, all around.
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

/// What the sessions got to see, each in its order.
pub type Answers = Vec<Vec<Answer>>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// What it read, and whether it wrote.
    Done(Vec<u8>, bool),
    Failed,
}

/// How far a step has got.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct UnderWay {
    /// Which of its writes is next.
    place: usize,
    read: Vec<u8>,
    /// It has written another.
    wrote: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Session {
    next: usize,
    has_failed: bool,
    /// Rows that its transaction holds, and what it wrote there.
    own: BTreeMap<usize, Option<u8>>,
    snapshot: Option<Snapshot>,
    /// Its step waits for the row of the next write.
    waiting: Option<UnderWay>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Snapshot {
    committed: Vec<u8>,
    /// Rows changed since.
    changed: BTreeSet<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World<'a> {
    program: &'a Program,
    committed: Vec<u8>,
    sessions: Vec<Session>,
    /// Sessions that wait, the first one first.
    queue: Vec<usize>,
    answers: Answers,
}

/// What one session did in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    pub session: usize,
    pub step: usize,
    /// It waited in an earlier turn.
    pub has_waited: bool,
    pub did: Did,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// It waits at the end of the turn.
    Wait,
    Finish {
        wrote: bool,
    },
    Fail,
}

impl<'a> World<'a> {
    pub fn new(program: &'a Program, rows: usize) -> World<'a> {
        World {
            program,
            committed: vec![0; rows],
            sessions: vec![Session::default(); program.len()],
            queue: Vec::new(),
            answers: vec![Vec::new(); program.len()],
        }
    }

    /// The sessions that can go on.
    pub fn ready(&self) -> Vec<usize> {
        let can_go_on = |&session: &usize| {
            let Session { next, waiting, .. } = &self.sessions[session];
            waiting.is_none() && *next < self.program[session].steps.len()
        };
        (0..self.sessions.len()).filter(can_go_on).collect()
    }

    /// The step that a session has before it, by its place.
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

    /// What it came to.
    pub fn outcome(&self) -> (Vec<u8>, Answers) {
        (self.committed.clone(), self.answers.clone())
    }

    /// Lets a session go on; returns what it did, then what those did that it released.
    pub fn take_turn(&mut self, session: usize) -> Vec<Move> {
        if self.takes_snapshot(session) {
            self.sessions[session].snapshot = Some(Snapshot {
                committed: self.committed.clone(),
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
        };
        let mut moves = vec![self.write(session, begun, false)];
        // those that hold nothing any more let the first that waits for it go on
        while let Some(place) = (0..self.queue.len()).find(|&place| self.is_free(place)) {
            let released = self.queue.remove(place);
            if let Some(waiting) = self.sessions[released].waiting.take() {
                moves.push(self.write(released, waiting, true));
            }
        }
        moves
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
        let Script { retries, steps, .. } = &self.program[session];
        let retries = *retries && !self.sessions[session].has_failed;
        let first = steps[..step]
            .iter()
            .rposition(|step| step.commits)
            .map_or(0, |end| end + 1);
        self.sessions[session] = Session {
            next: if retries { first } else { steps.len() },
            has_failed: true,
            ..Session::default()
        };
        Did::Fail
    }

    fn commit(&mut self, session: usize) {
        self.sessions[session].snapshot = None;
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

    fn waited_for(&self, session: usize) -> Option<usize> {
        let Session { next, waiting, .. } = &self.sessions[session];
        waiting
            .as_ref()
            .map(|step| self.program[session].steps[*next].writes[step.place].0)
    }

    /// Whether what the session at a place of the queue waits for is free, and nobody before it waits for it.
    fn is_free(&self, place: usize) -> bool {
        let row = self.waited_for(self.queue[place]);
        let mut before = self.queue[..place].iter();
        row.is_some_and(|row| self.holder(row).is_none()) && !before.any(|&before| self.waited_for(before) == row)
    }

    /// Goes on with a step's writes.
    fn write(&mut self, session: usize, mut under_way: UnderWay, has_waited: bool) -> Move {
        let index = self.sessions[session].next;
        let step = &self.program[session].steps[index];
        let done = |did| Move {
            session,
            step: index,
            has_waited,
            did,
        };
        while let Some(&(row, value)) = step.writes.get(under_way.place) {
            if let Some(holder) = self.holder(row).filter(|&holder| holder != session) {
                if self.waits_in_the_end_for(holder, session) {
                    return done(self.fail(session, index));
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
            };
            // the row is locked all the same
            let held = self.sessions[session].own.entry(row).or_default();
            *held = Some(value).filter(|_| finds).or(*held);
            under_way.wrote |= finds;
            under_way.place += 1;
        }
        let UnderWay { read, wrote, .. } = under_way;
        self.answers[session].push(Answer::Done(read, wrote));
        self.sessions[session].next += 1;
        if step.commits {
            self.commit(session);
        }
        done(Did::Finish { wrote })
    }

    fn waits_in_the_end_for(&self, session: usize, other: usize) -> bool {
        let mut at = session;
        while at != other {
            match self.waited_for(at).and_then(|row| self.holder(row)) {
                Some(holder) => at = holder,
                None => return false,
            }
        }
        true
    }
}
