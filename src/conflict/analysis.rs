//! A statement's footprint, derived from the tables and functions that the server says it names and what depends on
//! those.

use std::collections::{BTreeMap, BTreeSet};

use super::footprint::{Footprint, LockStrength, Object, WriteKind};
use super::statement::{
    self, Command, Meaning, Times, Touches, calls, depends_on_order_of, may_take_time, touches_in_text, updates_no_key,
};
use crate::postgres::catalog::{Analysis, Catalog, RelationLock, Routine};
use crate::sql::StatementKind;
use crate::sql::lexer::{Token, TokenKind, significant, tokens};
use crate::sql::words::{CHANGES, LEVEL_SETTINGS, SET_CONFIG};

/// Words in functions that run a query built at run time, or do something that is not analysed.
const OUT_OF_SIGHT: [&str; 28] = [
    "alter",
    "analyze",
    "call",
    "checkpoint",
    "cluster",
    "comment",
    "commit",
    "copy",
    "create",
    "deallocate",
    "discard",
    "do",
    "drop",
    "execute",
    "grant",
    "import",
    "listen",
    "lock",
    "notify",
    "prepare",
    "refresh",
    "reindex",
    "revoke",
    "rollback",
    "security",
    "truncate",
    "unlisten",
    "vacuum",
];

/// Words after which a command of a function begins.
const COMMAND_BEGINS: [&str; 5] = ["begin", "then", "else", "loop", ";"];

/// Settings that change nothing but how a session's own statements are planned and what they print, beside
/// [`LEVEL_SETTINGS`], which are known otherwise. All others may decide what a statement's names and constants mean, which triggers fire, or
/// what a statement waits for.
const SETTINGS_OF_ONES_OWN: [&str; 32] = [
    "application_name",
    "bytea_output",
    "client_min_messages",
    "constraint_exclusion",
    "cursor_tuple_fraction",
    "datestyle",
    "debug_pretty_print",
    "default_statistics_target",
    "default_transaction_read_only",
    "effective_cache_size",
    "effective_io_concurrency",
    "extra_float_digits",
    "force_parallel_mode",
    "debug_parallel_query",
    "from_collapse_limit",
    "gin_fuzzy_search_limit",
    "hash_mem_multiplier",
    "intervalstyle",
    "join_collapse_limit",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "maintenance_work_mem",
    "plan_cache_mode",
    "recursive_worktable_factor",
    "synchronous_commit",
    "temp_buffers",
    "timezone",
    "transaction_read_only",
    "work_mem",
    "xmlbinary",
    "xmloption",
];

/// The same, by how their names begin or end.
const KINDS_OF_SETTINGS: [(&str, &str); 8] = [
    ("enable_", ""),
    ("geqo", ""),
    ("jit", ""),
    ("cpu_", "_cost"),
    ("", "_page_cost"),
    ("parallel_", "_cost"),
    ("max_parallel_", ""),
    ("min_parallel_", ""),
];

/// Whether, in a session that runs this statement, names may refer to other tables, or statements wait for other
/// things, than the analysis of the session's statements says.
pub fn changes_meaning(sql: &str, kind: StatementKind) -> bool {
    match kind {
        StatementKind::Setting => !sets_ones_own(sql),
        StatementKind::Begin => significant(sql).iter().any(|word| word.is("deferrable")),
        _ => tokens(sql).any(|token| {
            token.kind != TokenKind::String && token.text.trim_matches('"').eq_ignore_ascii_case(SET_CONFIG)
        }),
    }
}

/// Whether a SET, RESET or SHOW names a setting that is known to concern the session alone.
fn sets_ones_own(sql: &str) -> bool {
    let words = significant(sql);
    let mut words = words.iter();
    let Some(verb) = words.next() else { return false };
    if verb.is("show") {
        return true;
    }
    let mut words = words.skip_while(|word| word.is_one_of(&["session", "local"]));
    let Some(first) = words.next() else { return false };
    let rest: Vec<&Token<'_>> = words.collect();
    let follows = |word: &str| rest.first().is_some_and(|next| next.is(word));
    if first.is("transaction") || (first.is("characteristics") && follows("as")) {
        return !rest.iter().any(|word| word.is_one_of(&["deferrable", "snapshot"]));
    }
    if first.is("time") && follows("zone") {
        return true;
    }
    // what a RESET ALL undoes was set before
    if first.is("all") && verb.is("reset") {
        return true;
    }
    let name = name_of(first);
    // a setting of the application's own has a dot in its name
    let is_applications = rest.first().is_some_and(|next| next.text == ".") || name.contains('.');
    let is_of_kind = |(start, end): &(&str, &str)| name.starts_with(start) && name.ends_with(end);
    is_applications
        || LEVEL_SETTINGS.contains(&name.as_str())
        || SETTINGS_OF_ONES_OWN.contains(&name.as_str())
        || KINDS_OF_SETTINGS.iter().any(is_of_kind)
}

/// What is known of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementKnown {
    pub footprint: Footprint,
    pub meaning: Meaning,
}

impl StatementKnown {
    /// Nothing.
    pub fn nothing() -> StatementKnown {
        StatementKnown {
            footprint: Footprint::unknown(),
            meaning: Meaning::unknown(),
        }
    }
}

/// What is known of a statement, given the server's analysis (`None` where the server rejected it). To the tables that
/// the analysis locked, this adds what foreign keys check and change, the sequences that columns draw from, the
/// relatives of partitions, what row-level security reads, and what triggers and functions of the scenario's own name
/// in their text.
pub fn know(sql: &str, analysis: Option<&Analysis>, catalog: &Catalog) -> StatementKnown {
    let words = significant(sql);
    if words
        .first()
        .is_some_and(|word| word.is_one_of(&["listen", "unlisten", "notify"]))
    {
        let mut footprint = Footprint::default();
        footprint.write(Object::Notifications, WriteKind::Change);
        return StatementKnown {
            footprint,
            meaning: Meaning::default(),
        };
    }
    let queries = analysis.iter().flat_map(|analysis| &analysis.queries);
    let sets = |function: u32| {
        catalog
            .functions
            .get(&function)
            .is_some_and(|known| known.name == SET_CONFIG)
    };
    let changes_settings = queries.flat_map(calls).any(|call| sets(call.function));
    let query = match analysis.map(|analysis| analysis.queries.as_slice()) {
        // a rule turns one query into several, or none
        Some([query]) if statement::command(query) != Command::Other && !catalog.unnamed_calls => query,
        _ => {
            let mut known = StatementKnown::nothing();
            known.meaning.changes_settings = changes_settings;
            if keeps_no_time(&words, catalog) {
                known.meaning.times = Times::default();
            }
            return known;
        }
    };
    let mut walk = Walk {
        catalog,
        footprint: Footprint::default(),
        called: BTreeSet::new(),
        written: BTreeMap::new(),
        policies: BTreeSet::new(),
        takes_time: false,
    };
    walk.footprint.unknown = statement::looks_at_system(query);
    for sequence in statement::identities(query) {
        walk.footprint.write(Object::Relation(sequence), WriteKind::Change);
    }
    for call in calls(query) {
        match statement::touches(call.function, catalog) {
            Touches::Nothing => {}
            Touches::Sequences => match call.names.filter(|_| catalog.reads_constants) {
                Some(sequence) => walk.footprint.write(Object::Relation(sequence), WriteKind::Change),
                None => walk.any_sequence(),
            },
            Touches::AdvisoryLocks => walk.footprint.write(Object::AdvisoryLocks, WriteKind::Change),
            Touches::Notifications => walk.footprint.write(Object::Notifications, WriteKind::Change),
            Touches::Routine => {
                for routine in catalog.routines.iter().filter(|routine| routine.oid == call.function) {
                    walk.call(routine);
                }
            }
            Touches::Unknown => walk.footprint.unknown = true,
        }
    }
    let strength = statement::lock_strength(query);
    let no_key = updates_no_key(query, catalog);
    let change = |table: u32| match () {
        () if statement::only_adds(query) => WriteKind::Append,
        () if no_key == Some(table) => WriteKind::UpdateNoKey,
        () => WriteKind::Change,
    };
    for &(table, lock) in analysis.iter().flat_map(|analysis| &analysis.relations) {
        match lock {
            RelationLock::Read => walk.read(table),
            RelationLock::RowLock => walk.lock(table, strength),
            RelationLock::Write => walk.write(table, change(table)),
            RelationLock::Other => walk.footprint.unknown = true,
        }
    }
    let mut meaning = Meaning::of(query, sql, catalog);
    meaning.changes_settings = changes_settings;
    let relations = analysis.iter().flat_map(|analysis| &analysis.relations);
    // adding rows to a table does not read it
    let is_read = |lock: &RelationLock| *lock != RelationLock::Write || !statement::only_adds(query);
    let all = || {
        relations
            .filter(|(_, lock)| is_read(lock))
            .map(|(table, _)| *table)
            .collect()
    };
    walk.order(&depends_on_order_of(query, catalog).unwrap_or_else(all));
    if walk.footprint.calls || walk.takes_time {
        // a function may do anything with the times that it gets
        meaning.times = meaning.times.and(Times {
            takes: walk.takes_time,
            keeps: walk.takes_time,
            tells: true,
        });
    }
    StatementKnown {
        footprint: walk.footprint,
        meaning,
    }
}

/// Whether a utility statement surely has nothing to do with the time: it locks or empties tables, and no trigger runs.
fn keeps_no_time(words: &[Token<'_>], catalog: &Catalog) -> bool {
    let first = words.first();
    first.is_some_and(|word| word.is("lock"))
        || (first.is_some_and(|word| word.is("truncate")) && catalog.triggers.is_empty())
}

fn name_of(word: &Token<'_>) -> String {
    let quoted = word.text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    quoted.map_or_else(
        || word.text.to_lowercase(),
        |name| name.replace("\"\"", "\"").to_lowercase(),
    )
}

fn names<'a, 'b>(words: &'b [Token<'a>]) -> impl Iterator<Item = &'b Token<'a>> {
    words
        .iter()
        .filter(|word| matches!(word.kind, TokenKind::Word | TokenKind::QuotedName))
}

/// Follows what depends on a table, and what functions name.
struct Walk<'a> {
    catalog: &'a Catalog,
    footprint: Footprint,
    /// Functions already visited.
    called: BTreeSet<u32>,
    /// What the statement, its triggers and cascades do to tables.
    written: BTreeMap<u32, WriteKind>,
    /// Tables whose policies have been visited.
    policies: BTreeSet<u32>,
    /// A visited function may take the time.
    takes_time: bool,
}

impl Walk<'_> {
    /// The physical order of these tables' rows matters to the statement; where a function is called, that of all it
    /// reads.
    fn order(&mut self, tables: &BTreeSet<u32>) {
        let relatives = tables.iter().flat_map(|&table| self.relatives(table));
        let mut ordered: BTreeSet<Object> = relatives.map(Object::Relation).collect();
        if self.footprint.calls {
            ordered.extend(self.footprint.reads.iter().cloned());
        }
        self.footprint.ordered = ordered;
    }

    fn any_sequence(&mut self) {
        self.footprint.write(Object::Sequences, WriteKind::Change);
        for &sequence in &self.catalog.all_sequences {
            self.footprint.write(Object::Relation(sequence), WriteKind::Change);
        }
    }

    /// What shows only in the text: advisory locks, notifications, sequences, functions of the scenario's own, and the
    /// system's views and functions.
    fn named(&mut self, words: &[Token<'_>]) {
        for word in names(words) {
            let name = name_of(word);
            let routines = self.catalog.routines.iter();
            for routine in routines.filter(|routine| routine.name.to_lowercase() == name) {
                self.call(routine);
            }
            // `U&"…"` may be any name
            let is_escaped = word.kind == TokenKind::QuotedName && word.text.starts_with(['U', 'u']);
            match touches_in_text(&name) {
                Touches::AdvisoryLocks => self.footprint.write(Object::AdvisoryLocks, WriteKind::Change),
                Touches::Notifications => self.footprint.write(Object::Notifications, WriteKind::Change),
                Touches::Sequences => self.any_sequence(),
                Touches::Unknown | Touches::Routine => self.footprint.unknown = true,
                Touches::Nothing => self.footprint.unknown |= is_escaped,
            }
        }
    }

    /// A function can touch only tables that its text names, unless it runs a query that it builds. What it does to a
    /// table is not analysed: if it changes or locks anything, it is assumed to make any change to every table that it
    /// names.
    fn call(&mut self, routine: &Routine) {
        self.footprint.calls = true;
        self.takes_time |= routine.body.as_deref().is_none_or(may_take_time);
        if !self.called.insert(routine.oid) {
            return;
        }
        let words = routine.body.as_deref().map(significant);
        let sets = |pair: &[Token<'_>]| {
            let begins = |word: &str| pair[0].text.eq_ignore_ascii_case(word);
            COMMAND_BEGINS.into_iter().any(begins) && pair[1].is_one_of(&["set", "reset"])
        };
        let out_of_sight = |words: &Vec<Token<'_>>| {
            words.iter().any(|word| word.is_one_of(&OUT_OF_SIGHT))
                || words.windows(2).any(sets)
                || words.first().is_some_and(|word| word.is_one_of(&["set", "reset"]))
        };
        let Some(words) = words.filter(|words| !out_of_sight(words)) else {
            self.footprint.unknown = true;
            return;
        };
        self.named(&words);
        let changes = words.iter().any(|word| word.is("for") || word.is_one_of(&CHANGES));
        let named: BTreeSet<String> = names(&words).map(name_of).collect();
        let tables = self.catalog.tables.iter();
        let tables: Vec<u32> = tables
            .filter(|(_, (_, name))| named.contains(&name.to_lowercase()))
            .map(|(&table, _)| table)
            .collect();
        for table in tables {
            if let Some(definition) = self.catalog.views.get(&table) {
                self.view(definition, changes);
            }
            self.touch(table, changes);
        }
    }

    /// The tables that a view's definition names.
    fn view(&mut self, definition: &str, changes: bool) {
        let words = significant(definition);
        self.named(&words);
        let named: BTreeSet<String> = names(&words).map(name_of).collect();
        let changes = changes || words.iter().any(|word| word.is("for"));
        for (&table, (_, name)) in &self.catalog.tables {
            if named.contains(&name.to_lowercase()) && !self.catalog.views.contains_key(&table) {
                self.touch(table, changes);
            } else if named.contains(&name.to_lowercase()) {
                // a view on a view
                self.footprint.unknown = true;
            }
        }
    }

    fn touch(&mut self, table: u32, changes: bool) {
        self.read(table);
        if changes {
            self.lock(table, LockStrength::Update);
            self.write(table, WriteKind::Change);
        }
    }

    fn read(&mut self, table: u32) {
        for relative in self.relatives(table) {
            self.footprint.unknown |= self.catalog.opaque.contains(&relative);
            self.footprint.reads.insert(Object::Relation(relative));
            self.policies(relative);
            if self.catalog.all_sequences.contains(&relative) {
                // it shows drawn numbers that nobody has committed
                self.footprint.write(Object::Relation(relative), WriteKind::Change);
                self.footprint.write(Object::Sequences, WriteKind::Change);
            }
        }
    }

    fn lock(&mut self, table: u32, strength: LockStrength) {
        for relative in self.relatives(table) {
            self.footprint.unknown |= self.catalog.opaque.contains(&relative);
            self.footprint.lock(Object::Relation(relative), strength);
            self.policies(relative);
        }
    }

    /// What row-level security reads. Whether it applies depends on the statement's user, and a function may run as
    /// another one.
    fn policies(&mut self, table: u32) {
        if !self.policies.insert(table) {
            return;
        }
        for condition in self.catalog.policies.get(&table).into_iter().flatten() {
            self.view(condition, false);
        }
    }

    /// `change` is what the statement does to the tables that it names.
    fn write(&mut self, table: u32, change: WriteKind) {
        let relatives = self.relatives(table);
        let unique = relatives.iter().any(|relative| self.catalog.unique.contains(relative));
        let kind = match change {
            WriteKind::Append if unique => WriteKind::Change,
            kind => kind,
        };
        for relative in relatives {
            if self.written.get(&relative).is_some_and(|known| *known >= change) {
                continue;
            }
            self.written.insert(relative, change);
            self.footprint.write(Object::Relation(relative), kind);
            self.policies(relative);
            self.footprint.unknown |=
                self.catalog.side_effects.contains(&relative) || self.catalog.opaque.contains(&relative);
            for definition in self.catalog.triggers.get(&relative).into_iter().flatten() {
                self.footprint.calls = true;
                self.named(&significant(definition));
            }
            for &sequence in self.catalog.sequences.get(&relative).into_iter().flatten() {
                self.footprint.write(Object::Relation(sequence), WriteKind::Change);
            }
            self.foreign_keys(relative, change);
        }
    }

    /// A changed row that references another row locks it; when a referenced row is changed, the rows that reference it
    /// are looked up and locked, and perhaps changed too.
    fn foreign_keys(&mut self, table: u32, change: WriteKind) {
        for key in &self.catalog.foreign_keys {
            if key.referencing == table {
                self.check(key.referenced);
            }
            if key.referenced == table && change == WriteKind::Change {
                self.read(key.referencing);
                self.lock(key.referencing, LockStrength::KeyShare);
                self.takes_time |= key.sets_default;
                self.footprint.unknown |= key.sets_default;
                if key.cascades {
                    self.write(key.referencing, WriteKind::Change);
                }
            }
        }
    }

    fn check(&mut self, table: u32) {
        for relative in self.relatives(table) {
            self.footprint.unknown |= self.catalog.opaque.contains(&relative);
            self.footprint.checks.insert(Object::Relation(relative));
        }
    }

    /// A table with all its ancestors and descendants: a partition is reached through its parent.
    fn relatives(&self, table: u32) -> Vec<u32> {
        let mut relatives = vec![table];
        let mut next = 0;
        while let Some(&one) = relatives.get(next) {
            next += 1;
            for &(child, parent) in &self.catalog.inheritance {
                let other = match one {
                    _ if one == child => parent,
                    _ if one == parent => child,
                    _ => continue,
                };
                if !relatives.contains(&other) {
                    relatives.push(other);
                }
            }
        }
        relatives
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_not_known_change_what_statements_mean() {
        let sets = |sql: &str| changes_meaning(sql, StatementKind::Setting);
        for own in [
            "SET enable_seqscan = off",
            "SET LOCAL work_mem TO '1MB'",
            "SET SESSION random_page_cost = 1",
            "SET app.tenant = '7'",
            "SET TIME ZONE 'UTC'",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "SHOW search_path",
            "RESET ALL",
        ] {
            assert!(!sets(own), "{own}");
        }
        for other in [
            "SET search_path = private",
            "SET LOCAL lock_timeout = '1s'",
            "SET standard_conforming_strings = off",
            "SET NAMES 'latin1'",
            "SET ROLE other",
            "SET SESSION AUTHORIZATION other",
            "SET TRANSACTION DEFERRABLE",
            "SET what_comes_in_the_next_version = on",
            "RESET role",
        ] {
            assert!(sets(other), "{other}");
        }
        assert!(changes_meaning("BEGIN DEFERRABLE", StatementKind::Begin));
        assert!(changes_meaning(
            "SELECT set_config('role', 'x', true)",
            StatementKind::Plain
        ));
    }
}
