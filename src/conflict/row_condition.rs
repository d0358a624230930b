//! What decides, beside its key, whether a statement takes a row: as a query that pgbraid can ask.
//!
//! The server's parse tree (`statement`) tells that the statement is confined to the row, and that nothing else in it
//! can fail before the row is taken. The query has to be SQL, so it is made from the statement's text, with its
//! variables filled in; where that text is not understood there is no query.

use sqlparser::ast::{
    Assignment, AssignmentTarget, BinaryOperator, Expr, ObjectName, ObjectNamePart, SetExpr, Statement, TableFactor,
    UnaryOperator, Update, Value,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use crate::postgres::catalog::{Catalog, Column};
use crate::sql::lexer::{TokenKind, tokens};
use crate::sql::words::TIMES;

/// What decides, beside the key, whether the statement takes the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowCondition {
    /// Nothing.
    None,
    /// The row itself: its columns are compared with constants. This query tells whether the committed row meets the
    /// condition.
    Row(String),
    /// Possibly something else.
    Other,
}

/// One statement, if the parser understands it.
fn parse(sql: &str) -> Option<Statement> {
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?;
    statements.pop().filter(|_| statements.is_empty())
}

/// What decides whether a statement takes the row of `table` that it is confined to. `by_key_alone` says that its WHERE
/// compares the key and nothing else.
pub fn condition(sql: &str, table: u32, by_key_alone: bool, catalog: &Catalog) -> RowCondition {
    let Some(columns) = catalog.columns.get(&table) else {
        return RowCondition::Other;
    };
    match parse(sql) {
        Some(Statement::Query(query)) => {
            if by_key_alone {
                return RowCondition::None;
            }
            let SetExpr::Select(select) = query.body.as_ref() else {
                return RowCondition::Other;
            };
            let ([from], Some(selection)) = (select.from.as_slice(), &select.selection) else {
                return RowCondition::Other;
            };
            match alias_of(&from.relation).filter(|alias| is_of_row(selection, alias, columns)) {
                Some(_) => RowCondition::Row(format!("SELECT EXISTS (SELECT FROM {from} WHERE {selection})")),
                None => RowCondition::Other,
            }
        }
        Some(Statement::Update(update)) => of_update(&update, table, by_key_alone, columns, catalog),
        _ => RowCondition::Other,
    }
}

/// The new row is computed and checked before the statement waits, from the committed row. Where that can fail, the
/// question is whether it does.
fn of_update(update: &Update, table: u32, by_key_alone: bool, columns: &[Column], catalog: &Catalog) -> RowCondition {
    let (Some(selection), false) = (&update.selection, catalog.checked.contains(&table)) else {
        return RowCondition::Other;
    };
    let Some(alias) = alias_of(&update.table.relation) else {
        return RowCondition::Other;
    };
    let mut questions = Vec::new();
    for Assignment { target, value } in &update.assignments {
        // what does not read the row fails every time or never
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
    if by_key_alone && questions.is_empty() {
        return RowCondition::None;
    }
    if !is_of_row(selection, &alias, columns) {
        return RowCondition::Other;
    }
    let worked_out: String = questions.iter().map(|question| format!(" AND {question}")).collect();
    RowCondition::Row(format!(
        "SELECT EXISTS (SELECT FROM {} WHERE {selection}{worked_out})",
        update.table
    ))
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

/// The name that may qualify a table's columns.
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

/// Types whose values compare and compute alike, whatever a session has set.
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

/// Words that are values without being columns, beside those for the time.
const VALUE_WORDS: [&str; 5] = [
    "current_catalog",
    "current_role",
    "current_schema",
    "current_user",
    "user",
];

fn is_value_word(word: &str) -> bool {
    VALUE_WORDS.contains(&word) || TIMES.contains(&word)
}

/// Whether an expression depends on the row's columns alone, and in a way that no setting changes: comparisons and
/// arithmetic on numbers, texts and truth values.
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
        Expr::Identifier(name) if name.quote_style.is_none() && is_value_word(&folded(name)) => false,
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => column(expression, alias).is_some_and(|name| {
            columns
                .iter()
                .any(|column| column.name == name && type_name(column.type_oid).is_some())
        }),
        _ => false,
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

#[cfg(test)]
mod tests {
    use super::*;

    const ITEMS: u32 = 1;

    /// items (id integer PRIMARY KEY, stock integer, made timestamptz).
    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        let columns = [("id", 23), ("stock", 23), ("made", 1184)].iter().zip(1..);
        let columns = columns.map(|(&(name, type_oid), number)| Column {
            name: name.to_owned(),
            type_oid,
            not_null: true,
            number,
        });
        catalog.columns.insert(ITEMS, columns.collect());
        catalog
    }

    fn beside_key(sql: &str) -> RowCondition {
        condition(sql, ITEMS, false, &catalog())
    }

    #[test]
    fn a_condition_on_the_row_alone_becomes_a_question() {
        let by_key = "UPDATE items SET stock = 1 WHERE id = 1";
        assert_eq!(condition(by_key, ITEMS, true, &catalog()), RowCondition::None);
        assert_eq!(
            beside_key("UPDATE items SET stock = stock - 1 WHERE id = 1 AND stock > 0"),
            RowCondition::Row(
                "SELECT EXISTS (SELECT FROM items WHERE id = 1 AND stock > 0 AND ((stock - 1)::integer) IS NOT NULL)"
                    .to_owned()
            )
        );
        assert_eq!(
            beside_key("SELECT stock FROM items WHERE id = 1 AND stock > 0 FOR UPDATE"),
            RowCondition::Row("SELECT EXISTS (SELECT FROM items WHERE id = 1 AND stock > 0)".to_owned())
        );
        for other in [
            "UPDATE items SET stock = 1 WHERE id = 1 AND random() < 0.5",
            "UPDATE items SET stock = 1 WHERE id = 1 AND made < '2020-01-01'",
            "UPDATE items SET stock = 1 WHERE id = 1 AND current_user = 'me'",
            "DELETE FROM items WHERE id = 1 AND stock > 0",
        ] {
            assert_eq!(beside_key(other), RowCondition::Other, "{other}");
        }
    }

    #[test]
    fn text_of_any_depth_is_no_end_of_the_program() {
        let nested = |depth: usize| format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
        for depth in [1, 50, 5_000] {
            assert!(matches!(beside_key(&nested(depth)), RowCondition::Other));
        }
    }
}
