//! Whether the effect of a statement may depend on where rows lie: on the physical order of a table's rows, which is
//! the order in which they were added and changed.
//!
//! The rule lists what is known *not* to depend on it. A query is read as a set of rows, and each part of it must be
//! one of the parts below; otherwise the query may depend on the order of every table in it.
//!
//! - A query that finds at most one row, because a unique key is compared, or because it aggregates all rows.
//! - Conditions and columns without functions that give something else each time (`nextval`, `random`), and without
//!   errors: the server may have enough rows before it comes to the one that fails.
//! - Aggregates whose result is the same in any order (`count`, `sum` of integers; not `sum` of floats, not
//!   `array_agg`).
//! - GROUP BY, DISTINCT, UNION on types whose equal values are the same to the last bit (not `1.0` and `1.00`).
//! - ORDER BY, with LIMIT or in the result, on a unique key or on everything that the query returns.
//! - Sub-queries that are such queries themselves.

use std::collections::BTreeSet;

use super::expression::{Evaluation, collation_of, type_of};
use super::functions::{Errors, is_aggregate_without_order, is_exact};
use super::query::{
    COMMON_TABLE, Command, FUNCTION, GROUP, JOIN, RELATION, RESULT, SUBQUERY, VALUES, command, conditions, joined,
    key_compared, keys_of, object_numbers, only_relation, output, relations, targets_of,
};
use crate::postgres::catalog::Catalog;
use crate::postgres::node_tree::{Node, Struct};

/// The most levels of nested queries that are analysed.
const DEEPEST: usize = 40;

/// The tables whose row order may matter to what a statement does or returns, not counting all those that it changes or
/// locks itself. `None` where it may be every table that it reads.
pub fn depends_on_order_of(query: &Struct, catalog: &Catalog) -> Option<BTreeSet<u32>> {
    let reader = Reader { catalog, depth: 0 };
    match command(query) {
        Command::Select => reader.rows(query, Order::Shown).map(|rows| rows.depends),
        Command::Insert => reader.insertion(query),
        Command::Update | Command::Delete => reader.change(query),
        Command::Merge | Command::Other => None,
    }
}

/// How the order of a query's rows is used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Nobody sees it.
    Unseen,
    /// It is compared, if the query asks for an order.
    Shown,
}

/// A query's rows.
struct Rows {
    /// Tables whose order decides which rows these are.
    depends: BTreeSet<u32>,
    /// Errors while they are computed.
    errors: Errors,
    /// There is at most one.
    is_one: bool,
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    catalog: &'a Catalog,
    depth: usize,
}

impl Reader<'_> {
    /// `None` where something is not understood.
    fn rows(self, query: &Struct, order: Order) -> Option<Rows> {
        let reader = self.deeper()?;
        let flags = [
            "hasWindowFuncs",
            "hasTargetSRFs",
            "hasRecursive",
            "hasModifyingCTE",
            "hasDistinctOn",
        ];
        if command(query) != Command::Select
            || flags.iter().any(|flag| query.is_true(flag))
            || !query.list("groupingSets").is_empty()
        {
            return None;
        }
        let mut rows = Rows {
            depends: BTreeSet::new(),
            errors: Errors::None,
            is_one: false,
        };
        reader.range_table(query, &mut rows)?;
        for condition in conditions(query) {
            let evaluation = reader.every_row(condition, &mut rows)?;
            rows.errors = rows.errors.and(evaluation.errors);
        }
        let mut output = Evaluation::default();
        for clause in ["targetList", "havingQual"] {
            output.add(query.field(clause), reader.catalog);
        }
        let grouped = !query.list("groupClause").is_empty();
        let one_of_all = query.is_true("hasAggs") && !grouped;
        // other rows may be read on the way to the one, unless that can fail
        let only_row = rows.errors == Errors::None
            && only_relation(query).is_some_and(|table| key_compared(query, table, reader.catalog).is_some());
        let looks_at_none = joined(query).is_empty() && query.field("setOperations").is_null();
        rows.is_one = one_of_all || only_row || looks_at_none;
        if output.unknown_in_aggregates {
            return None;
        }
        if output
            .aggregates
            .iter()
            .any(|aggregate| !reader.is_without_order(aggregate))
        {
            return None;
        }
        reader.sublinks(&output, &mut rows)?;
        let mut limits = Evaluation::default();
        for clause in ["limitCount", "limitOffset"] {
            limits.add(query.field(clause), reader.catalog);
        }
        reader.sublinks(&limits, &mut rows)?;
        rows.errors = rows.errors.and(output.errors_in_aggregates);
        if !rows.is_one {
            if output.unknown || output.differs {
                return None;
            }
            rows.errors = rows.errors.and(output.errors);
        }
        for clause in ["groupClause", "distinctClause"] {
            if !targets_of(query, clause).into_iter().all(is_exact_target) {
                return None;
            }
        }
        reader.set_operations(query.field("setOperations"))?;
        if !query.list("rowMarks").is_empty() {
            // rows are locked in the order in which they come, and NOWAIT fails at the first locked one
            let locked = relations(query);
            if locked.len() > 1 {
                return None;
            }
            if !rows.is_one {
                rows.errors = rows.errors.and(Errors::One("55P03"));
                rows.depends.extend(locked);
            }
        }
        let is_limited = !query.field("limitCount").is_null() || !query.field("limitOffset").is_null();
        let is_sorted = !query.list("sortClause").is_empty();
        if is_limited && !rows.is_one && (rows.errors != Errors::None || !reader.is_total(query)) {
            return None;
        }
        if order == Order::Shown && is_sorted && !rows.is_one && !reader.is_total(query) {
            return None;
        }
        // the server may have enough rows before it comes to the one that fails, or find its rows in another way
        let comes_alike = match rows.errors {
            Errors::None => true,
            Errors::One(_) => order == Order::Shown && looks_at_none,
            Errors::Any => false,
        };
        (comes_alike || relations(query).is_empty()).then_some(rows)
    }

    fn deeper(self) -> Option<Self> {
        let depth = self.depth + 1;
        (depth < DEEPEST).then_some(Reader { depth, ..self })
    }

    /// What FROM names.
    fn range_table(self, query: &Struct, rows: &mut Rows) -> Option<()> {
        for table in query.structs("rtable") {
            match table.number::<u32>("rtekind") {
                RELATION => {
                    if !table.field("tablesample").is_null() {
                        return None;
                    }
                    let evaluation = self.every_row(table.field("securityQuals"), rows)?;
                    rows.errors = rows.errors.and(evaluation.errors);
                }
                SUBQUERY => {
                    let inner = self.rows(table.field("subquery").as_struct()?, Order::Unseen)?;
                    rows.take_in(inner);
                }
                FUNCTION => {
                    for function in table.structs("functions") {
                        self.function_in_from(function.field("funcexpr"), joined(query).len() == 1, rows)?;
                    }
                }
                VALUES => {
                    let evaluation = self.every_row(table.field("values_lists"), rows)?;
                    rows.errors = rows.errors.and(evaluation.errors);
                }
                // what these name is named elsewhere too
                JOIN | COMMON_TABLE | RESULT | GROUP => {}
                _ => return None,
            }
        }
        for common in query.structs("cteList") {
            let inner = self.rows(common.field("ctequery").as_struct()?, Order::Unseen)?;
            rows.take_in(inner);
        }
        Some(())
    }

    /// A function in FROM is called once for each row that it reads, or only once; its arguments are evaluated then.
    fn function_in_from(self, call: &Node, is_alone: bool, rows: &mut Rows) -> Option<()> {
        let mut evaluation = Evaluation::of(call, self.catalog);
        if evaluation.unknown || evaluation.differs {
            return None;
        }
        // alone in FROM, and not on a table's rows: it fails at once, or never
        let mut looks_at_row = false;
        if let Node::Struct(call) = call {
            call.walk(&mut |node| looks_at_row |= node.tag == "VAR");
        }
        if !looks_at_row && is_alone {
            evaluation.errors = Errors::None;
        }
        rows.errors = rows.errors.and(evaluation.errors);
        self.sublinks(&evaluation, rows)
    }

    /// An expression that is evaluated for every row.
    fn every_row<'n>(self, expression: &'n Node, rows: &mut Rows) -> Option<Evaluation<'n>> {
        let evaluation = Evaluation::of(expression, self.catalog);
        if evaluation.unknown || evaluation.differs {
            return None;
        }
        self.sublinks(&evaluation, rows)?;
        Some(evaluation)
    }

    /// The sub-queries in an expression.
    fn sublinks(self, evaluation: &Evaluation<'_>, rows: &mut Rows) -> Option<()> {
        // SubLinkType: EXISTS, ALL, ANY, ROWCOMPARE, EXPR, …
        const EXPRESSION: u32 = 4;
        for sublink in &evaluation.sublinks {
            // compared with one row after the other, until the result is known
            let compared = Evaluation::of(sublink.field("testexpr"), self.catalog);
            if compared.unknown || compared.differs || compared.errors != Errors::None {
                return None;
            }
            let inner = self.rows(sublink.field("subselect").as_struct()?, Order::Unseen)?;
            match sublink.number::<u32>("subLinkType") {
                // these may stop at any row
                0..=2 if inner.errors == Errors::None => rows.depends.extend(inner.depends),
                EXPRESSION => {
                    let several = if inner.is_one {
                        Errors::None
                    } else {
                        Errors::One("21000")
                    };
                    rows.errors = rows.errors.and(inner.errors).and(several);
                    rows.depends.extend(inner.depends);
                }
                _ => return None,
            }
        }
        Some(())
    }

    fn is_without_order(self, aggregate: &Struct) -> bool {
        let Some(known) = self
            .catalog
            .functions
            .get(&aggregate.number("aggfnoid"))
            .filter(|known| known.is_built_in)
        else {
            return false;
        };
        let arguments: Vec<&Struct> = aggregate
            .structs("args")
            .filter(|one| !one.is_true("resjunk"))
            .collect();
        let is_constant =
            |argument: &&&Struct| argument.field("expr").as_struct().is_some_and(|one| one.tag == "CONST");
        // ORDER BY everything that is aggregated
        let sorted: Vec<u32> = aggregate
            .structs("aggorder")
            .map(|one| one.number("tleSortGroupRef"))
            .collect();
        let is_sorted =
            |argument: &&Struct| sorted.contains(&argument.number("ressortgroupref")) && is_exact_target(argument);
        let puts_together = ["array_agg", "string_agg", "json_agg", "jsonb_agg"].contains(&known.name.as_str());
        if puts_together {
            return !sorted.is_empty() && arguments.iter().filter(|one| !is_constant(one)).all(is_sorted);
        }
        let is_distinct = !aggregate.list("aggdistinct").is_empty();
        match arguments.as_slice() {
            [] => is_aggregate_without_order(&known.name, 0, 0),
            [argument] => {
                let (type_oid, collation) = (type_of(argument), collation_of(argument));
                is_aggregate_without_order(&known.name, type_oid, collation)
                    && (!is_distinct || known.name == "count" || is_exact(type_oid, collation))
            }
            _ => false,
        }
    }

    /// UNION, INTERSECT and EXCEPT compare whole rows; UNION ALL does not.
    fn set_operations(self, operation: &Node) -> Option<()> {
        const UNION: u32 = 1;
        let Node::Struct(node) = operation else { return Some(()) };
        if node.tag != "SETOPERATIONSTMT" {
            return Some(());
        }
        let compares = !(node.number::<u32>("op") == UNION && node.is_true("all"));
        let types = object_numbers(node.list("colTypes"));
        let collations = object_numbers(node.list("colCollations"));
        if compares
            && (types.len() != collations.len()
                || !types.iter().zip(&collations).all(|(one, with)| is_exact(*one, *with)))
        {
            return None;
        }
        self.set_operations(node.field("larg"))?;
        self.set_operations(node.field("rarg"))
    }

    /// Whether ORDER BY leaves nothing open: rows that it considers equal are one row, or alike.
    fn is_total(self, query: &Struct) -> bool {
        let sorted = targets_of(query, "sortClause");
        if sorted.is_empty() || !sorted.iter().all(|target| is_exact_target(target)) {
            return false;
        }
        let is_sorted = |target: &Struct| sorted.contains(&target);
        if output(query).all(is_sorted) {
            return true;
        }
        let groups = targets_of(query, "groupClause");
        if !groups.is_empty() {
            return groups.into_iter().all(is_sorted);
        }
        let Some((table, number)) = only_relation(query) else {
            return false;
        };
        if query.is_true("hasAggs") || !query.list("distinctClause").is_empty() {
            return false;
        }
        let inherits = self.catalog.inheritance.iter().any(|&(_, parent)| parent == table);
        let columns: BTreeSet<i16> = sorted
            .iter()
            .filter_map(|target| super::query::column_of(target.field("expr").as_struct()?, number))
            .collect();
        let is_in_order = |name: &String| {
            let mut all = self.catalog.columns.get(&table).into_iter().flatten();
            all.any(|column| column.name == *name && column.not_null && columns.contains(&column.number))
        };
        let mut keys = keys_of(table, self.catalog);
        !inherits && keys.any(|key| key.columns.iter().all(|(name, _)| is_in_order(name)))
    }

    /// INSERT: the rows of a query are added in the order in which they come.
    fn insertion(self, query: &Struct) -> Option<BTreeSet<u32>> {
        if query.is_true("hasModifyingCTE") || !query.list("withCheckOptions").is_empty() {
            return None;
        }
        let mut depends = BTreeSet::new();
        let mut expressions = Evaluation::default();
        for clause in ["targetList", "onConflict", "returningList"] {
            match query.field(clause) {
                Node::Struct(conflict) => {
                    for part in ["arbiterElems", "arbiterWhere", "onConflictSet", "onConflictWhere"] {
                        expressions.add(conflict.field(part), self.catalog);
                    }
                }
                other => expressions.add(other, self.catalog),
            }
        }
        let mut rows = Rows {
            depends: BTreeSet::new(),
            errors: Errors::None,
            is_one: true,
        };
        self.sublinks(&expressions, &mut rows)?;
        depends.extend(rows.depends);
        for table in query.structs("rtable") {
            match table.number::<u32>("rtekind") {
                SUBQUERY => {
                    let source = table.field("subquery").as_struct()?;
                    let found = self.rows(source, Order::Shown)?;
                    // numbers drawn before an error are not given back
                    let is_safe = found.errors == Errors::None || relations(source).is_empty();
                    let in_order = found.is_one || relations(source).is_empty() || self.is_total(source);
                    depends.extend((is_safe && in_order).then_some(found.depends)?);
                }
                VALUES => {
                    let mut values = Rows {
                        depends: BTreeSet::new(),
                        errors: Errors::None,
                        is_one: false,
                    };
                    let evaluation = Evaluation::of(table.field("values_lists"), self.catalog);
                    self.sublinks(&evaluation, &mut values)?;
                    depends.extend(values.depends);
                }
                RELATION | RESULT => {}
                _ => return None,
            }
        }
        query.list("cteList").is_empty().then_some(depends)
    }

    /// UPDATE and DELETE: in a single table, rows are changed in the order in which they lie, which matters only to
    /// statements that read or lock that table.
    fn change(self, query: &Struct) -> Option<BTreeSet<u32>> {
        let target = query.number::<usize>("resultRelation");
        if joined(query) != [target]
            || query.is_true("hasModifyingCTE")
            || !query.list("withCheckOptions").is_empty()
            || !query.list("cteList").is_empty()
            || query.structs("rtable").count() != 1
        {
            return None;
        }
        let table = super::query::entry(query, target)?;
        let relation = table.number::<u32>("relid");
        let is_one = key_compared(query, (relation, target), self.catalog).is_some();
        let mut evaluation = Evaluation::of(table.field("securityQuals"), self.catalog);
        for condition in conditions(query) {
            evaluation.add(condition, self.catalog);
        }
        let sublinks_decide = !evaluation.sublinks.is_empty();
        // other rows may be read on the way to the one
        let in_order = !is_one || evaluation.unknown || evaluation.differs || evaluation.errors != Errors::None;
        for clause in ["targetList", "returningList"] {
            evaluation.add(query.field(clause), self.catalog);
        }
        let is_value = |sublink: &&Struct| sublink.number::<u32>("subLinkType") == 4;
        // the server may join a sub-query of a condition, and change rows in the order of the join
        if !is_one && sublinks_decide && !evaluation.sublinks.iter().all(is_value) {
            return None;
        }
        let mut rows = Rows {
            depends: BTreeSet::new(),
            errors: Errors::None,
            is_one,
        };
        self.sublinks(&evaluation, &mut rows)?;
        if in_order {
            rows.depends.insert(relation);
        }
        Some(rows.depends)
    }
}

impl Rows {
    /// A query in FROM.
    fn take_in(&mut self, inner: Rows) {
        self.depends.extend(inner.depends);
        self.errors = self.errors.and(inner.errors);
    }
}

fn is_exact_target(target: &Struct) -> bool {
    is_exact(type_of(target), collation_of(target))
}
