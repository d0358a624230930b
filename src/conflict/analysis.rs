//! A statement's footprint, from the tables that the server says it names and from what hangs on those tables.

use std::collections::{BTreeMap, BTreeSet};

use super::footprint::{Footprint, LockStrength, Object, WriteKind};
use super::pin::updates_no_key;
use crate::postgres::catalog::{Catalog, RelationLock, Routine};
use crate::scenario::sql::StatementKind;
use crate::scenario::sql::lexer::{Token, TokenKind, tokens};

/// Statements whose tables the server knows when it has analysed them; all others are utility statements.
const QUERIES: [&str; 8] = [
    "select", "insert", "update", "delete", "merge", "with", "values", "table",
];

/// Functions that run a query given as text, look at a table given by name (as those do that make XML), or at large
/// objects.
const RUN_QUERIES: [&str; 14] = [
    "connectby",
    "crosstab",
    "crosstab2",
    "crosstab3",
    "crosstab4",
    "crosstabn",
    "currtid2",
    "loread",
    "lowrite",
    "pgrowlocks",
    "pgstattuple",
    "ts_rewrite",
    "ts_stat",
    "xpath_table",
];

/// Functions that look at nothing that a session can change.
const HARMLESS: [&str; 4] = ["pg_sleep", "pg_sleep_for", "pg_typeof", "pg_backend_pid"];

/// With these, what a query answers may depend on where rows lie.
const IN_ORDER: [&str; 5] = ["limit", "offset", "fetch", "distinct", "over"];

/// Words of functions that run a query put together as they go, or do what is not looked into.
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

/// Words behind which a command of a function begins.
const COMMAND_BEGINS: [&str; 5] = ["begin", "then", "else", "loop", ";"];

/// Words without which a function only reads.
const CHANGING: [&str; 5] = ["insert", "update", "delete", "merge", "for"];

/// Settings that decide what a statement's names mean, which triggers fire, or what a statement waits for.
const SETTINGS_THAT_MATTER: [&str; 13] = [
    "lock_timeout",
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "deadlock_timeout",
    "search_path",
    "schema",
    "role",
    "authorization",
    "session_replication_role",
    "row_security",
    "deferrable",
    "transaction_deferrable",
    "default_transaction_deferrable",
];

/// Whether a session that runs this statement may mean other tables by its names, or wait for other things, than its
/// statements' analysis says.
pub fn changes_meaning(sql: &str, kind: StatementKind) -> bool {
    tokens(sql).any(|token| match kind {
        StatementKind::Setting | StatementKind::Begin => token.is_one_of(&SETTINGS_THAT_MATTER),
        _ => token.kind != TokenKind::String && token.text.trim_matches('"').eq_ignore_ascii_case("set_config"),
    })
}

/// What a statement may touch: `relations` are the tables that its analysis locked (`None` where the server did not
/// take it), to which come what foreign keys check and change, the sequences that columns draw from, the relatives of
/// partitions, and what triggers and functions of the scenario's own name in their text.
pub fn footprint(sql: &str, relations: Option<&[(u32, RelationLock)]>, catalog: &Catalog) -> Footprint {
    let words = significant(sql);
    let first = words.first();
    if first.is_some_and(|word| word.is_one_of(&["listen", "unlisten", "notify"])) {
        let mut footprint = Footprint::default();
        footprint.write(Object::Notifications, WriteKind::Change);
        return footprint;
    }
    let Some(relations) = relations.filter(|_| first.is_some_and(|word| word.is_one_of(&QUERIES))) else {
        return Footprint::unknown();
    };
    if catalog.unnamed_calls {
        return Footprint::unknown();
    }
    let mut walk = Walk {
        catalog,
        footprint: Footprint::default(),
        called: BTreeSet::new(),
        written: BTreeMap::new(),
    };
    walk.named(&words);
    let is_view = |table: &u32| catalog.views.contains_key(table);
    for definition in relations.iter().filter_map(|(table, _)| catalog.views.get(table)) {
        walk.named(&significant(definition));
    }
    let adds_only = first.is_some_and(|word| word.is("insert")) && !words.iter().any(|word| word.is("conflict"));
    // a view may have a FOR UPDATE of its own
    let strength = match relations.iter().any(|(table, _)| is_view(table)) {
        true => LockStrength::Update,
        false => lock_strength(&words),
    };
    let no_key = updates_no_key(sql, catalog);
    let change = |table: u32| match () {
        () if adds_only => WriteKind::Append,
        () if no_key == Some(table) => WriteKind::UpdateNoKey,
        () => WriteKind::Change,
    };
    for &(table, lock) in relations {
        match lock {
            RelationLock::Read => walk.read(table),
            RelationLock::RowLock => walk.lock(table, strength),
            RelationLock::Write => walk.write(table, change(table)),
            RelationLock::Other => walk.footprint.unknown = true,
        }
    }
    walk.footprint
}

fn significant(sql: &str) -> Vec<Token<'_>> {
    tokens(sql).filter(|token| !token.is_blank()).collect()
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

/// The strongest of the statement's FOR … clauses.
fn lock_strength(words: &[Token<'_>]) -> LockStrength {
    let is = |word: Option<&Token<'_>>, keyword| word.is_some_and(|word| word.is(keyword));
    let strengths = words
        .iter()
        .enumerate()
        .filter(|(_, word)| word.is("for"))
        .map(|(index, _)| {
            let next = words.get(index + 1);
            if is(next, "key") {
                LockStrength::KeyShare
            } else if is(next, "share") {
                LockStrength::Share
            } else if is(next, "no") {
                LockStrength::NoKeyUpdate
            } else {
                LockStrength::Update
            }
        });
    strengths.max().unwrap_or(LockStrength::Update)
}

/// Follows what hangs on a table, and what functions name.
struct Walk<'a> {
    catalog: &'a Catalog,
    footprint: Footprint,
    /// Functions that have been looked into.
    called: BTreeSet<u32>,
    /// What the statement, its triggers and cascades do to tables.
    written: BTreeMap<u32, WriteKind>,
}

impl Walk<'_> {
    /// What shows in a text alone: advisory locks, notifications, sequences, functions of the scenario's own, and the
    /// system's views and functions.
    fn named(&mut self, words: &[Token<'_>]) {
        for word in names(words) {
            let name = name_of(word);
            let routines = self.catalog.routines.iter();
            for routine in routines.filter(|routine| routine.name.to_lowercase() == name) {
                self.call(routine);
            }
            let footprint = &mut self.footprint;
            footprint.ordered |= name.ends_with("agg") || word.is_one_of(&IN_ORDER);
            if name.starts_with("pg_advisory") || name.starts_with("pg_try_advisory") {
                footprint.write(Object::AdvisoryLocks, WriteKind::Change);
            } else if name == "pg_notify" {
                footprint.write(Object::Notifications, WriteKind::Change);
            } else if ["nextval", "setval", "currval", "lastval"].contains(&name.as_str()) {
                footprint.write(Object::Sequences, WriteKind::Change);
                for &sequence in self.catalog.sequences.values().flatten() {
                    footprint.write(Object::Relation(sequence), WriteKind::Change);
                }
            } else if (name.starts_with("pg_") && !HARMLESS.contains(&name.as_str()))
                || name == "information_schema"
                || word.text.starts_with(['U', 'u']) && word.kind == TokenKind::QuotedName
                || name.starts_with("txid_")
                || name.starts_with("lo_")
                || name.starts_with("dblink")
                || RUN_QUERIES.contains(&name.as_str())
                || name.contains("_to_xml")
            {
                footprint.unknown = true;
            }
        }
    }

    /// A function can touch no table that its text does not name, unless it runs a query that it has put together. What
    /// it does to a table is not looked into: everything, if it changes or locks anything.
    fn call(&mut self, routine: &Routine) {
        (self.footprint.calls, self.footprint.ordered) = (true, true);
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
        let changes = words.iter().any(|word| word.is_one_of(&CHANGING));
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
            if self.catalog.all_sequences.contains(&relative) {
                // it shows numbers drawn that nobody has committed
                self.footprint.write(Object::Relation(relative), WriteKind::Change);
                self.footprint.write(Object::Sequences, WriteKind::Change);
            }
        }
    }

    fn lock(&mut self, table: u32, strength: LockStrength) {
        for relative in self.relatives(table) {
            self.footprint.unknown |= self.catalog.opaque.contains(&relative);
            self.footprint.lock(Object::Relation(relative), strength);
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

    /// A changed row that references another locks that one; a row that others reference, when it is changed, has those
    /// looked up and locked, and perhaps changed too.
    fn foreign_keys(&mut self, table: u32, change: WriteKind) {
        for key in &self.catalog.foreign_keys {
            if key.referencing == table {
                self.check(key.referenced);
            }
            if key.referenced == table && change == WriteKind::Change {
                self.read(key.referencing);
                self.lock(key.referencing, LockStrength::KeyShare);
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

    /// A table with its parents and children, all the way up and down: a partition is reached through its parent.
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
