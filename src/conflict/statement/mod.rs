//! What is known of a statement from the server's own parse tree. What is not known to be harmless is not harmless.

mod clock;
mod expression;
mod functions;
mod key;
mod nulls;
mod prelude;
mod query;
mod row_order;

pub use clock::{Times, may_take_time, names_the_time};
pub use functions::{Touches, touches, touches_in_text};
pub use key::{Confined, NamedRow, NamedValue, RowAction, canonical};
pub use nulls::parameters_needed;
pub use prelude::reads_catalogs_only;
pub use query::Command;

use std::collections::BTreeSet;

use crate::postgres::catalog::{Catalog, FIRST_USER_OBJECT};
use crate::postgres::node_tree::{Node, Struct};

use super::footprint::LockStrength;

/// A statement, as far as it is known before it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meaning {
    /// The row that it is confined to.
    pub confined: Option<Confined>,
    /// The one table that it reads.
    pub only_table: Option<u32>,
    pub times: Times,
    /// It may change a setting through a function.
    pub changes_settings: bool,
    /// It adds one row of constants and parameters, whatever is in the way.
    pub adds_constants: bool,
    /// The rows of other tables that the inserted row references.
    pub references: Vec<NamedRow>,
}

impl Meaning {
    pub fn of(query: &Struct, sql: &str, catalog: &Catalog) -> Meaning {
        let referenced: BTreeSet<u32> = catalog.foreign_keys.iter().map(|key| key.referenced).collect();
        let references = referenced
            .into_iter()
            .filter_map(|table| key::referenced_row(query, table, catalog));
        Meaning {
            confined: key::confined(query, catalog),
            only_table: key::only_table(query),
            times: Times::of(query, sql, catalog),
            changes_settings: false,
            adds_constants: key::adds_constants(query, catalog),
            references: references.collect(),
        }
    }

    /// A query that names the variables of `pgbraid.sessions` may compare times, which are texts there.
    pub fn compares_variables(&mut self) {
        self.times.tells = true;
    }

    /// The meaning of a statement about which nothing is known.
    pub fn unknown() -> Meaning {
        Meaning {
            times: Times::UNKNOWN,
            ..Meaning::default()
        }
    }
}

pub use key::updates_no_key;
pub use query::command;
pub use row_order::depends_on_order_of;

/// Whether a query only adds rows.
pub fn only_adds(query: &Struct) -> bool {
    command(query) == Command::Insert && query.field("onConflict").is_null() && !query.is_true("hasModifyingCTE")
}

/// The strongest of the FOR … clauses of a query and of the queries within it.
pub fn lock_strength(query: &Struct) -> LockStrength {
    let mut strongest = None;
    query.walk(&mut |node| {
        if node.tag == "ROWMARKCLAUSE" {
            // LockClauseStrength: NONE, FORKEYSHARE, FORSHARE, FORNOKEYUPDATE, FORUPDATE
            let strength = match node.number::<u32>("strength") {
                1 => LockStrength::KeyShare,
                2 => LockStrength::Share,
                3 => LockStrength::NoKeyUpdate,
                _ => LockStrength::Update,
            };
            strongest = strongest.max(Some(strength));
        }
    });
    strongest.unwrap_or(LockStrength::Update)
}

/// Whether a query reads the system's own tables, or what the server keeps with each row: its place, and the numbers of
/// transactions.
pub fn looks_at_system(query: &Struct) -> bool {
    const TABLE: i32 = -6;
    let relations = query::relations(query);
    let mut found = relations.into_iter().any(|relation| relation < FIRST_USER_OBJECT);
    query.walk(&mut |node| {
        let column: i32 = node.number("varattno");
        found |= node.tag == "VAR" && column < 0 && column != TABLE;
    });
    found
}

/// A function that a query calls, including those of operators and aggregates.
pub struct Call {
    pub function: u32,
    /// Its first argument, if that is a constant that names a table or sequence.
    pub names: Option<u32>,
}

/// All functions that a query calls.
pub fn calls(query: &Struct) -> Vec<Call> {
    const REGCLASS: u32 = 2205;
    let mut calls = Vec::new();
    query.walk(&mut |node| {
        for field in ["funcid", "opfuncid", "aggfnoid", "winfnoid"] {
            if !node.has(field) {
                continue;
            }
            let first = node
                .structs("args")
                .next()
                .filter(|first| first.tag == "CONST" && first.number::<u32>("consttype") == REGCLASS);
            let number = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?));
            let names = first.and_then(|first| match first.field("constvalue") {
                Node::Bytes(bytes) => number(bytes),
                _ => None,
            });
            calls.push(Call {
                function: node.number(field),
                names,
            });
        }
    });
    calls
}

/// The sequences of identity columns that a query draws from.
pub fn identities(query: &Struct) -> Vec<u32> {
    let mut found = Vec::new();
    query.walk(&mut |node| {
        if node.tag == "NEXTVALUEEXPR" {
            found.push(node.number("seqid"));
        }
    });
    found
}
