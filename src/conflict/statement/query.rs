//! The parts of a query's parse tree.

use std::collections::BTreeSet;

use crate::postgres::catalog::{Catalog, KeyType, UniqueKey};
use crate::postgres::node_tree::{Node, Struct};

/// What a query does (`CmdType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Select,
    Update,
    Insert,
    Delete,
    Merge,
    Other,
}

/// Kinds of entries of the range table (`RTEKind`).
pub const RELATION: u32 = 0;
pub const SUBQUERY: u32 = 1;
pub const JOIN: u32 = 2;
pub const FUNCTION: u32 = 3;
pub const VALUES: u32 = 5;
pub const COMMON_TABLE: u32 = 6;
pub const RESULT: u32 = 8;
pub const GROUP: u32 = 9;

pub fn command(query: &Struct) -> Command {
    match query.number::<u32>("commandType") {
        1 => Command::Select,
        2 => Command::Update,
        3 => Command::Insert,
        4 => Command::Delete,
        5 if query.has("mergeActionList") => Command::Merge,
        _ => Command::Other,
    }
}

/// The tables that a query and its nested queries name.
pub fn relations(query: &Struct) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    query.walk(&mut |node| found.extend(relation(node)));
    found
}

/// The table of an entry of the range table. An expanded view, and the row that an upsert proposes, also have such
/// names, but nothing is read through them. (The node has one name up to version 14, and another since.)
fn relation(node: &Struct) -> Option<u32> {
    let is_table =
        node.has("rtekind") && node.number::<u32>("rtekind") == RELATION && !matches!(kind(node), Some("v" | "c"));
    is_table.then(|| node.number("relid"))
}

fn kind(entry: &Struct) -> Option<&str> {
    entry.field("relkind").atom()
}

/// An entry of the range table by its number, counted from 1.
pub fn entry(query: &Struct, number: usize) -> Option<&Struct> {
    query.list("rtable").get(number.checked_sub(1)?)?.as_struct()
}

/// The numbers of the entries that FROM (or UPDATE, DELETE) joins.
pub fn joined(query: &Struct) -> Vec<usize> {
    let mut numbers = Vec::new();
    if let Some(from) = query.field("jointree").as_struct() {
        references(from, &mut numbers);
    }
    numbers
}

fn references(node: &Struct, numbers: &mut Vec<usize>) {
    match node.tag.as_str() {
        "RANGETBLREF" => numbers.push(node.number("rtindex")),
        "FROMEXPR" => node.structs("fromlist").for_each(|item| references(item, numbers)),
        "JOINEXPR" => {
            for side in ["larg", "rarg"] {
                if let Some(side) = node.field(side).as_struct() {
                    references(side, numbers);
                }
            }
        }
        _ => {}
    }
}

/// The conditions of WHERE and ON.
pub fn conditions(query: &Struct) -> Vec<&Node> {
    let mut found = Vec::new();
    if let Some(from) = query.field("jointree").as_struct() {
        // not into sub-queries, which are below the conditions themselves
        let mut pending = vec![from];
        while let Some(node) = pending.pop() {
            found.push(node.field("quals"));
            pending.extend(node.structs("fromlist"));
            pending.extend(
                ["larg", "rarg"]
                    .into_iter()
                    .filter_map(|side| node.field(side).as_struct()),
            );
        }
    }
    found
}

/// The one table that a query reads, and its number in the range table; `None` where it reads more, or none.
pub fn only_relation(query: &Struct) -> Option<(u32, usize)> {
    let joined = joined(query);
    let &[number] = joined.as_slice() else { return None };
    let table = entry(query, number)?;
    let others = query
        .structs("rtable")
        .enumerate()
        .filter(|(place, other)| place + 1 != number && !matches!(other.number::<u32>("rtekind"), RESULT | GROUP));
    let plain = table.number::<u32>("rtekind") == RELATION
        && matches!(kind(table), Some("r" | "p" | "m"))
        && table.field("tablesample").is_null();
    let alone = others.count() == 0
        && !query.is_true("hasSubLinks")
        && query.list("cteList").is_empty()
        && query.field("setOperations").is_null();
    (plain && alone).then(|| (table.number("relid"), number))
}

/// WHERE's conjuncts.
pub fn conjuncts(query: &Struct) -> Vec<&Struct> {
    let mut found = Vec::new();
    for condition in conditions(query) {
        flatten(condition, &mut found);
    }
    found
}

fn flatten<'a>(condition: &'a Node, found: &mut Vec<&'a Struct>) {
    match condition {
        Node::Struct(node) if node.tag == "BOOLEXPR" && node.field("boolop").atom() == Some("and") => {
            node.list("args").iter().for_each(|argument| flatten(argument, found));
        }
        Node::Struct(node) => found.push(node),
        Node::List(items) => items.iter().for_each(|item| flatten(item, found)),
        Node::Null | Node::Atom(_) | Node::Bytes(_) => {}
    }
}

/// Comparisons that are equality of two integers, texts or uuids, as the server names their functions.
const EQUALITIES: [&str; 13] = [
    "int2eq", "int4eq", "int8eq", "int24eq", "int42eq", "int28eq", "int82eq", "int48eq", "int84eq", "texteq",
    "uuid_eq", "oideq", "booleq",
];

/// `column = value` (in either order) for the table with this number, where the value does not depend on the query's
/// rows: the column's number, and the value.
pub fn equality<'a>(conjunct: &'a Struct, table: usize, catalog: &Catalog) -> Option<(i16, &'a Struct)> {
    let function = catalog.functions.get(&conjunct.number("opfuncid"))?;
    let is_equality = conjunct.tag == "OPEXPR" && function.is_built_in && EQUALITIES.contains(&function.name.as_str());
    // with another collation, different texts may be equal
    let is_deterministic = conjunct.number::<u32>("inputcollid") < crate::postgres::catalog::FIRST_USER_OBJECT;
    let mut arguments = conjunct.structs("args");
    let (one, other, None) = (arguments.next()?, arguments.next()?, arguments.next()) else {
        return None;
    };
    if !is_equality || !is_deterministic {
        return None;
    }
    let sides = [(one, other), (other, one)];
    sides.into_iter().find_map(|(column, value)| {
        let column = column_of(column, table)?;
        is_fixed(value).then_some((column, value))
    })
}

/// The number of a column of the table, if the expression is just that.
pub fn column_of(expression: &Struct, table: usize) -> Option<i16> {
    let inner = without_relabel(expression);
    let is_column = inner.tag == "VAR"
        && inner.number::<usize>("varno") == table
        && inner.number::<u32>("varlevelsup") == 0
        && inner.number::<i16>("varattno") > 0;
    is_column.then(|| inner.number("varattno"))
}

/// Strips changes of the type that leave the value as it is.
pub fn without_relabel(mut expression: &Struct) -> &Struct {
    while expression.tag == "RELABELTYPE" {
        match expression.field("arg").as_struct() {
            Some(inner) => expression = inner,
            None => break,
        }
    }
    expression
}

/// A constant, a parameter, or a column of a query around this one.
fn is_fixed(expression: &Struct) -> bool {
    const EXTERNAL: u32 = 0;
    let inner = without_relabel(expression);
    match inner.tag.as_str() {
        "CONST" => true,
        "PARAM" => inner.number::<u32>("paramkind") == EXTERNAL,
        "VAR" => inner.number::<u32>("varlevelsup") > 0,
        _ => false,
    }
}

/// A table's unique keys whose values differ exactly when `=` says so.
pub fn keys_of(table: u32, catalog: &Catalog) -> impl Iterator<Item = &UniqueKey> {
    let is_plain = |key: &&UniqueKey| key.columns.iter().all(|(_, key_type)| *key_type != KeyType::Other);
    catalog
        .unique_keys
        .iter()
        .filter(move |key| key.table == table)
        .filter(is_plain)
}

/// The unique key whose columns are all compared with fixed values, so that the query finds at most one row, and these
/// values in the order of the key's columns.
pub fn key_compared<'c, 'a>(
    query: &'a Struct,
    (table, number): (u32, usize),
    catalog: &'c Catalog,
) -> Option<(&'c UniqueKey, Vec<&'a Struct>)> {
    // a unique index does not extend to tables that inherit
    let inherited = entry(query, number).is_none_or(|entry| kind(entry) != Some("p"))
        && catalog.inheritance.iter().any(|&(_, parent)| parent == table);
    if inherited {
        return None;
    }
    let given: Vec<(i16, &Struct)> = conjuncts(query)
        .into_iter()
        .filter_map(|conjunct| equality(conjunct, number, catalog))
        .collect();
    let columns = catalog.columns.get(&table)?;
    let mut keys = keys_of(table, catalog);
    keys.find_map(|key| {
        let values = key.columns.iter().map(|(name, _)| {
            let number = columns.iter().find(|column| column.name == *name)?.number;
            let mut values = given.iter().filter(|(column, _)| *column == number);
            // a column that is compared twice does not count
            match (values.next(), values.next()) {
                (Some((_, value)), None) => Some(*value),
                _ => None,
            }
        });
        Some((key, values.collect::<Option<Vec<_>>>()?))
    })
}

/// The entries of the target list that a list of sort or group clauses names.
pub fn targets_of<'a>(query: &'a Struct, clauses: &'a str) -> Vec<&'a Struct> {
    let named: Vec<u32> = query
        .structs(clauses)
        .map(|clause| clause.number("tleSortGroupRef"))
        .collect();
    let targets = query.structs("targetList");
    targets
        .filter(|target| named.contains(&target.number("ressortgroupref")))
        .collect()
}

/// The columns of a query's result.
pub fn output(query: &Struct) -> impl Iterator<Item = &Struct> {
    query.structs("targetList").filter(|target| !target.is_true("resjunk"))
}

/// The types of a list of numbers, such as `(o 23 25)`.
pub fn object_numbers(list: &[Node]) -> Vec<u32> {
    list.iter().filter_map(|item| item.atom()?.parse().ok()).collect()
}
