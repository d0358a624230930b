//! A statement's footprint, from the tables that the server says it names and from what hangs on those tables.

use super::footprint::{Footprint, LockStrength, Object, WriteKind};
use super::pin::updates_no_key;
use crate::postgres::catalog::{Catalog, RelationLock};
use crate::scenario::sql::StatementKind;
use crate::scenario::sql::lexer::{Token, TokenKind, tokens};

/// Statements whose tables the server knows when it has analysed them; all others are utility statements.
const QUERIES: [&str; 8] = [
    "select", "insert", "update", "delete", "merge", "with", "values", "table",
];

/// Functions that run a query given as text, look at a table given by name (as those do that make XML), or at large
/// objects.
const RUN_QUERIES: [&str; 5] = ["ts_stat", "ts_rewrite", "currtid2", "loread", "lowrite"];

/// Functions that look at nothing that a session can change.
const HARMLESS: [&str; 4] = ["pg_sleep", "pg_sleep_for", "pg_typeof", "pg_backend_pid"];

/// Settings that decide what a statement's names mean, which triggers fire, or what a statement waits for.
const SETTINGS_THAT_MATTER: [&str; 9] = [
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
/// take it), to which come what foreign keys check and change, the sequences that columns draw from, and the relatives
/// of partitions. Triggers and functions of the scenario's own are not looked into: where one may run, nothing is known.
pub fn footprint(sql: &str, relations: Option<&[(u32, RelationLock)]>, catalog: &Catalog) -> Footprint {
    let words: Vec<Token<'_>> = tokens(sql).filter(|token| !token.is_blank()).collect();
    let first = words.first();
    if first.is_some_and(|word| word.is_one_of(&["listen", "unlisten", "notify"])) {
        let mut footprint = Footprint::default();
        footprint.write(Object::Notifications, WriteKind::Change);
        return footprint;
    }
    let Some(relations) = relations.filter(|_| first.is_some_and(|word| word.is_one_of(&QUERIES))) else {
        return Footprint::unknown();
    };
    let mut footprint = Footprint::default();
    named_objects(&words, catalog, &mut footprint);
    let is_view = |table: &u32| catalog.views.contains_key(table);
    for definition in relations.iter().filter_map(|(table, _)| catalog.views.get(table)) {
        let words: Vec<Token<'_>> = tokens(definition).filter(|token| !token.is_blank()).collect();
        named_objects(&words, catalog, &mut footprint);
    }
    let may_call_function = |(table, lock): &(u32, RelationLock)| *lock == RelationLock::Write || is_view(table);
    if catalog.unnamed_calls || (!catalog.functions.is_empty() && relations.iter().any(may_call_function)) {
        // a default, a check or the view may call one
        return Footprint::unknown();
    }
    let adds_only = first.is_some_and(|word| word.is("insert")) && !words.iter().any(|word| word.is("conflict"));
    // a view may have a FOR UPDATE of its own
    let strength = match relations.iter().any(|(table, _)| is_view(table)) {
        true => LockStrength::Update,
        false => lock_strength(&words),
    };
    let change = if adds_only {
        WriteKind::Append
    } else if updates_no_key(sql, catalog) {
        WriteKind::UpdateNoKey
    } else {
        WriteKind::Change
    };
    let mut walk = Walk { catalog, footprint };
    for &(table, lock) in relations {
        match lock {
            RelationLock::Read => walk.read(table),
            RelationLock::RowLock => walk.lock(table, strength),
            RelationLock::Write => walk.write(table, change),
            RelationLock::Other => walk.footprint.unknown = true,
        }
    }
    walk.footprint
}

/// What shows in the text alone: advisory locks, notifications, sequences, functions of the scenario's own, and the
/// system's views and functions.
fn named_objects(words: &[Token<'_>], catalog: &Catalog, footprint: &mut Footprint) {
    for word in words
        .iter()
        .filter(|word| matches!(word.kind, TokenKind::Word | TokenKind::QuotedName))
    {
        let name = word.text.trim_matches('"').to_lowercase();
        if catalog.functions.iter().any(|function| function.to_lowercase() == name) {
            footprint.unknown = true;
        }
        if name.starts_with("pg_advisory") || name.starts_with("pg_try_advisory") {
            footprint.write(Object::AdvisoryLocks, WriteKind::Change);
        } else if name == "pg_notify" {
            footprint.write(Object::Notifications, WriteKind::Change);
        } else if ["nextval", "setval", "currval", "lastval"].contains(&name.as_str()) {
            footprint.write(Object::Sequences, WriteKind::Change);
            for &sequence in catalog.sequences.values().flatten() {
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

/// Follows what hangs on a table.
struct Walk<'a> {
    catalog: &'a Catalog,
    footprint: Footprint,
}

impl Walk<'_> {
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
            if self
                .footprint
                .writes
                .get(&Object::Relation(relative))
                .is_some_and(|known| *known >= kind)
            {
                continue;
            }
            self.footprint.write(Object::Relation(relative), kind);
            // a trigger may do anything, and so may whatever stands behind a foreign table
            self.footprint.unknown |=
                self.catalog.triggers.contains(&relative) || self.catalog.opaque.contains(&relative);
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
