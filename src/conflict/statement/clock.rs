//! Times: which statements take the time, and which distinguish times.
//!
//! A time of the run is masked in outcomes, so it does not matter when a statement takes it, unless something compares
//! times, sorts by them, or computes something else from them. Passing a time on (into a column, or to the client)
//! reveals nothing about it.

use super::expression::type_of;
use super::functions::{OF_CLOCK, PASS_TIMES_ON};
use super::query::{Command, command, object_numbers, targets_of};
use crate::postgres::catalog::{Catalog, FIRST_USER_OBJECT};
use crate::postgres::node_tree::{Node, Struct};
use crate::sql::lexer::{TokenKind, tokens};
use crate::sql::words::TIMES;

/// What a statement has to do with the time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// It takes the time.
    pub takes: bool,
    /// It does more with it than compare it at once: the time is stored somewhere.
    pub keeps: bool,
    /// It compares times, or computes something from them.
    pub tells: bool,
}

impl Times {
    pub const UNKNOWN: Times = Times {
        takes: true,
        keeps: true,
        tells: true,
    };

    pub fn and(self, other: Times) -> Times {
        Times {
            takes: self.takes || other.takes,
            keeps: self.keeps || other.keeps,
            tells: self.tells || other.tells,
        }
    }

    pub fn of(query: &Struct, sql: &str, catalog: &Catalog) -> Times {
        if command(query) == Command::Other {
            return Times::default();
        }
        let (mut takes, mut keeps) = (false, false);
        takes_time(query, false, catalog, &mut |in_condition| {
            takes = true;
            keeps |= !in_condition;
        });
        let mut tells = false;
        query.walk(&mut |node| tells |= tells_times_apart(node, catalog));
        let by_text = names_the_time(sql);
        Times {
            takes: by_text || takes,
            keeps: by_text || keeps,
            tells: tells || by_text,
        }
    }
}

/// Reports for each place where a query takes the time whether it is in a condition.
fn takes_time(node: &Struct, in_condition: bool, catalog: &Catalog, found: &mut impl FnMut(bool)) {
    if is_clock(node, catalog) {
        found(in_condition);
    }
    let has_conditions = matches!(node.tag.as_str(), "FROMEXPR" | "JOINEXPR");
    for (name, value) in node.fields() {
        let in_condition = in_condition || (has_conditions && name == "quals");
        match value {
            Node::Struct(inner) => takes_time(inner, in_condition, catalog, found),
            Node::List(items) => takes_time_of(items, in_condition, catalog, found),
            Node::Null | Node::Atom(_) | Node::Bytes(_) => {}
        }
    }
}

fn takes_time_of(items: &[Node], in_condition: bool, catalog: &Catalog, found: &mut impl FnMut(bool)) {
    for item in items {
        match item {
            Node::Struct(inner) => takes_time(inner, in_condition, catalog, found),
            Node::List(items) => takes_time_of(items, in_condition, catalog, found),
            Node::Null | Node::Atom(_) | Node::Bytes(_) => {}
        }
    }
}

/// A time in a text: `'now'` is evaluated when the statement is analysed.
pub fn names_the_time(sql: &str) -> bool {
    const NAMES: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];
    tokens(sql).any(|token| {
        token.kind == TokenKind::String && NAMES.iter().any(|name| token.text.to_lowercase().contains(name))
    })
}

/// Whether the text of a function may take the time.
pub fn may_take_time(body: &str) -> bool {
    names_the_time(body) || tokens(body).any(|token| token.is_one_of(&OF_CLOCK) || token.is_one_of(&TIMES))
}

fn is_clock(node: &Struct, catalog: &Catalog) -> bool {
    match node.tag.as_str() {
        "SQLVALUEFUNCTION" => is_time(node.number("type")),
        // a text that is parsed as a time may be 'now'
        "COERCEVIAIO" => is_time(node.number("resulttype")),
        "CONST" => is_about_now(node) || (!catalog.reads_constants && is_time(node.number("consttype"))),
        "FUNCEXPR" => function_name(node, "funcid", catalog).is_some_and(|name| {
            // a text that is parsed as a record may contain 'now'
            OF_CLOCK.contains(&name) || (name.starts_with("json") && name.contains("_record"))
        }),
        _ => false,
    }
}

/// Whether a constant may be the value of `'now'` or `'today'` at the time the statement was analysed.
fn is_about_now(constant: &Struct) -> bool {
    const MICROSECONDS: i64 = 1_000_000;
    const DAY: i64 = 24 * 60 * 60;
    // from 1970 to 2000, where the server's times begin
    const EPOCH: i64 = 10_957 * DAY;
    let type_oid: u32 = constant.number("consttype");
    let (Node::Bytes(bytes), 1082 | 1083 | 1114 | 1184 | 1266) = (constant.field("constvalue"), type_oid) else {
        return false;
    };
    let seconds = match (type_oid, bytes.first_chunk::<8>(), bytes.first_chunk::<4>()) {
        // date: days
        (1082, _, Some(days)) => i64::from(i32::from_le_bytes(*days)).checked_mul(DAY),
        (1114 | 1184, Some(time), _) => Some(i64::from_le_bytes(*time) / MICROSECONDS),
        // a time of day may belong to any day
        _ => return true,
    };
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let since_2000 = i64::try_from(now.as_secs()).unwrap_or_default() - EPOCH;
    seconds.is_none_or(|seconds| seconds.saturating_sub(since_2000).abs() < 3 * DAY)
}

fn function_name<'a>(node: &Struct, field: &str, catalog: &'a Catalog) -> Option<&'a str> {
    let known = catalog.functions.get(&node.number(field))?;
    known.is_built_in.then_some(known.name.as_str())
}

/// Types of times, and types that may contain times.
pub fn is_time(type_oid: u32) -> bool {
    // src/include/catalog/pg_type.dat: date, time, timestamp, timestamptz, interval, timetz; their arrays; tsrange,
    // tstzrange, daterange, their multiranges and arrays; record
    matches!(
        type_oid,
        1082 | 1083 | 1114 | 1184 | 1186 | 1266 | 1115 | 1182 | 1183 | 1185 | 1187 | 1270 | 2249 | 2287 | 3908..=3913
            | 4533..=4535 | 6152 | 6153 | 6155
    ) || type_oid >= FIRST_USER_OBJECT
}

fn tells_times_apart(node: &Struct, catalog: &Catalog) -> bool {
    match node.tag.as_str() {
        "QUERY" => {
            let clauses = ["sortClause", "groupClause", "distinctClause"];
            let sorted = clauses.iter().flat_map(|clause| targets_of(node, clause));
            // what a window is sorted by is among the targets, too
            let has_window = !node.list("windowClause").is_empty();
            let in_window = node.structs("targetList").filter(|_| has_window);
            sorted.chain(in_window).any(|target| is_time(type_of(target)))
        }
        "SETOPERATIONSTMT" => {
            let types = object_numbers(node.list("colTypes"));
            !node.is_true("all") && types.into_iter().any(is_time)
        }
        "FUNCEXPR" => {
            let name = function_name(node, "funcid", catalog);
            // takes none, but gives the time as a text
            name == Some("timeofday") || (!name.is_some_and(|name| PASS_TIMES_ON.contains(&name)) && has_time(node))
        }
        "OPEXPR" => {
            let passes_on = function_name(node, "opfuncid", catalog).is_some_and(|name| PASS_TIMES_ON.contains(&name));
            !passes_on && has_time(node)
        }
        "AGGREF" => function_name(node, "aggfnoid", catalog) != Some("count") && has_time(node),
        "CASE" | "CASEEXPR" => node
            .field("arg")
            .as_struct()
            .is_some_and(|argument| is_time(type_of(argument))),
        // these pass on their arguments, or only see whether they are NULL
        "RELABELTYPE" | "COALESCE" | "COALESCEEXPR" | "WHEN" | "CASEWHEN" | "TARGETENTRY" | "NULLTEST" | "BOOLEXPR"
        | "BOOLEANTEST" | "VAR" | "CONST" | "PARAM" => false,
        // lists of the query itself
        "RANGETBLENTRY" | "FROMEXPR" | "JOINEXPR" | "RANGETBLREF" | "COMMONTABLEEXPR" | "ONCONFLICTEXPR"
        | "RANGETBLFUNCTION" | "SORTGROUPCLAUSE" | "ALIAS" | "INFERENCEELEM" | "MERGEACTION" => false,
        _ => has_time(node),
    }
}

/// Whether an argument of a node is a time, or may contain one.
fn has_time(node: &Struct) -> bool {
    node.fields().any(|(_, value)| match value {
        Node::Struct(inner) => is_time(type_of(inner)),
        Node::List(items) => items
            .iter()
            .filter_map(Node::as_struct)
            .any(|inner| is_time(type_of(inner))),
        Node::Null | Node::Atom(_) | Node::Bytes(_) => false,
    })
}
