//! Statements that are confined to one row, by the look of their text.
//!
//! A statement that compares every column of a unique key with a constant, and these comparisons are conjuncts of its
//! WHERE, sees and changes the row with that key and no other. Two such statements with different keys do not meet:
//! neither can make the other's row appear, vanish or change its key, because a statement that assigns to a column of
//! any unique key is not taken for one confined to a row (it could give its row the other's key). Nor do they meet on
//! their way: at READ COMMITTED and REPEATABLE READ a scan that passes over another's row neither waits for it nor
//! reads more of it than its committed version. SERIALIZABLE tracks reads by pages and whole tables, so rows do not
//! count there.
//!
//! The server has taken the text when it is looked at here; what is not understood is left to the table as a whole.

use sqlparser::ast::{
    Assignment, AssignmentTarget, BinaryOperator, Delete, Expr, FromTable, Insert, LockType, ObjectName,
    ObjectNamePart, OnConflictAction, OnInsert, Query, SetExpr, Statement, TableFactor, TableObject, TableWithJoins,
    Update, Value,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use crate::postgres::catalog::{Catalog, KeyType, UniqueKey};
use crate::scenario::sql::lexer::tokens;

/// The row that a statement is confined to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    pub table: u32,
    pub row: RowKey,
    /// The WHERE has nothing but the key, and the statement looks at nothing else.
    pub exact: bool,
    pub action: PinnedAction,
}

/// A row by a unique key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// Object number of the unique index.
    pub index: u32,
    /// The key's values, written so that equal ones are written alike.
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinnedAction {
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

/// The row that a statement is confined to; `None` where it is not, or not surely. `$1` counts as a constant like no
/// other.
pub fn pin(sql: &str, catalog: &Catalog) -> Option<Pin> {
    let words = tokens(sql).filter(|token| !token.is_blank());
    let queries = words
        .skip(1)
        .filter(|token| token.is_one_of(&["select", "table", "with", "join", "lateral"]))
        .count();
    if queries > 0 {
        return None;
    }
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?;
    match statements.as_slice() {
        [Statement::Query(query)] => of_query(query, catalog),
        [Statement::Update(update)] => of_update(update, catalog),
        [Statement::Delete(delete)] => of_delete(delete, catalog),
        [Statement::Insert(insert)] => of_insert(insert, catalog),
        _ => None,
    }
}

fn of_query(query: &Query, catalog: &Catalog) -> Option<Pin> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return None;
    };
    let [from] = select.from.as_slice() else { return None };
    if select.into.is_some() {
        return None;
    }
    let action = match query.locks.as_slice() {
        [] => PinnedAction::Read,
        [lock] if lock.lock_type == LockType::Update && lock.nonblock.is_none() => PinnedAction::LockExclusive,
        _ => PinnedAction::Lock,
    };
    let (table, row, exact) = by_condition(from, select.selection.as_ref(), catalog)?;
    // with these, a row that does not come out is not locked, or not the row alone decides what comes out
    let exact = exact && query.limit_clause.is_none() && query.fetch.is_none();
    Some(Pin {
        table,
        row,
        exact,
        action,
    })
}

fn of_update(update: &Update, catalog: &Catalog) -> Option<Pin> {
    if update.from.is_some() || update.limit.is_some() {
        return None;
    }
    let (table, row, exact) = by_condition(&update.table, update.selection.as_ref(), catalog)?;
    assigns_no_key(&update.assignments, table, catalog).then_some(Pin {
        table,
        row,
        exact,
        action: PinnedAction::Update,
    })
}

fn of_delete(delete: &Delete, catalog: &Catalog) -> Option<Pin> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [from] = from.as_slice() else { return None };
    if delete.using.is_some() || !delete.tables.is_empty() {
        return None;
    }
    let (table, row, exact) = by_condition(from, delete.selection.as_ref(), catalog)?;
    Some(Pin {
        table,
        row,
        exact,
        action: PinnedAction::Delete,
    })
}

/// One row of constants into a table with one unique key.
fn of_insert(insert: &Insert, catalog: &Catalog) -> Option<Pin> {
    let TableObject::TableName(name) = &insert.table else {
        return None;
    };
    let table = resolve(name, catalog)?;
    let mut keys = catalog.unique_keys.iter().filter(|key| key.table == table);
    let (key, None) = (keys.next()?, keys.next()) else {
        return None;
    };
    // a unique index that is no plain key is not among the keys, but counts
    if catalog.unique_indexes.get(&table) != Some(&1) {
        return None;
    }
    match &insert.on {
        None => {}
        Some(OnInsert::OnConflict(conflict)) => match &conflict.action {
            OnConflictAction::DoNothing => {}
            OnConflictAction::DoUpdate(update) if assigns_no_key(&update.assignments, table, catalog) => {}
            OnConflictAction::DoUpdate(_) => return None,
        },
        Some(_) => return None,
    }
    let SetExpr::Values(values) = insert.source.as_ref()?.body.as_ref() else {
        return None;
    };
    let [row] = values.rows.as_slice() else { return None };
    let given: Vec<(String, Constant)> = insert
        .columns
        .iter()
        .zip(&row.content)
        .filter_map(|(column, value)| Some((single_name(column)?, constant(value)?)))
        .collect();
    Some(Pin {
        table,
        row: row_of(key, &given)?,
        exact: false,
        action: PinnedAction::Insert,
    })
}

/// The columns that are assigned to belong to no unique index.
fn assigns_no_key(assignments: &[Assignment], table: u32, catalog: &Catalog) -> bool {
    let in_key = |name: &str| {
        catalog
            .indexed_columns
            .get(&table)
            .is_some_and(|columns| columns.contains(name))
    };
    assignments.iter().all(|assignment| match &assignment.target {
        AssignmentTarget::ColumnName(name) => single_name(name).is_some_and(|name| !in_key(&name)),
        AssignmentTarget::Tuple(names) => names
            .iter()
            .all(|name| single_name(name).is_some_and(|name| !in_key(&name))),
    })
}

fn single_name(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Some(folded(name)),
        _ => None,
    }
}

/// A name as the server keeps it.
fn folded(name: &sqlparser::ast::Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}

/// A table alone in its hierarchy, by its name.
fn resolve(name: &ObjectName, catalog: &Catalog) -> Option<u32> {
    let (schema, table) = match name.0.as_slice() {
        [ObjectNamePart::Identifier(table)] => (None, folded(table)),
        [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(table)] => {
            (Some(folded(schema)), folded(table))
        }
        _ => return None,
    };
    let mut found = catalog.tables.iter().filter(|(_, (its_schema, its_name))| {
        *its_name == table && schema.as_ref().is_none_or(|schema| schema == its_schema)
    });
    // of two with the same name, the search path decides, which is not followed here
    let ((&oid, _), None) = (found.next()?, found.next()) else {
        return None;
    };
    let has_relatives = catalog
        .inheritance
        .iter()
        .any(|&(child, parent)| child == oid || parent == oid);
    let references_itself = catalog
        .foreign_keys
        .iter()
        .any(|&(one, other, _)| one == oid && other == oid);
    (!has_relatives && !references_itself).then_some(oid)
}

/// The row that a WHERE confines its statement to, and whether it says nothing else.
fn by_condition(from: &TableWithJoins, condition: Option<&Expr>, catalog: &Catalog) -> Option<(u32, RowKey, bool)> {
    let TableFactor::Table {
        name,
        alias,
        args: None,
        sample: None,
        ..
    } = &from.relation
    else {
        return None;
    };
    if !from.joins.is_empty() {
        return None;
    }
    let oid = resolve(name, catalog)?;
    let alias = match alias {
        Some(alias) => folded(&alias.name),
        None => match name.0.last()? {
            ObjectNamePart::Identifier(name) => folded(name),
            ObjectNamePart::Function(_) => return None,
        },
    };
    let mut conjuncts = Vec::new();
    flatten(condition?, &mut conjuncts);
    let given: Vec<(String, Constant)> = conjuncts
        .iter()
        .filter_map(|conjunct| comparison(conjunct, &alias))
        .collect();
    catalog
        .unique_keys
        .iter()
        .filter(|key| key.table == oid)
        .find_map(|key| {
            let row = row_of(key, &given)?;
            let exact = conjuncts.len() == key.columns.len() && given.len() == conjuncts.len();
            Some((oid, row, exact))
        })
}

fn flatten<'a>(condition: &'a Expr, conjuncts: &mut Vec<&'a Expr>) {
    match condition {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            flatten(left, conjuncts);
            flatten(right, conjuncts);
        }
        Expr::Nested(inner) => flatten(inner, conjuncts),
        _ => conjuncts.push(condition),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Constant {
    Integer(String),
    Text(String),
    Parameter(String),
}

/// `column = constant`, either way round.
fn comparison(condition: &Expr, alias: &str) -> Option<(String, Constant)> {
    let Expr::BinaryOp {
        left,
        op: BinaryOperator::Eq,
        right,
    } = condition
    else {
        return None;
    };
    match (column(left, alias), constant(right)) {
        (Some(column), Some(constant)) => Some((column, constant)),
        _ => Some((column(right, alias)?, constant(left)?)),
    }
}

fn column(expression: &Expr, alias: &str) -> Option<String> {
    match expression {
        Expr::Identifier(name) => Some(folded(name)),
        Expr::CompoundIdentifier(names) => match names.as_slice() {
            [table, name] if folded(table) == alias => Some(folded(name)),
            _ => None,
        },
        _ => None,
    }
}

fn constant(expression: &Expr) -> Option<Constant> {
    let Expr::Value(value) = expression else { return None };
    match &value.value {
        Value::Number(number, _) => Some(Constant::Integer(number.parse::<i64>().ok()?.to_string())),
        Value::SingleQuotedString(text) => Some(Constant::Text(text.clone())),
        Value::Placeholder(name) => Some(Constant::Parameter(name.clone())),
        _ => None,
    }
}

/// The key's values, if all its columns are given, in types whose equal values can be written alike.
fn row_of(key: &UniqueKey, given: &[(String, Constant)]) -> Option<RowKey> {
    let values = key.columns.iter().map(|(name, key_type)| {
        let mut values = given.iter().filter(|(column, _)| column == name);
        // a column compared twice is left alone
        let ((_, value), None) = (values.next()?, values.next()) else {
            return None;
        };
        match (value, key_type) {
            (Constant::Parameter(name), _) => Some(name.clone()),
            (Constant::Integer(number), KeyType::Integer) => Some(number.clone()),
            (Constant::Text(text), KeyType::Integer) => Some(text.trim().parse::<i64>().ok()?.to_string()),
            (Constant::Text(text), KeyType::Text) => Some(text.clone()),
            (Constant::Text(text), KeyType::Uuid) => {
                let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
                (digits.len() == 32).then(|| digits.to_lowercase())
            }
            _ => None,
        }
    });
    Some(RowKey {
        index: key.index,
        values: values.collect::<Option<Vec<_>>>()?,
    })
}
