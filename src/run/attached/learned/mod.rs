//! Programs that were learned: what a program does next follows from what it has been told, so what it once did can be
//! repeated without it. A run that meets an answer that is new is run again with the programs themselves.

mod heard;
mod met;
mod recall;
mod repeated;
mod trees;

pub use self::trees::{Doing, Learned, Opening, Treatment};

use std::hash::Hash;
use std::sync::Arc;

use self::met::Met;
use self::repeated::Repeated;
use super::host::Host;
use super::told::Told;
use super::{Attached, Observed, hash};
use crate::history::Volatile;
use crate::proxy::{Request, RequestEnd};

/// How far a session has come in what is learned of its program.
pub struct Memory {
    observed: Arc<Observed>,
    /// The program does not run: what it did before is repeated.
    recalls: bool,
    /// What the program prints or answers is looked at.
    shows_output: bool,
    root: u64,
    /// A hash of all that the session has done and been told.
    path: u64,
    met: Met,
    /// Its connections, in the order in which it used them first.
    links: Vec<usize>,
    /// What comes next does not follow from `path`.
    lost: bool,
}

impl Memory {
    /// Of a program, `identity` being all that it is started with.
    pub fn new(observed: Arc<Observed>, identity: &str, recalls: bool, shows_output: bool) -> Memory {
        let root = hash(identity);
        Memory {
            observed,
            recalls,
            shows_output,
            root,
            path: root,
            met: Met::default(),
            links: Vec::new(),
            lost: false,
        }
    }

    pub fn recalls(&self) -> bool {
        self.recalls
    }

    /// What the program does next, if that is known.
    fn next(&self, id: usize) -> Option<Arc<Doing>> {
        let learned = self.observed.learned();
        learned.next(self.path).or_else(|| learned.next(hash((self.path, id))))
    }

    /// Before the first step of another run.
    pub fn restart(&mut self) {
        self.path = self.root;
        self.met = Met::default();
        self.links.clear();
        self.lost = false;
    }

    /// Takes down what the program does next. `own` says that it holds values that no other process would make.
    fn did(&mut self, id: usize, identity: impl Hash, own: bool, doing: impl FnOnce() -> Doing) {
        if self.lost {
            return;
        }
        if own {
            self.path = hash((self.path, id));
        }
        let identity = hash(identity);
        if !self.recalls {
            self.observed.learned().put(self.path, identity, || Some(doing()));
        }
        self.path = hash((self.path, identity));
    }

    /// What the program does next cannot be repeated.
    fn lose(&mut self) {
        if !self.lost && !self.recalls {
            self.observed.learned().put(self.path, 0, || None);
        }
        self.lost = true;
    }
}

impl Attached {
    /// Whether the program does not run, and what it did before is repeated.
    pub(super) fn recalls(&self) -> bool {
        self.memory.as_ref().is_some_and(Memory::recalls)
    }

    /// The session's own number of a connection, given in the order of their first use.
    pub(super) fn number_of(&mut self, host: &Host, index: usize) -> usize {
        let Some(memory) = &mut self.memory else { return index };
        if let Some(number) = memory.links.iter().position(|known| *known == index) {
            return number;
        }
        memory.links.push(index);
        let link = &host.links[index];
        let opening = link.opened();
        let identity = ("connects", &opening.parameters, &opening.settings);
        memory.did(self.id, identity, false, || Doing::Connects(opening.clone()));
        memory.links.len() - 1
    }

    /// The program has sent a BEGIN. Drivers begin transactions on their first connection in which nothing is done, so it is
    /// learned with what comes after it.
    pub(super) fn learn_begin(&mut self, host: &mut Host, index: usize, begin: &Request, end: RequestEnd) {
        match self.recalls() {
            true => self.learn_request(host, index, begin, end),
            false => host.links[index].unlearned = Some((begin.clone(), end)),
        }
    }

    /// The program has sent a request that others may meet, or that changes how its connection stands.
    pub(super) fn learn_request(&mut self, host: &mut Host, index: usize, request: &Request, end: RequestEnd) {
        if let Some((begin, end)) = host.links[index].unlearned.take() {
            self.learn_request(host, index, &begin, end);
        }
        let link = self.number_of(host, index);
        let Some(memory) = &mut self.memory else { return };
        if memory.lost {
            return;
        }
        let repeated = (end != RequestEnd::Flush && !host.links[index].listens)
            .then(|| Repeated::of(request, &self.volatile, &mut memory.met))
            .flatten();
        match repeated {
            Some(repeated) => {
                let own = repeated.has_own();
                let identity = ("asks", link, repeated.identity());
                memory.did(self.id, identity, own, || Doing::Asks { link, repeated });
            }
            None => memory.lose(),
        }
    }

    /// The program has closed a connection.
    pub(super) fn learn_farewell(&mut self, host: &Host, index: usize) {
        let is_known = self.memory.as_ref().is_some_and(|memory| memory.links.contains(&index));
        if !is_known {
            // nothing of it was of interest
            return;
        }
        let link = self.number_of(host, index);
        if let Some(memory) = &mut self.memory {
            memory.did(self.id, ("leaves", link), false, || Doing::Leaves { link });
        }
    }

    /// The session has heard what has come of a request.
    pub(super) fn learn_told(&mut self, told: &Told) {
        let Some(memory) = &mut self.memory else { return };
        if memory.lost {
            return;
        }
        match heard::identity(told, &self.volatile, &mut memory.met) {
            Some(heard) => memory.path = hash((memory.path, heard)),
            None => memory.lose(),
        }
    }

    /// The session has ended.
    pub(super) fn learn_end(&mut self) {
        let Some(memory) = &mut self.memory else { return };
        let printed = match &self.answer {
            // what the service did then cannot be repeated
            Some(Err(_)) => return memory.lose(),
            Some(Ok(answer)) => &answer.body,
            None => &self.output.stdout,
        };
        // an invariant could compare what was made anew with what is in the tables
        if memory.shows_output && is_fresh(printed, &self.volatile) {
            memory.lose();
            return;
        }
        if !memory.lost {
            let program = self.session.entry_name();
            memory.observed.learned().end(program, memory.path);
        }
        let status = self
            .answer
            .as_ref()
            .map(|answer| answer.as_ref().map(|answer| answer.status).ok());
        let exit = self.exit;
        let printed = self.volatile.mask(printed).into_owned();
        let (answer, output) = (self.answer.clone(), self.output.clone());
        memory.did(self.id, ("ends", status, format!("{exit:?}"), printed), false, || {
            Doing::Ends { exit, answer, output }
        });
    }

    /// What the program does next cannot be repeated.
    pub(super) fn learn_nothing(&mut self) {
        if let Some(memory) = &mut self.memory {
            memory.lose();
        }
    }
}

fn is_fresh(text: &str, volatile: &Volatile) -> bool {
    !volatile.find(text).is_empty()
}
