//! The row that a statement is confined to.
//!
//! A statement that compares every column of a unique key with a constant, where these comparisons are conjuncts of its
//! WHERE, sees and changes the row with that key and no other. Two such statements with different keys do not conflict:
//! neither can make the other's row appear, vanish or change its key, because a statement that assigns to a column of
//! any unique key does not count as confined to a row (it could give its row the other's key). Nor do they conflict
//! during the scan: at READ COMMITTED and REPEATABLE READ a scan that skips another's row neither waits for it nor
//! reads more of it than its committed version. The rest of the WHERE may be evaluated on other rows, if the server
//! scans the table: it must not fail there. SERIALIZABLE tracks reads by pages and whole tables, so rows are not
//! distinguished there.

use super::expression::Evaluation;
use super::query::{Command, command, conjuncts, entry, equality, key_compared, only_relation, without_relabel};
use crate::postgres::catalog::{Catalog, KeyType, UniqueKey};
use crate::postgres::node_tree::{Node, Struct};

/// A row by a unique key, as far as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedRow {
    pub table: u32,
    /// Object number of the unique index.
    pub index: u32,
    pub values: Vec<NamedValue>,
}

/// A value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedValue {
    /// In a form in which equal values are written alike.
    Constant(String),
    /// The statement's parameter with this number, counted from 0, as a value of this type.
    Parameter(usize, KeyType),
}

/// The row that a statement is confined to, and what it does to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confined {
    pub row: NamedRow,
    pub action: RowAction,
    /// Nothing that it computes before it takes the row can fail or differ each time, except for the new values of an
    /// UPDATE.
    pub takes_first: bool,
    /// Nothing beside the key decides whether it takes the row.
    pub by_key_alone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowAction {
    Read,
    /// FOR UPDATE or FOR NO KEY UPDATE, waiting for the row.
    LockExclusive,
    /// Any other row lock.
    Lock,
    /// UPDATE of columns of no unique key.
    Update,
    Delete,
    Insert,
}

impl NamedValue {
    /// Its value, given the statement's parameters; `None` where it has no canonical form.
    pub fn with(&self, parameters: &[Option<String>]) -> Option<String> {
        match self {
            NamedValue::Constant(text) => Some(text.clone()),
            NamedValue::Parameter(number, key_type) => canonical(parameters.get(*number)?.as_deref()?, *key_type),
        }
    }
}

/// A value given as text, in a form in which equal values are written alike.
pub fn canonical(text: &str, key_type: KeyType) -> Option<String> {
    match key_type {
        KeyType::Integer => Some(text.trim().parse::<i64>().ok()?.to_string()),
        KeyType::Text => Some(text.to_owned()),
        KeyType::Uuid => {
            let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
            (digits.len() == 32).then(|| digits.to_lowercase())
        }
        KeyType::Other => None,
    }
}

/// The row that a statement is confined to; `None` where it is not, or not surely.
pub fn confined(query: &Struct, catalog: &Catalog) -> Option<Confined> {
    match command(query) {
        Command::Select | Command::Update | Command::Delete => by_condition(query, catalog),
        Command::Insert => by_insertion(query, catalog),
        Command::Merge | Command::Other => None,
    }
}

fn by_condition(query: &Struct, catalog: &Catalog) -> Option<Confined> {
    let (table, number) = only_relation(query)?;
    let is_target = command(query) == Command::Select || query.number::<usize>("resultRelation") == number;
    if !is_target || !is_alone(table, catalog) || !entry(query, number)?.field("securityQuals").is_null() {
        return None;
    }
    let (key, values) = key_compared(query, (table, number), catalog)?;
    let row = NamedRow {
        table,
        index: key.index,
        values: key
            .columns
            .iter()
            .zip(values)
            .map(|((_, key_type), value)| named(value, *key_type, catalog))
            .collect::<Option<_>>()?,
    };
    let conditions = conjuncts(query);
    let others: Vec<&&Struct> = conditions
        .iter()
        .filter(|conjunct| {
            let column = equality(conjunct, number, catalog).map(|(column, _)| column);
            !column.is_some_and(|column| is_key_column(column, table, key, catalog))
        })
        .collect();
    let mut beyond = Evaluation::default();
    for condition in &others {
        beyond.add_struct(condition, catalog);
    }
    if !beyond.is_harmless() {
        return None;
    }
    let mut before = Evaluation::default();
    let (action, takes_first) = match command(query) {
        Command::Select => {
            before.add(query.field("targetList"), catalog);
            let is_plain = query.field("limitCount").is_null() && query.field("limitOffset").is_null();
            (
                lock_of(query),
                is_plain && before.is_harmless() && before.aggregates.is_empty(),
            )
        }
        Command::Update => {
            assigns_no_key(query, table, catalog).then_some(())?;
            before.add(query.field("targetList"), catalog);
            (
                RowAction::Update,
                !before.unknown && !before.differs && before.sublinks.is_empty(),
            )
        }
        _ => (RowAction::Delete, false),
    };
    Some(Confined {
        row,
        action,
        takes_first,
        by_key_alone: others.is_empty(),
    })
}

fn is_key_column(number: i16, table: u32, key: &UniqueKey, catalog: &Catalog) -> bool {
    let mut columns = catalog.columns.get(&table).into_iter().flatten();
    let name = columns
        .find(|column| column.number == number)
        .map(|column| &column.name);
    name.is_some_and(|name| key.columns.iter().any(|(own, _)| own == name))
}

fn lock_of(query: &Struct) -> RowAction {
    // LockClauseStrength: NONE, FORKEYSHARE, FORSHARE, FORNOKEYUPDATE, FORUPDATE; LockWaitPolicy: Block, Skip, Error
    const FOR_NO_KEY_UPDATE: u32 = 3;
    let marks: Vec<&Struct> = query.structs("rowMarks").collect();
    match marks.as_slice() {
        [] => RowAction::Read,
        [mark]
            if mark.number::<u32>("strength") >= FOR_NO_KEY_UPDATE && mark.field("waitPolicy").atom() == Some("0") =>
        {
            RowAction::LockExclusive
        }
        _ => RowAction::Lock,
    }
}

/// One row of constants into a table with one unique key.
fn by_insertion(query: &Struct, catalog: &Catalog) -> Option<Confined> {
    let table = target(query)?;
    if !is_alone(table, catalog) {
        return None;
    }
    let mut keys = catalog.unique_keys.iter().filter(|key| key.table == table);
    let (key, None) = (keys.next()?, keys.next()) else {
        return None;
    };
    // a unique index that is not a plain key is not among the keys, but counts
    if catalog.unique_indexes.get(&table) != Some(&1) {
        return None;
    }
    if let Node::Struct(conflict) = query.field("onConflict") {
        // OnConflictAction: NONE, NOTHING, UPDATE
        let updates = conflict.number::<u32>("action") == 2;
        if updates && !targets_no_key(conflict.structs("onConflictSet"), table, catalog) {
            return None;
        }
    }
    let given = inserted(query, catalog)?;
    let values = key.columns.iter().map(|(name, key_type)| {
        let (_, value) = given.iter().find(|(column, _)| column == name)?;
        named(value, *key_type, catalog)
    });
    Some(Confined {
        row: NamedRow {
            table,
            index: key.index,
            values: values.collect::<Option<_>>()?,
        },
        action: RowAction::Insert,
        takes_first: false,
        by_key_alone: false,
    })
}

/// The table that a statement changes.
fn target(query: &Struct) -> Option<u32> {
    let entry = entry(query, query.number("resultRelation"))?;
    Some(entry.number("relid"))
}

/// The values of the one row that is inserted, by column.
fn inserted<'a>(query: &'a Struct, catalog: &Catalog) -> Option<Vec<(String, &'a Struct)>> {
    let has_source = query
        .structs("rtable")
        .any(|table| !matches!(table.number::<u32>("rtekind"), 0 | 8));
    if has_source || query.is_true("hasSubLinks") || !query.list("cteList").is_empty() {
        return None;
    }
    let columns = catalog.columns.get(&target(query)?)?;
    let given = query.structs("targetList").filter_map(|target| {
        let number: i16 = target.number("resno");
        let column = columns.iter().find(|column| column.number == number)?;
        Some((column.name.clone(), target.field("expr").as_struct()?))
    });
    Some(given.collect())
}

/// Whether a query only adds one row of constants and parameters.
pub fn adds_constants(query: &Struct, catalog: &Catalog) -> bool {
    let is_constant = |value: &Struct| matches!(without_relabel(value).tag.as_str(), "CONST" | "PARAM");
    command(query) == Command::Insert
        && query.field("onConflict").is_null()
        && inserted(query, catalog).is_some_and(|values| values.iter().all(|(_, value)| is_constant(value)))
}

/// The row of `referenced` that an inserted row references, where the statement tells.
pub fn referenced_row(query: &Struct, referenced: u32, catalog: &Catalog) -> Option<NamedRow> {
    if command(query) != Command::Insert {
        return None;
    }
    let table = target(query)?;
    let is_of_both =
        |key: &&crate::postgres::catalog::ForeignKey| key.referencing == table && key.referenced == referenced;
    let mut keys = catalog.foreign_keys.iter().filter(is_of_both);
    let (foreign_key, None) = (keys.next()?, keys.next()) else {
        return None;
    };
    let key = catalog.unique_keys.iter().find(|key| key.index == foreign_key.index)?;
    let own = inserted(query, catalog)?;
    let values = key.columns.iter().map(|(name, key_type)| {
        let (column, _) = foreign_key.columns.iter().find(|(_, others)| others == name)?;
        let (_, value) = own.iter().find(|(name, _)| name == column)?;
        named(value, *key_type, catalog)
    });
    Some(NamedRow {
        table: referenced,
        index: key.index,
        values: values.collect::<Option<_>>()?,
    })
}

/// The table of an UPDATE that assigns to no column of a unique index, so that it locks the rows that it changes FOR NO
/// KEY UPDATE.
pub fn updates_no_key(query: &Struct, catalog: &Catalog) -> Option<u32> {
    let table = (command(query) == Command::Update).then(|| target(query))??;
    (!catalog.views.contains_key(&table) && assigns_no_key(query, table, catalog)).then_some(table)
}

fn assigns_no_key(query: &Struct, table: u32, catalog: &Catalog) -> bool {
    targets_no_key(query.structs("targetList"), table, catalog)
}

/// Whether none of the columns assigned to belongs to a unique index.
fn targets_no_key<'a>(mut targets: impl Iterator<Item = &'a Struct>, table: u32, catalog: &Catalog) -> bool {
    let Some(columns) = catalog.columns.get(&table) else {
        return false;
    };
    targets.all(|target| {
        let number: i16 = target.number("resno");
        let column = columns.iter().find(|column| column.number == number);
        target.is_true("resjunk")
            || column.is_some_and(|column| {
                let indexed = catalog.indexed_columns.get(&table);
                !indexed.is_some_and(|columns| columns.contains(&column.name))
            })
    })
}

/// The table that a SELECT, UPDATE or DELETE reads, if it reads only one and skips none of its rows for a lock or a
/// limit. A view does not count.
pub fn only_table(query: &Struct) -> Option<u32> {
    let (table, _) = only_relation(query)?;
    let passes_over = query
        .structs("rowMarks")
        .any(|mark| mark.field("waitPolicy").atom() != Some("0"))
        || !query.field("limitCount").is_null()
        || !query.field("limitOffset").is_null();
    let is_known = matches!(command(query), Command::Select | Command::Update | Command::Delete);
    (is_known && !passes_over).then_some(table)
}

/// Whether a table is alone in its hierarchy, and only the statements themselves change its rows.
fn is_alone(table: u32, catalog: &Catalog) -> bool {
    let mut inheritance = catalog.inheritance.iter();
    let has_relatives = inheritance.any(|&(child, parent)| child == table || parent == table);
    let mut foreign_keys = catalog.foreign_keys.iter();
    let references_itself = foreign_keys.any(|key| key.referencing == table && key.referenced == table);
    // a trigger may change the key, or another row
    let has_triggers = catalog.triggers.contains_key(&table) || catalog.side_effects.contains(&table);
    !has_relatives && !references_itself && !has_triggers
}

fn named(value: &Struct, key_type: KeyType, catalog: &Catalog) -> Option<NamedValue> {
    let value = without_relabel(value);
    match value.tag.as_str() {
        "CONST" if catalog.reads_constants => constant(value, key_type).map(NamedValue::Constant),
        "PARAM" => {
            let type_oid: u32 = value.number("paramtype");
            let is_alike = match key_type {
                KeyType::Integer => matches!(type_oid, 20 | 21 | 23),
                KeyType::Text => matches!(type_oid, 25 | 1043),
                KeyType::Uuid => type_oid == 2950,
                KeyType::Other => false,
            };
            let number = value.number::<usize>("paramid").checked_sub(1)?;
            is_alike.then_some(NamedValue::Parameter(number, key_type))
        }
        _ => None,
    }
}

/// A constant as the server has it in memory.
fn constant(value: &Struct, key_type: KeyType) -> Option<String> {
    let Node::Bytes(bytes) = value.field("constvalue") else {
        return None;
    };
    let type_oid: u32 = value.number("consttype");
    match (key_type, type_oid) {
        // a Datum of eight bytes, sign-extended; for an int4 or int2 the upper bytes do not matter
        (KeyType::Integer, 20) => Some(i64::from_le_bytes(bytes.as_slice().try_into().ok()?).to_string()),
        (KeyType::Integer, 23) => Some(i32::from_le_bytes(bytes.get(..4)?.try_into().ok()?).to_string()),
        (KeyType::Integer, 21) => Some(i16::from_le_bytes(bytes.get(..2)?.try_into().ok()?).to_string()),
        (KeyType::Text, 25 | 1043) => {
            // a varlena: four bytes with its whole length, times four (src/include/varatt.h, little-endian)
            let (head, text) = bytes.split_at_checked(4)?;
            let length = u32::from_le_bytes(head.try_into().ok()?);
            let is_plain = length & 3 == 0 && length as usize / 4 == bytes.len();
            is_plain.then(|| String::from_utf8(text.to_vec()).ok())?
        }
        (KeyType::Uuid, 2950) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            (bytes.len() == 16).then_some(digits)
        }
        _ => None,
    }
}
