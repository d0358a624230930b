//! Which parameters a condition needs: it is not true if one of them is NULL.

use std::collections::BTreeSet;

use crate::postgres::node_tree::{Node, Struct};

/// The numbers, from 1, of the parameters that the condition in a `SELECT (condition)` needs in order to be true.
pub fn parameters_needed(queries: &[Struct]) -> BTreeSet<usize> {
    let [query] = queries else { return BTreeSet::new() };
    let mut columns = query.structs("targetList");
    match (columns.next(), columns.next()) {
        (Some(column), None) => needed(column.field("expr")),
        _ => BTreeSet::new(),
    }
}

fn needed(condition: &Node) -> BTreeSet<usize> {
    const IS_NOT_NULL: u32 = 1;
    let Node::Struct(node) = condition else {
        return BTreeSet::new();
    };
    match node.tag.as_str() {
        // NULL is not true
        "PARAM" => parameter(condition).into_iter().collect(),
        "NULLTEST" if node.number::<u32>("nulltesttype") == IS_NOT_NULL && !node.is_true("argisrow") => {
            parameter(node.field("arg")).into_iter().collect()
        }
        "BOOLEXPR" => {
            let parts = node.list("args").iter().map(needed);
            match node.field("boolop").atom() {
                Some("and") => parts.flatten().collect(),
                Some("or") => parts.reduce(|one, other| &one & &other).unwrap_or_default(),
                _ => BTreeSet::new(),
            }
        }
        _ => BTreeSet::new(),
    }
}

/// The parameter of a statement that a node is.
fn parameter(node: &Node) -> Option<usize> {
    const OF_STATEMENT: u32 = 0;
    let node = node.as_struct()?;
    match node.tag.as_str() {
        "PARAM" if node.number::<u32>("paramkind") == OF_STATEMENT => Some(node.number("paramid")),
        "RELABELTYPE" => parameter(node.field("arg")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(number: usize) -> String {
        format!("{{PARAM :paramkind 0 :paramid {number} :paramtype 23}}")
    }

    fn needed(condition: &str) -> Vec<usize> {
        let text = format!("({{QUERY :targetList ({{TARGETENTRY :expr {condition} :resno 1}})}})");
        let Some(Node::List(queries)) = Node::parse(&text) else {
            panic!("not a list: {text}")
        };
        let queries: Vec<Struct> = queries.iter().filter_map(|node| node.as_struct().cloned()).collect();
        parameters_needed(&queries).into_iter().collect()
    }

    fn not_null(number: usize) -> String {
        format!(
            "{{NULLTEST :arg {} :nulltesttype 1 :argisrow false}}",
            parameter(number)
        )
    }

    fn both(operator: &str, one: &str, other: &str) -> String {
        format!("{{BOOLEXPR :boolop {operator} :args ({one} {other})}}")
    }

    #[test]
    fn a_parameter_is_needed_where_its_null_makes_the_condition_false_or_null() {
        assert_eq!(needed(&parameter(1)), [1]);
        assert_eq!(needed(&not_null(2)), [2]);
        assert_eq!(needed(&both("and", &not_null(1), &parameter(2))), [1, 2]);
        assert_eq!(
            needed(&both("or", &not_null(1), &both("and", &parameter(1), &parameter(2)))),
            [1]
        );
    }

    #[test]
    fn it_is_not_needed_where_its_null_may_make_the_condition_true() {
        let null = format!("{{NULLTEST :arg {} :nulltesttype 0 :argisrow false}}", parameter(1));
        assert!(needed(&null).is_empty());
        let row = format!("{{NULLTEST :arg {} :nulltesttype 1 :argisrow true}}", parameter(1));
        assert!(needed(&row).is_empty());
        assert!(needed(&format!("{{BOOLEXPR :boolop not :args ({})}}", not_null(1))).is_empty());
        assert!(needed(&both("or", &not_null(1), &not_null(2))).is_empty());
        assert!(needed(&format!("{{COALESCE :args ({})}}", parameter(1))).is_empty());
    }
}
