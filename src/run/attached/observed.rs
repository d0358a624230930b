//! What has been seen of the programs of a scenario, in all runs so far.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::learned::{Doing, Learned, Treatment};
use super::schedulable;
use crate::conflict::{
    self, Footprint, Meaning, Object, Program, ProgramStep, Snapshots, StatementKnown, StepFacts, reads_catalogs_only,
};
use crate::history::Uncontrolled;
use crate::postgres::catalog::{Analysis, Catalog};
use crate::run::{Conditions, RunError};
use crate::scenario::SHOW_A_NAME;
use crate::sql::lexer::{TokenKind, tokens};
use crate::sql::{Isolation, StatementKind};

/// What programs have sent, and what is known of it. All workers share it. It only ever grows.
#[derive(Debug)]
pub struct Observed {
    /// What is known of a scenario whose programs have sent nothing yet.
    base: Program,
    catalog: Catalog,
    /// Parse trees are kept out of the server's log.
    quiet: bool,
    /// Nothing passes for what it looks at.
    schedules_prelude: bool,
    seen: Mutex<Seen>,
    learned: Learned<Doing>,
}

#[derive(Debug, Default)]
struct Seen {
    steps: Vec<ProgramStep>,
    /// By statement and the types of its parameters.
    numbers: HashMap<Key, usize>,
    levels: BTreeSet<Isolation>,
    /// By statement and the types of its parameters: it looks at the system catalogs alone.
    preludes: HashMap<Key, bool>,
    /// By statement and the types of its parameters: what is known of it.
    known: HashMap<Key, Arc<StatementKnown>>,
    /// Something that looks at the system catalogs was not scheduled.
    passed: bool,
    /// A statement has changed the schema, or may have.
    changes_schema: bool,
    /// Statements need not mean what their analysis says, or programs meet elsewhere than in the database.
    opaque: bool,
    /// A statement may lock whole tables.
    locks_tables: bool,
    /// A statement shows its session's name.
    shows_names: bool,
    /// How often anything of this has changed.
    version: u32,
    /// What follows from it, and the version that it follows from.
    program: Option<(u32, Arc<Program>)>,
    /// A statement takes the time, or may.
    takes_time: bool,
    /// A program has sent a time of its own clock.
    takes_own_time: bool,
    /// What was not under control, in no run in particular.
    doubts: Vec<Uncontrolled>,
    notes: BTreeSet<String>,
    /// Sessions whose requests have been answered in some run.
    answered: BTreeSet<String>,
    /// What a program did next, by all that it had done and been told before.
    followed: HashMap<u64, u64>,
}

type Key = (String, Vec<u32>);

/// What is known at some moment.
#[derive(Debug, Clone)]
pub struct Knowledge {
    /// Another number means that more is known.
    pub version: u32,
    pub program: Arc<Program>,
    /// Interchangeable sessions may tell each other apart.
    pub shows_names: bool,
}

impl Observed {
    pub fn new(base: Program, catalog: Catalog, quiet: bool, schedules_prelude: bool) -> Observed {
        Observed {
            base,
            catalog,
            quiet,
            schedules_prelude,
            seen: Mutex::default(),
            learned: Learned::default(),
        }
    }

    /// What is known by now.
    pub fn knowledge(&self) -> Knowledge {
        let mut seen = self.seen();
        let version = seen.version;
        let program = match seen.program.take() {
            Some((known, program)) if known == version => program,
            _ if seen.opaque || seen.changes_schema => Arc::new(self.base.opaque(&seen.steps)),
            _ => {
                let snapshots = match seen.levels.is_empty() {
                    true => Snapshots::UNKNOWN,
                    false => Snapshots::of_levels(seen.levels.iter().copied()),
                };
                Arc::new(self.base.with_seen(&seen.steps, snapshots))
            }
        };
        seen.program = Some((version, program.clone()));
        Knowledge {
            version,
            program,
            shows_names: seen.shows_names,
        }
    }

    /// Whether it matters when a program's transactions begin, so that its BEGINs are steps.
    pub fn begins_apart(&self) -> bool {
        if !self.base.takes_time() && !self.seen().takes_time {
            return false;
        }
        let program = self.knowledge().program;
        let mut sessions = program.sessions().iter().enumerate();
        sessions.any(|(index, session)| session.is_program && program.begins_apart(index))
    }

    /// Whether a statement of the scenario may lock whole tables, so that to prepare one is a step.
    pub fn tables_locked(&self) -> bool {
        self.seen().locks_tables
    }

    /// A statement may lock whole tables.
    pub fn locks_tables(&self) {
        let mut seen = self.seen();
        if !std::mem::replace(&mut seen.locks_tables, true) {
            seen.version += 1;
        }
    }

    /// Takes down a statement that is to be scheduled, and returns its number.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn number(
        &self,
        sql: &str,
        types: &[u32],
        kind: StatementKind,
        level: Isolation,
        conditions: &mut Conditions<'_>,
    ) -> Result<usize, RunError> {
        self.reaches(level);
        let key = (sql.to_owned(), types.to_vec());
        let known = self.seen().numbers.get(&key).copied();
        if let Some(number) = known {
            return Ok(number);
        }
        let known = self.know(sql, types, kind, conditions).await?;
        Ok(self.add(key, kind, &known))
    }

    /// Takes down the level of a transaction.
    pub(crate) fn reaches(&self, level: Isolation) {
        let mut seen = self.seen();
        if seen.levels.insert(level) {
            seen.version += 1;
        }
    }

    /// Takes down what a statement's text says of others.
    pub fn heed(&self, sql: &str, kind: StatementKind) {
        if schedulable::may_lock_tables(sql) {
            self.locks_tables();
        }
        if conflict::changes_meaning(sql, kind) {
            self.meets_elsewhere();
        }
        let shows = |word: &str| SHOW_A_NAME.iter().any(|name| name.eq_ignore_ascii_case(word));
        if tokens(sql).any(|token| token.kind == TokenKind::Word && shows(token.text)) {
            self.shows_names();
        }
    }

    /// Interchangeable sessions may tell each other apart.
    fn shows_names(&self) {
        let mut seen = self.seen();
        if !std::mem::replace(&mut seen.shows_names, true) {
            seen.version += 1;
        }
    }

    /// Takes down what is known of a statement, and returns its number.
    pub(crate) fn add(&self, key: Key, kind: StatementKind, known: &StatementKnown) -> usize {
        let sql = key.0.clone();
        self.heed(&sql, kind);
        // a function of the scenario's own may do anything
        if known.footprint.unknown || known.footprint.calls {
            self.locks_tables();
        }
        let mut seen = self.seen();
        // another worker may have met it meanwhile
        let number = seen.steps.len();
        if let Some(number) = seen.numbers.get(&key) {
            return *number;
        }
        seen.numbers.insert(key, number);
        let step = ProgramStep {
            sql,
            kind,
            variables: Vec::new(),
            conditional: true,
            facts: StepFacts {
                footprint: known.footprint.clone(),
                meaning: known.meaning.clone(),
                columns: None,
                needs: BTreeSet::new(),
            },
        };
        seen.takes_time |= step.takes_time();
        seen.steps.push(step);
        seen.version += 1;
        number
    }

    /// What is known of a statement.
    async fn know(
        &self,
        sql: &str,
        types: &[u32],
        kind: StatementKind,
        conditions: &mut Conditions<'_>,
    ) -> Result<Arc<StatementKnown>, RunError> {
        match kind {
            StatementKind::Plain => {}
            StatementKind::OutsideBlock | StatementKind::PrepareTransaction => {
                return Ok(Arc::new(StatementKnown::nothing()));
            }
            _ => {
                return Ok(Arc::new(StatementKnown {
                    footprint: Footprint::default(),
                    meaning: Meaning::default(),
                }));
            }
        }
        let key = (sql.to_owned(), types.to_vec());
        let known = self.seen().known.get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let (analysis, catalog) = self.analyse(sql, types, conditions).await?;
        let known = Arc::new(conflict::know(sql, analysis.as_ref(), &catalog));
        self.seen().known.insert(key, known.clone());
        Ok(known)
    }

    /// What the server makes of a statement, and the catalog that tells what its names mean.
    async fn analyse(
        &self,
        sql: &str,
        types: &[u32],
        conditions: &mut Conditions<'_>,
    ) -> Result<(Option<Analysis>, Catalog), RunError> {
        conditions.monitor.drain(conditions.control).await?;
        let mut catalog = self.catalog.clone();
        let analysis = catalog.analyse(conditions.control, sql, types, self.quiet).await?;
        Ok((analysis, catalog))
    }

    /// Takes down a SET that was not scheduled.
    pub fn sets(&self, sql: &str) {
        if conflict::changes_meaning(sql, StatementKind::Setting) && !keeps_strings(sql) {
            self.meets_elsewhere();
        }
    }

    /// From now on everything may meet everything: names may mean other tables, or programs meet elsewhere than in the
    /// database.
    pub fn meets_elsewhere(&self) {
        let mut seen = self.seen();
        if !std::mem::replace(&mut seen.opaque, true) {
            seen.version += 1;
        }
    }

    /// Whether a statement changes no more than rows and sequences.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn changes_rows_only(
        &self,
        kind: StatementKind,
        sql: &str,
        types: &[u32],
        conditions: &mut Conditions<'_>,
    ) -> Result<bool, RunError> {
        let known = self.know(sql, types, kind, conditions).await?;
        Ok(!known.footprint.unknown)
    }

    /// Whether a statement changes nothing and locks nothing.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn only_reads(
        &self,
        kind: StatementKind,
        sql: &str,
        types: &[u32],
        conditions: &mut Conditions<'_>,
    ) -> Result<bool, RunError> {
        let known = self.know(sql, types, kind, conditions).await?;
        let footprint = &known.footprint;
        Ok(!footprint.unknown && !footprint.calls && !footprint.holds())
    }

    /// Programs lock files, and may meet there.
    pub fn meets_in_files(&self) {
        self.learned.stop();
        self.meets_elsewhere();
    }

    /// What was learned of the programs.
    pub fn learned(&self) -> &Learned<Doing> {
        &self.learned
    }

    /// What decides now which requests are steps, beside the requests.
    pub fn treatment(&self) -> Treatment {
        Treatment {
            begins_apart: self.begins_apart(),
            tables_locked: self.tables_locked(),
            changes_schema: self.has_changed_schema(),
        }
    }

    /// Whether what a statement takes or makes may outlive its transaction, so that the next one on the connection may find it.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn outlives_transactions(
        &self,
        kind: StatementKind,
        sql: &str,
        types: &[u32],
        conditions: &mut Conditions<'_>,
    ) -> Result<bool, RunError> {
        let known = self.know(sql, types, kind, conditions).await?;
        let keeps_locks = known.footprint.takes(&Object::AdvisoryLocks) && !sql.to_lowercase().contains("_xact_");
        Ok(known.footprint.unknown || known.footprint.calls || keeps_locks)
    }

    /// Sessions meet inside their program: everything may meet everything, and which process a request goes to matters.
    pub fn meets_in_process(&self) {
        self.learned.stop();
        self.meets_elsewhere();
        self.shows_names();
    }

    /// Whether a query of a driver's looks at the system catalogs alone, so that it need not be scheduled.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn is_prelude(
        &self,
        sql: &str,
        types: &[u32],
        conditions: &mut Conditions<'_>,
    ) -> Result<bool, RunError> {
        if self.schedules_prelude || self.seen().changes_schema || !may_be_prelude(sql) {
            return Ok(false);
        }
        let key = (sql.to_owned(), types.to_vec());
        let known = self.seen().preludes.get(&key).copied();
        let found = match known {
            Some(known) => known,
            None => {
                let (analysis, catalog) = self.analyse(sql, types, conditions).await?;
                let found = analysis.is_some_and(|analysis| reads_catalogs_only(&analysis, &catalog));
                self.seen().preludes.insert(key, found);
                found
            }
        };
        self.seen().passed |= found;
        Ok(found)
    }

    /// A statement changes the schema, or may. Returns whether something that this may concern has passed unscheduled.
    pub fn schema_changes(&self) -> bool {
        let mut seen = self.seen();
        if !std::mem::replace(&mut seen.changes_schema, true) {
            seen.version += 1;
        }
        seen.passed
    }

    /// Whether a statement was seen that changes the schema, or may.
    pub fn has_changed_schema(&self) -> bool {
        self.seen().changes_schema
    }

    /// Takes down what a program does next. Returns whether it did the same whenever it had been told the same.
    pub fn follows(&self, before: u64, next: u64) -> bool {
        *self.seen().followed.entry(before).or_insert(next) == next
    }

    /// The request of this session was answered.
    pub fn is_answered(&self, session: &str) {
        let mut seen = self.seen();
        if !seen.answered.contains(session) {
            seen.answered.insert(session.to_owned());
        }
    }

    /// Whether the request of this session has been answered in some run.
    pub fn has_been_answered(&self, session: &str) -> bool {
        self.seen().answered.contains(session)
    }

    /// A program has sent a time of its own clock.
    pub fn takes_own_time(&self) {
        self.seen().takes_own_time = true;
    }

    /// Takes down what was not under control, where that belongs to no run.
    pub fn doubt(&self, what: Uncontrolled) {
        let mut seen = self.seen();
        if !seen.doubts.contains(&what) {
            seen.doubts.push(what);
        }
    }

    /// What was not under control, beside what runs say of themselves.
    pub fn doubts(&self) -> Vec<Uncontrolled> {
        let tells_times = self.knowledge().program.tells_times();
        let seen = self.seen();
        let own_clock = (seen.takes_own_time && tells_times).then_some(Uncontrolled::OwnClock);
        seen.doubts.iter().cloned().chain(own_clock).collect()
    }

    /// Takes down what the reader should know beside the verdict.
    pub fn note(&self, note: impl Into<String>) {
        self.seen().notes.insert(note.into());
    }

    /// What was taken down.
    pub fn notes(&self) -> Vec<String> {
        self.seen().notes.iter().cloned().collect()
    }

    /// What another thread may have left half done is no more than a missing entry.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Statements of an application name its tables; those of a driver name the catalogs. Large objects lie in a catalog, and a
/// driver does not sleep.
pub(super) fn may_be_prelude(sql: &str) -> bool {
    let text = sql.to_lowercase();
    (text.contains("pg_") || text.contains("information_schema") || text.contains("::reg"))
        && !text.contains("largeobject")
        && !text.contains("pg_sleep")
}

/// Whether a SET leaves strings as every session of pgbraid's has them.
fn keeps_strings(sql: &str) -> bool {
    let words: Vec<String> = tokens(sql)
        .filter(|token| !token.is_blank())
        .map(|token| token.text.trim_matches(['\'', '"']).to_lowercase())
        .collect();
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| *word != "session")
        .collect();
    matches!(
        words.as_slice(),
        ["set", "standard_conforming_strings", "=" | "to", "on", ..]
    )
}
