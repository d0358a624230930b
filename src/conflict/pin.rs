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
    UnaryOperator, Update, Value,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use crate::postgres::catalog::{Catalog, Column, KeyType, UniqueKey};
use crate::scenario::sql::lexer::{TokenKind, tokens};

/// The row that a statement is confined to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    pub table: u32,
    pub row: RowKey,
    pub condition: RowCondition,
    pub action: PinnedAction,
}

/// What decides, beside the key, whether the statement takes the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowCondition {
    /// Nothing.
    None,
    /// The row itself: its columns are compared with constants. This query tells whether the row as it is committed
    /// meets the condition.
    Row(String),
    /// Something else, perhaps.
    Other,
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

/// One statement, if the parser understands it.
fn parse(sql: &str) -> Option<Statement> {
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?;
    statements.pop().filter(|_| statements.is_empty())
}

/// The row that a statement is confined to; `None` where it is not, or not surely. `$1` counts as a constant like no
/// other.
pub fn pin(sql: &str, catalog: &Catalog) -> Option<Pin> {
    if has_inner_queries(sql) {
        return None;
    }
    match parse(sql)? {
        Statement::Query(query) => of_query(&query, catalog),
        Statement::Update(update) => of_update(&update, catalog),
        Statement::Delete(delete) => of_delete(&delete, catalog),
        Statement::Insert(insert) => of_insert(&insert, catalog),
        _ => None,
    }
}

/// The table that a SELECT, UPDATE or DELETE looks at, where it looks at one alone; views are none.
pub fn only_table(sql: &str, catalog: &Catalog) -> Option<u32> {
    if has_inner_queries(sql) {
        return None;
    }
    let statement = parse(sql)?;
    let from = match &statement {
        Statement::Query(query) => match query.body.as_ref() {
            SetExpr::Select(select) if select.into.is_none() => &select.from,
            _ => return None,
        },
        Statement::Update(update) if update.from.is_none() => std::slice::from_ref(&update.table),
        Statement::Delete(delete) if delete.using.is_none() && delete.tables.is_empty() => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            from
        }
        _ => return None,
    };
    let [from] = from else { return None };
    let TableFactor::Table { name, args: None, .. } = &from.relation else {
        return None;
    };
    let table = resolve(name, catalog)?;
    (from.joins.is_empty() && !catalog.views.contains_key(&table)).then_some(table)
}

fn has_inner_queries(sql: &str) -> bool {
    let mut words = tokens(sql).filter(|token| !token.is_blank()).skip(1);
    words.any(|token| token.is_one_of(&["select", "table", "with", "join", "lateral"]))
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
    let (table, row, mut condition) = by_condition(from, select.selection.as_ref(), catalog)?;
    // with these, a row that does not come out is not locked, or not the row alone decides what comes out
    if query.limit_clause.is_some() || query.fetch.is_some() {
        condition = RowCondition::Other;
    }
    Some(Pin {
        table,
        row,
        condition,
        action,
    })
}

fn of_update(update: &Update, catalog: &Catalog) -> Option<Pin> {
    if update.from.is_some() || update.limit.is_some() {
        return None;
    }
    let (table, row, condition) = by_condition(&update.table, update.selection.as_ref(), catalog)?;
    let condition = with_assignments(condition, update, table, catalog);
    assigns_no_key(&update.assignments, table, catalog).then_some(Pin {
        table,
        row,
        condition,
        action: PinnedAction::Update,
    })
}

/// The new row is worked out and checked before the statement waits, from the row as it is committed. Where that can fail,
/// the question is whether it does.
fn with_assignments(condition: RowCondition, update: &Update, table: u32, catalog: &Catalog) -> RowCondition {
    let (Some(columns), Some(selection), false) = (
        catalog.columns.get(&table),
        &update.selection,
        catalog.checked.contains(&table),
    ) else {
        return RowCondition::Other;
    };
    let Some(alias) = alias_of(&update.table.relation) else {
        return RowCondition::Other;
    };
    let mut questions = Vec::new();
    for Assignment { target, value } in &update.assignments {
        // what does not look at the row fails at any time, or at none
        let looks_at_row = |word: String| word == alias || columns.iter().any(|column| column.name == word);
        let text = value.to_string();
        let words = tokens(&text).filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::QuotedName));
        if !words
            .map(|word| word.text.trim_matches('"').to_owned())
            .any(|word| looks_at_row(word.clone()) || looks_at_row(word.to_lowercase()))
        {
            continue;
        }
        let AssignmentTarget::ColumnName(name) = target else {
            return RowCondition::Other;
        };
        let column = single_name(name).and_then(|name| columns.iter().find(|column| column.name == name));
        let typed = column.and_then(|column| Some((column, type_name(column.type_oid)?)));
        let Some((column, type_name)) = typed.filter(|_| is_of_row(value, &alias, columns)) else {
            return RowCondition::Other;
        };
        questions.push(match column.not_null {
            true => format!("(({value})::{type_name}) IS NOT NULL"),
            false => format!("coalesce((({value})::{type_name})::text, '') IS NOT NULL"),
        });
    }
    match condition {
        RowCondition::Other => RowCondition::Other,
        condition if questions.is_empty() => condition,
        _ if !is_of_row(selection, &alias, columns) => RowCondition::Other,
        _ => RowCondition::Row(format!(
            "SELECT EXISTS (SELECT FROM {} WHERE {selection} AND {})",
            update.table,
            questions.join(" AND ")
        )),
    }
}

fn of_delete(delete: &Delete, catalog: &Catalog) -> Option<Pin> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [from] = from.as_slice() else { return None };
    if delete.using.is_some() || !delete.tables.is_empty() {
        return None;
    }
    let (table, row, condition) = by_condition(from, delete.selection.as_ref(), catalog)?;
    Some(Pin {
        table,
        row,
        condition,
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
    Some(Pin {
        table,
        row: row_of(key, &inserted(insert, table, catalog)?)?,
        condition: RowCondition::Other,
        action: PinnedAction::Insert,
    })
}

/// The constants of the one row that is inserted, by column.
fn inserted(insert: &Insert, table: u32, catalog: &Catalog) -> Option<Vec<(String, Constant)>> {
    let SetExpr::Values(values) = insert.source.as_ref()?.body.as_ref() else {
        return None;
    };
    let [row] = values.rows.as_slice() else { return None };
    let columns: Vec<Option<String>> = match insert.columns.as_slice() {
        [] => catalog
            .columns
            .get(&table)?
            .iter()
            .map(|column| Some(column.name.clone()))
            .collect(),
        named => named.iter().map(single_name).collect(),
    };
    let given = columns.into_iter().zip(&row.content);
    Some(
        given
            .filter_map(|(column, value)| Some((column?, constant(value)?)))
            .collect(),
    )
}

/// The row of `referenced` that a row which is inserted references, where the text tells.
pub fn referenced_row(sql: &str, referenced: u32, catalog: &Catalog) -> Option<RowKey> {
    let Statement::Insert(insert) = parse(sql)? else {
        return None;
    };
    let TableObject::TableName(name) = &insert.table else {
        return None;
    };
    let table = resolve(name, catalog)?;
    let mut keys = catalog
        .foreign_keys
        .iter()
        .filter(|key| key.referencing == table && key.referenced == referenced);
    let (foreign_key, None) = (keys.next()?, keys.next()) else {
        return None;
    };
    let key = catalog.unique_keys.iter().find(|key| key.index == foreign_key.index)?;
    let own = inserted(&insert, table, catalog)?;
    let given: Vec<(String, Constant)> = foreign_key
        .columns
        .iter()
        .filter_map(|(column, others)| {
            let (_, value) = own.iter().find(|(name, _)| name == column)?;
            Some((others.clone(), value.clone()))
        })
        .collect();
    row_of(key, &given)
}

/// The table of an UPDATE that assigns to no column of a unique index, so that it locks the rows that it changes FOR NO
/// KEY UPDATE.
pub fn updates_no_key(sql: &str, catalog: &Catalog) -> Option<u32> {
    let Statement::Update(update) = parse(sql)? else {
        return None;
    };
    let TableFactor::Table { name, .. } = &update.table.relation else {
        return None;
    };
    let table = resolve(name, catalog).filter(|table| !catalog.views.contains_key(table))?;
    assigns_no_key(&update.assignments, table, catalog).then_some(table)
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
        .any(|key| key.referencing == oid && key.referenced == oid);
    // a trigger may change the key, or another row
    let has_triggers = catalog.triggers.contains_key(&oid) || catalog.side_effects.contains(&oid);
    (!has_relatives && !references_itself && !has_triggers).then_some(oid)
}

/// The name that a table's columns may have in front of them.
fn alias_of(table: &TableFactor) -> Option<String> {
    let TableFactor::Table { name, alias, .. } = table else {
        return None;
    };
    match alias {
        // its columns have other names
        Some(alias) if !alias.columns.is_empty() => None,
        Some(alias) => Some(folded(&alias.name)),
        None => match name.0.last()? {
            ObjectNamePart::Identifier(name) => Some(folded(name)),
            ObjectNamePart::Function(_) => None,
        },
    }
}

/// The row that a WHERE confines its statement to, and what else it says.
fn by_condition(
    from: &TableWithJoins,
    condition: Option<&Expr>,
    catalog: &Catalog,
) -> Option<(u32, RowKey, RowCondition)> {
    let TableFactor::Table {
        name,
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
    let alias = alias_of(&from.relation)?;
    let condition = condition?;
    let mut conjuncts = Vec::new();
    flatten(condition, &mut conjuncts);
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
            let beyond = if conjuncts.len() == key.columns.len() && given.len() == conjuncts.len() {
                RowCondition::None
            } else if is_of_row(condition, &alias, catalog.columns.get(&oid)?) {
                RowCondition::Row(format!("SELECT EXISTS (SELECT FROM {from} WHERE {condition})"))
            } else {
                RowCondition::Other
            };
            Some((oid, row, beyond))
        })
}

/// Types whose values are compared, and worked with, alike whatever a session has set.
fn type_name(type_oid: u32) -> Option<&'static str> {
    // src/include/catalog/pg_type.dat
    Some(match type_oid {
        16 => "boolean",
        20 => "bigint",
        21 => "smallint",
        23 => "integer",
        25 => "text",
        1043 => "varchar",
        1700 => "numeric",
        2950 => "uuid",
        _ => return None,
    })
}

/// Words that are values without being columns.
const VALUE_WORDS: [&str; 10] = [
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "user",
];

/// Whether an expression depends on the row's columns alone, and on them in a way that no setting changes: comparisons
/// and arithmetic on numbers, texts and truth values.
fn is_of_row(expression: &Expr, alias: &str, columns: &[Column]) -> bool {
    let is_of_row = |expression: &Expr| is_of_row(expression, alias, columns);
    match expression {
        Expr::BinaryOp { left, op, right } => {
            use BinaryOperator::{And, Divide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Or, Plus};
            matches!(
                op,
                And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq | Plus | Minus | Multiply | Divide | Modulo
            ) && is_of_row(left)
                && is_of_row(right)
        }
        Expr::UnaryOp { op, expr } => matches!(op, UnaryOperator::Not | UnaryOperator::Minus) && is_of_row(expr),
        Expr::Nested(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsNotFalse(inner) => is_of_row(inner),
        Expr::Between { expr, low, high, .. } => is_of_row(expr) && is_of_row(low) && is_of_row(high),
        Expr::InList { expr, list, .. } => is_of_row(expr) && list.iter().all(is_of_row),
        Expr::Value(value) => matches!(
            value.value,
            Value::Number(..) | Value::SingleQuotedString(_) | Value::Boolean(_) | Value::Null | Value::Placeholder(_)
        ),
        Expr::Identifier(name) if name.quote_style.is_none() && VALUE_WORDS.contains(&folded(name).as_str()) => false,
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => column(expression, alias).is_some_and(|name| {
            columns
                .iter()
                .any(|column| column.name == name && type_name(column.type_oid).is_some())
        }),
        _ => false,
    }
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
    if let Expr::UnaryOp {
        op: UnaryOperator::Minus,
        expr,
    } = expression
    {
        return match constant(expr)? {
            Constant::Integer(number) if number != "0" => Some(Constant::Integer(format!("-{number}"))),
            _ => None,
        };
    }
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
            // a variable may have blanks at its end that do not count
            (Constant::Text(text), KeyType::Text) if !text.ends_with(' ') => Some(text.clone()),
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::postgres::catalog::ForeignKey;

    pub const ITEMS: u32 = 1;
    pub const ORDERS: u32 = 2;

    /// items (id integer PRIMARY KEY, stock integer, made timestamptz); orders (customer text PRIMARY KEY, item integer
    /// REFERENCES items).
    pub fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        for (oid, name, columns, key, key_type) in [
            (
                ITEMS,
                "items",
                [("id", 23), ("stock", 23), ("made", 1184)].as_slice(),
                "id",
                KeyType::Integer,
            ),
            (
                ORDERS,
                "orders",
                &[("customer", 25), ("item", 23)],
                "customer",
                KeyType::Text,
            ),
        ] {
            catalog.tables.insert(oid, ("public".to_owned(), name.to_owned()));
            let columns = columns.iter().zip(1..).map(|(&(name, type_oid), number)| Column {
                name: name.to_owned(),
                type_oid,
                not_null: true,
                number,
            });
            let columns = columns.collect();
            catalog.columns.insert(oid, columns);
            catalog.unique_keys.push(UniqueKey {
                table: oid,
                index: oid * 10,
                columns: vec![(key.to_owned(), key_type)],
            });
            catalog.unique_indexes.insert(oid, 1);
            catalog.indexed_columns.entry(oid).or_default().insert(key.to_owned());
        }
        catalog.foreign_keys.push(ForeignKey {
            referencing: ORDERS,
            referenced: ITEMS,
            cascades: false,
            index: ITEMS * 10,
            columns: vec![("item".to_owned(), "id".to_owned())],
        });
        catalog
    }

    fn key(sql: &str) -> Option<Vec<String>> {
        pin(sql, &catalog()).map(|pin| pin.row.values)
    }

    fn condition(sql: &str) -> RowCondition {
        pin(sql, &catalog()).unwrap().condition
    }

    #[test]
    fn a_row_is_told_by_every_column_of_a_unique_key() {
        assert_eq!(key("SELECT stock FROM items WHERE id = 1"), Some(vec!["1".to_owned()]));
        assert_eq!(
            key("UPDATE items i SET stock = 2 WHERE i.id = '7' AND stock > 0"),
            Some(vec!["7".to_owned()])
        );
        assert_eq!(
            key("INSERT INTO orders VALUES ('ann', 1)"),
            Some(vec!["ann".to_owned()])
        );
        assert_eq!(
            key("INSERT INTO orders (item, customer) VALUES (1, 'ann')"),
            Some(vec!["ann".to_owned()])
        );
        for elsewhere in [
            "SELECT stock FROM items WHERE id > 1",
            "SELECT stock FROM items WHERE id = 1 OR stock = 2",
            "UPDATE items SET id = 2 WHERE id = 1",
            "SELECT stock FROM items WHERE id = (SELECT max(item) FROM orders)",
            "INSERT INTO orders VALUES ('ann', 1), ('ben', 1)",
        ] {
            assert_eq!(key(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_condition_on_the_row_alone_becomes_a_question() {
        assert_eq!(condition("UPDATE items SET stock = 1 WHERE id = 1"), RowCondition::None);
        assert_eq!(
            condition("UPDATE items SET stock = stock - 1 WHERE id = 1 AND stock > 0"),
            RowCondition::Row(
                "SELECT EXISTS (SELECT FROM items WHERE id = 1 AND stock > 0 AND ((stock - 1)::integer) IS NOT NULL)"
                    .to_owned()
            )
        );
        for other in [
            "UPDATE items SET stock = 1 WHERE id = 1 AND random() < 0.5",
            "UPDATE items SET stock = 1 WHERE id = 1 AND made < '2020-01-01'",
            "UPDATE items SET stock = 1 WHERE id = 1 AND current_user = 'me'",
            "SELECT stock FROM items WHERE id = 1 LIMIT 1 FOR UPDATE",
        ] {
            assert_eq!(condition(other), RowCondition::Other, "{other}");
        }
    }

    #[test]
    fn an_inserted_row_tells_the_row_that_it_references() {
        let referenced = |sql| referenced_row(sql, ITEMS, &catalog()).map(|row| (row.index, row.values));
        assert_eq!(
            referenced("INSERT INTO orders VALUES ($1, 3)"),
            Some((10, vec!["3".to_owned()]))
        );
        assert_eq!(referenced("INSERT INTO orders SELECT 'ann', 3"), None);
    }

    #[test]
    fn an_update_of_no_unique_column_is_told_from_others() {
        assert_eq!(updates_no_key("UPDATE items SET stock = 0", &catalog()), Some(ITEMS));
        assert_eq!(updates_no_key("UPDATE items SET stock = 0, id = 2", &catalog()), None);
        assert_eq!(updates_no_key("DELETE FROM items", &catalog()), None);
    }

    #[test]
    fn the_only_table_is_one_without_joins_or_queries_within() {
        let table = |sql| only_table(sql, &catalog());
        assert_eq!(table("DELETE FROM items WHERE stock < 0"), Some(ITEMS));
        assert_eq!(table("UPDATE items SET stock = 0 FROM orders"), None);
        assert_eq!(table("SELECT * FROM items, orders"), None);
        assert_eq!(table("DELETE FROM items WHERE id IN (SELECT item FROM orders)"), None);
    }

    #[test]
    fn text_of_any_depth_is_no_end_of_the_program() {
        let nested = |depth: usize| format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
        for depth in 1..100 {
            assert_eq!(pin(&nested(depth), &catalog()), None);
        }
        assert_eq!(pin(&nested(5_000), &catalog()), None);
    }
}
