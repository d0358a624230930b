//! What an expression of a parse tree may do.

use super::functions::{self, Errors};
use crate::postgres::catalog::Catalog;
use crate::postgres::node_tree::{Node, Struct};

/// What evaluating an expression may do, as far as it can reveal the order of the rows that it is evaluated for.
#[derive(Debug, Default)]
pub struct Evaluation<'a> {
    /// It has a part that is not understood.
    pub unknown: bool,
    /// It has another value each time, or draws something.
    pub differs: bool,
    pub errors: Errors,
    /// Errors inside an aggregate: the argument is evaluated for every row, the expression around it for every group.
    pub errors_in_aggregates: Errors,
    /// Something inside an aggregate is not understood, or has another value each time.
    pub unknown_in_aggregates: bool,
    /// Sub-queries (`SUBLINK`).
    pub sublinks: Vec<&'a Struct>,
    /// Aggregates (`AGGREF`).
    pub aggregates: Vec<&'a Struct>,
}

impl<'a> Evaluation<'a> {
    pub fn of(expression: &'a Node, catalog: &Catalog) -> Evaluation<'a> {
        let mut evaluation = Evaluation::default();
        evaluation.add(expression, catalog);
        evaluation
    }

    /// Adds what another expression may do.
    pub fn add(&mut self, expression: &'a Node, catalog: &Catalog) {
        match expression {
            Node::Struct(node) => self.add_struct(node, catalog),
            Node::List(items) => items.iter().for_each(|item| self.add(item, catalog)),
            Node::Null | Node::Atom(_) | Node::Bytes(_) => {}
        }
    }

    pub fn add_struct(&mut self, node: &'a Struct, catalog: &Catalog) {
        match node.tag.as_str() {
            "FUNCEXPR" => self.call(node, "funcid", catalog),
            "OPEXPR" | "DISTINCTEXPR" | "NULLIFEXPR" | "SCALARARRAYOPEXPR" => self.call(node, "opfuncid", catalog),
            // its nested arrays may differ in size
            "ARRAY" | "ARRAYEXPR" if node.is_true("multidims") => self.errors = Errors::Any,
            "AGGREF" => {
                self.aggregates.push(node);
                let mut inner = Evaluation::default();
                for (_, value) in node.fields() {
                    inner.add(value, catalog);
                }
                self.unknown_in_aggregates |= inner.unknown || inner.differs;
                self.errors_in_aggregates = self.errors_in_aggregates.and(inner.errors);
                self.sublinks.extend(inner.sublinks);
                return;
            }
            "SUBLINK" => {
                self.sublinks.push(node);
                // what it is compared with, and how
                self.add(node.field("testexpr"), catalog);
                return;
            }
            // a system column or a whole row: where the row lies, or of another type
            "VAR" => self.unknown |= node.number::<i32>("varattno") < 0,
            // a conversion by way of text: parsing a text may fail, printing one does not
            "COERCEVIAIO" => {
                let reads_text = !matches!(node.number::<u32>("resulttype"), 25 | 1043);
                if reads_text {
                    self.errors = Errors::Any;
                }
            }
            "NEXTVALUEEXPR" => self.differs = true,
            "CONST" | "PARAM" | "BOOLEXPR" | "RELABELTYPE" | "NULLTEST" | "BOOLEANTEST" | "TARGETENTRY"
            | "SORTGROUPCLAUSE" => {}
            // the names up to version 15, and those since
            "CASE" | "CASEEXPR" | "WHEN" | "CASEWHEN" | "CASETESTEXPR" | "COALESCE" | "COALESCEEXPR" | "MINMAX"
            | "MINMAXEXPR" | "ARRAY" | "ARRAYEXPR" | "ROW" | "ROWEXPR" | "COLLATE" | "COLLATEEXPR" | "DEFAULT"
            | "SETTODEFAULT" | "SQLVALUEFUNCTION" | "GROUPINGFUNC" | "NAMEDARGEXPR" => {}
            _ => self.unknown = true,
        }
        for (_, value) in node.fields() {
            self.add(value, catalog);
        }
    }

    fn call(&mut self, node: &Struct, field: &str, catalog: &Catalog) {
        const COLLATABLE: [u32; 3] = [25, 1042, 1043];
        let function = node.number(field);
        // texts of two collations cannot be compared, which is detected for each row
        let texts = node
            .structs("args")
            .any(|argument| COLLATABLE.contains(&type_of(argument)));
        if texts && node.number::<u32>("inputcollid") == 0 {
            self.errors = Errors::Any;
        }
        self.errors = self.errors.and(functions::errors(function, catalog));
        self.differs |= functions::differs_by_call(function, catalog);
    }

    /// Whether it always gives the same for the same row, and no error.
    pub fn is_harmless(&self) -> bool {
        !self.unknown
            && !self.differs
            && self.errors == Errors::None
            && self.errors_in_aggregates == Errors::None
            && !self.unknown_in_aggregates
            && self.sublinks.is_empty()
    }
}

/// An expression's type; 0 where it is not known.
pub fn type_of(node: &Struct) -> u32 {
    let field = match node.tag.as_str() {
        "VAR" => "vartype",
        "CONST" => "consttype",
        "PARAM" => "paramtype",
        "FUNCEXPR" => "funcresulttype",
        "OPEXPR" | "DISTINCTEXPR" | "NULLIFEXPR" => "opresulttype",
        "RELABELTYPE" | "COERCEVIAIO" | "ARRAYCOERCEEXPR" | "CONVERTROWTYPEEXPR" | "COERCETODOMAIN" | "FIELDSELECT" => {
            "resulttype"
        }
        "CASE" | "CASEEXPR" => "casetype",
        "COALESCE" | "COALESCEEXPR" => "coalescetype",
        "MINMAX" | "MINMAXEXPR" => "minmaxtype",
        "ARRAY" | "ARRAYEXPR" => "array_typeid",
        "ROW" | "ROWEXPR" => "row_typeid",
        "SQLVALUEFUNCTION" => "type",
        "AGGREF" => "aggtype",
        "WINDOWFUNC" => "wintype",
        "SUBSCRIPTINGREF" => "refrestype",
        "CASETESTEXPR" | "SETTODEFAULT" | "DEFAULT" => "typeId",
        "BOOLEXPR" | "NULLTEST" | "BOOLEANTEST" | "SCALARARRAYOPEXPR" => return 16,
        "SUBLINK" => return type_of_sublink(node),
        "TARGETENTRY" | "COLLATE" | "COLLATEEXPR" | "NAMEDARGEXPR" => {
            let inner = node.field("expr").as_struct().or_else(|| node.field("arg").as_struct());
            return inner.map_or(0, type_of);
        }
        _ => return 0,
    };
    node.number(field)
}

fn type_of_sublink(sublink: &Struct) -> u32 {
    const EXPRESSION: u32 = 4;
    if sublink.number::<u32>("subLinkType") != EXPRESSION {
        return 16;
    }
    let query = sublink.field("subselect").as_struct();
    let first = query.and_then(|query| query.structs("targetList").next());
    first.map_or(0, type_of)
}

/// An expression's collation; 0 where it has none.
pub fn collation_of(node: &Struct) -> u32 {
    let field = match node.tag.as_str() {
        "VAR" => "varcollid",
        "CONST" => "constcollid",
        "PARAM" => "paramcollid",
        "FUNCEXPR" => "funccollid",
        "OPEXPR" | "DISTINCTEXPR" | "NULLIFEXPR" => "opcollid",
        "RELABELTYPE" | "COERCEVIAIO" => "resultcollid",
        "CASE" | "CASEEXPR" => "casecollid",
        "COALESCE" | "COALESCEEXPR" => "coalescecollid",
        "MINMAX" | "MINMAXEXPR" => "minmaxcollid",
        "AGGREF" => "aggcollid",
        "COLLATE" | "COLLATEEXPR" => "collOid",
        "TARGETENTRY" => return node.field("expr").as_struct().map_or(0, collation_of),
        "BOOLEXPR" | "NULLTEST" | "BOOLEANTEST" | "SCALARARRAYOPEXPR" | "SQLVALUEFUNCTION" => return 0,
        // not known: no collation of the server's own has this number
        _ => return u32::MAX,
    };
    node.number(field)
}
