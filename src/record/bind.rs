//! Where the values of a program's statements come from.
//!
//! Copies are looked at together: a value comes from where it comes from in each of them. That tells values apart which are
//! equal by chance, as long as the copies were not told the same.

use std::collections::BTreeMap;

use super::columns::{Target, is_named_after, targets};
use super::known::{Known, Meaning};
use super::lines::{Line, Lines};
use super::pieces::{Piece, literal_value, pieces};
use super::rows::Row;
use super::values::{is_distinctive, is_telling, same, whole};
use crate::postgres::quote_literal;
use crate::postgres::type_oid::{FLOAT4, FLOAT8, INT2, INT4, INT8, NUMERIC};
use crate::postgres::wire::Value;

/// A value's place in a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// `$1` is 0.
    Parameter(usize),
    /// The index of a piece of the text.
    Literal(usize),
}

/// What stands for a value in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Variables: `:id`, `(:views + 1)`.
    Expression(String),
    /// The value as it was sent.
    Constant,
    /// Copies sent different values, and nothing that they were told explains them. By copy, where it sent one.
    Unexplained(Vec<Option<Value>>),
}

/// The origins of a statement's values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    pub by_slot: BTreeMap<Slot, Origin>,
    /// What a reader should know about them.
    pub remarks: Vec<String>,
}

/// Where the values of a row come from, given what each copy knew before it.
pub fn origins(row: &Row, copies: &[&Lines], known: &[Known]) -> Origins {
    let mut found = Origins::default();
    let sent: Vec<(usize, &Line)> = row
        .lines()
        .map(|(copy, line)| (copy, &copies[copy].lines[line]))
        .collect();
    let Some((_, first)) = sent.first() else { return found };
    let texts: Vec<Vec<Piece>> = sent.iter().map(|(_, line)| pieces(&line.sql)).collect();
    let known: Vec<&Known> = sent.iter().map(|(copy, _)| &known[*copy]).collect();
    let mut targets = targets(&first.sql).into_iter();
    for (place, piece) in texts[0].iter().enumerate() {
        let target = match piece {
            Piece::Text(_) => continue,
            Piece::Parameter(_) | Piece::Literal(_) => targets.next().flatten(),
        };
        let (slot, values): (Slot, Option<Vec<Value>>) = match piece {
            Piece::Parameter(number) => {
                let values = sent.iter().map(|(_, line)| line.values.get(*number).cloned());
                (Slot::Parameter(*number), values.collect())
            }
            // what is the same in all is part of the statement
            _ if texts.iter().all(|text| text.get(place) == Some(piece)) => continue,
            _ => {
                let values = texts.iter().map(|text| literal(text.get(place)?));
                (Slot::Literal(place), values.collect())
            }
        };
        if found.by_slot.contains_key(&slot) {
            continue;
        }
        let mut finding = Finding {
            known: &known,
            target,
            remarks: &mut found.remarks,
        };
        let origin = match values {
            Some(values) => match finding.origin(&values) {
                Some(origin) => origin,
                None => {
                    let mut by_copy = vec![None; copies.len()];
                    for ((copy, _), value) in sent.iter().zip(values) {
                        by_copy[*copy] = Some(value);
                    }
                    Origin::Unexplained(by_copy)
                }
            },
            None => Origin::Constant,
        };
        found.by_slot.insert(slot, origin);
    }
    found
}

fn literal(piece: &Piece) -> Option<Value> {
    match piece {
        Piece::Literal(text) => literal_value(text).map(Value::text),
        _ => None,
    }
}

/// The search for one value's origin, over the copies that sent it.
struct Finding<'a> {
    known: &'a [&'a Known],
    target: Option<Target>,
    remarks: &'a mut Vec<String>,
}

impl Finding<'_> {
    /// `None` where the copies differ and nothing explains that.
    fn origin(&mut self, values: &[Value]) -> Option<Origin> {
        let shown = shown(&values[0]);
        let differ = values.iter().any(|value| !same(value, &values[0]));
        if !differ && !is_telling(&values[0]) {
            return Some(Origin::Constant);
        }
        let fitting = self.fitting(values);
        let is_certain =
            |name: &str, since: usize| differ || since == 0 || is_distinctive(&values[0]) || self.is_named_after(name);
        let (certain, possible): (Vec<_>, Vec<_>) =
            fitting.into_iter().partition(|(since, name)| is_certain(name, *since));
        if let Some((_, taken)) = certain.first() {
            let others: Vec<String> = certain[1..]
                .iter()
                .chain(&possible)
                .map(|(_, name)| format!("`:{name}`"))
                .collect();
            if !others.is_empty() {
                self.remarks
                    .push(format!("{shown} is `:{taken}` here; {} had it, too", others.join(", ")));
            }
            return Some(Origin::Expression(format!(":{taken}")));
        }
        if let Some((name, sql)) = self.sum(values, differ) {
            if !differ {
                let was = self.known[0]
                    .variables
                    .get(&name)
                    .and_then(|meaning| meaning.value.as_ref());
                let was = was.map(self::shown).unwrap_or_default();
                self.remarks.push(format!(
                    "the program sent {shown} when `:{name}` was {was}: what it did with it is a guess"
                ));
            }
            return Some(Origin::Expression(sql));
        }
        if differ {
            return None;
        }
        if let Some((_, name)) = possible.first() {
            self.remarks.push(format!(
                "{shown} stands as it was sent; `:{name}` is equal, by chance perhaps"
            ));
        } else if let Some(name) = self.hidden(values) {
            self.remarks.push(format!(
                "{shown} stands as it was sent; an earlier `{name}` had it, which a later step's `{name}` hides"
            ));
        }
        Some(Origin::Constant)
    }

    /// The variables that have these values, those named after the target first, then the latest.
    fn fitting(&self, values: &[Value]) -> Vec<(usize, String)> {
        let fits = |name: &String| {
            values.iter().zip(self.known).all(|(value, known)| {
                let there = known.variables.get(name).and_then(|meaning| meaning.value.as_ref());
                there.is_some_and(|there| fits(value, there) && same(value, there))
            })
        };
        let mut found: Vec<(usize, String)> = self
            .variables()
            .filter(|(name, _)| fits(name))
            .map(|(name, meaning)| (meaning.since, name.clone()))
            .collect();
        found.sort_by_key(|(since, name)| (!self.is_named_after(name), std::cmp::Reverse(*since)));
        found
    }

    fn variables(&self) -> impl Iterator<Item = (&String, &Meaning)> {
        self.known[0].variables.iter()
    }

    fn is_named_after(&self, name: &str) -> bool {
        let target = self.target.as_ref();
        target.is_some_and(|target| is_named_after(name, &target.column))
    }

    /// A variable and the same number, or the same other variable, that all values are the sum of; of texts, what they begin
    /// with. Where the copies do not differ, one that the value replaces.
    fn sum(&self, values: &[Value], differ: bool) -> Option<(String, String)> {
        let replaces = self.target.as_ref().is_some_and(|target| target.replaces);
        let mut names: Vec<(&String, &Meaning)> = self
            .variables()
            .filter(|(name, _)| differ || (replaces && self.is_named_after(name) && !self.is_hidden(name)))
            .collect();
        names.sort_by_key(|(name, meaning)| (!self.is_named_after(name), std::cmp::Reverse(meaning.since)));
        names.into_iter().find_map(|(name, _)| {
            let there = |known: &Known| known.variables.get(name)?.value.clone();
            let there: Vec<Value> = self.known.iter().map(|known| there(known)).collect::<Option<_>>()?;
            let sql = self.difference(values, &there).or_else(|| self.rest(values, &there))?;
            // more than what was nothing may as well be a number of the program's own
            let counts = ["+ 1", "- 1"].contains(&sql.as_str());
            if !differ && !counts && there.iter().any(|value| whole(value) == Some(0)) {
                return None;
            }
            Some((name.clone(), format!("(:{name} {sql})")))
        })
    }

    /// What was added to whole numbers, or subtracted from them.
    fn difference(&self, values: &[Value], there: &[Value]) -> Option<String> {
        let is_whole = |value: &Value| matches!(value.type_oid, INT2 | INT4 | INT8);
        let by =
            |(value, there): (&Value, &Value)| whole(value)?.checked_sub(whole(there).filter(|_| is_whole(there))?);
        let all: Vec<i64> = values.iter().zip(there).map(by).collect::<Option<_>>()?;
        let first = *all.first()?;
        if all.iter().all(|by| *by == first) {
            return match first {
                0 => None,
                1.. => Some(format!("+ {first}")),
                _ => Some(format!("- {}", first.unsigned_abs())),
            };
        }
        let named = |sign: i64| {
            let wanted = all
                .iter()
                .map(|by| Some(Value::text(by.checked_mul(sign)?.to_string())));
            let wanted: Vec<Value> = wanted.collect::<Option<_>>()?;
            let (_, name) = self.fitting(&wanted).into_iter().next()?;
            Some(name)
        };
        match named(1) {
            Some(name) => Some(format!("+ :{name}")),
            None => named(-1).map(|name| format!("- :{name}")),
        }
    }

    /// What was appended to texts.
    fn rest(&self, values: &[Value], there: &[Value]) -> Option<String> {
        let rest = |(value, there): (&Value, &Value)| {
            let there = there.text.as_ref().filter(|_| is_text(there))?;
            let rest = value.text.as_ref()?.strip_prefix(there.as_str())?;
            (!rest.is_empty()).then(|| rest.to_owned())
        };
        let all: Vec<String> = values.iter().zip(there).map(rest).collect::<Option<_>>()?;
        let first = all.first()?;
        if all.iter().all(|rest| rest == first) {
            return Some(format!("|| {}", quote_literal(first)));
        }
        let wanted: Vec<Value> = all.iter().map(Value::text).collect();
        let (_, name) = self.fitting(&wanted).into_iter().next()?;
        Some(format!("|| :{name}"))
    }

    /// Whether another step has had a column of this name.
    fn is_hidden(&self, name: &str) -> bool {
        self.known[0].hidden.iter().any(|(hidden, _)| hidden == name)
    }

    /// A variable that had the value, and has it no longer.
    fn hidden(&self, values: &[Value]) -> Option<String> {
        let had = |(name, meaning): &&(String, Meaning)| {
            let there = meaning.value.as_ref();
            let is_certain = is_distinctive(&values[0]) || self.is_named_after(name);
            is_certain && there.is_some_and(|there| fits(&values[0], there) && same(&values[0], there))
        };
        let mut hidden = self.known[0].hidden.iter();
        hidden.rfind(had).map(|(name, _)| name.clone())
    }
}

/// A value as a remark shows it.
pub fn shown(value: &Value) -> String {
    const MOST: usize = 40;
    match &value.text {
        None => "NULL".to_owned(),
        Some(text) if text.chars().count() > MOST => format!("`{}…`", text.chars().take(MOST).collect::<String>()),
        Some(text) => format!("`{text}`"),
    }
}

const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;
const BPCHAR: u32 = 1042;
const NAME: u32 = 19;

fn is_text(value: &Value) -> bool {
    matches!(value.type_oid, TEXT | VARCHAR)
}

/// Whether a variable's type can stand where a value of that type was sent.
fn fits(value: &Value, variable: &Value) -> bool {
    let class = |type_oid| match type_oid {
        INT2 | INT4 | INT8 => INT8,
        VARCHAR | BPCHAR | NAME => TEXT,
        FLOAT4 | FLOAT8 => FLOAT8,
        other => other,
    };
    match (class(value.type_oid), class(variable.type_oid)) {
        (0, _) | (_, 0) | (NUMERIC | FLOAT8, INT8) => true,
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::known::known;
    use super::super::rows::rows;
    use super::*;
    use crate::postgres::type_oid::BOOL;
    use crate::run::Answered;
    use crate::scenario::Param;

    /// A statement with integers for its parameters, which returned one row of integers.
    fn line(sql: &str, values: &[i64], row: &[(&str, i64)]) -> Line {
        Line {
            name: Some(sql.to_owned()),
            sql: sql.to_owned(),
            values: values
                .iter()
                .map(|number| Value::of_type(INT4, number.to_string()))
                .collect(),
            reply: Some(Answered {
                columns: (!row.is_empty()).then(|| row.iter().map(|(name, _)| ((*name).to_owned(), INT4)).collect()),
                rows: usize::from(!row.is_empty()),
                row: (!row.is_empty()).then(|| row.iter().map(|(_, number)| Some(number.to_string())).collect()),
            }),
        }
    }

    fn with_params(copies: &[&[Line]], params: &[BTreeMap<String, Param>]) -> Origins {
        let copies: Vec<Lines> = copies
            .iter()
            .map(|lines| Lines {
                lines: lines.to_vec(),
                ..Lines::default()
            })
            .collect();
        let copies: Vec<&Lines> = copies.iter().collect();
        let rows = rows(&copies);
        let known = known(&rows, &copies, &params.iter().collect::<Vec<_>>());
        origins(&rows[rows.len() - 1], &copies, &known[rows.len() - 1])
    }

    /// The origins of the last statement's values.
    fn of(copies: &[&[Line]]) -> Origins {
        with_params(copies, &vec![BTreeMap::new(); copies.len()])
    }

    fn expression(sql: &str) -> Origin {
        Origin::Expression(sql.to_owned())
    }

    fn variable(name: &str) -> Origin {
        expression(&format!(":{name}"))
    }

    #[test]
    fn a_value_that_an_earlier_reply_had_is_its_column() {
        let lines = [
            line("INSERT INTO t", &[], &[("id", 4711)]),
            line("UPDATE t SET a = $1, b = $2", &[4711, 8], &[]),
        ];
        let found = of(&[&lines]);
        assert_eq!(found.by_slot[&Slot::Parameter(0)], variable("id"));
        assert_eq!(found.by_slot[&Slot::Parameter(1)], Origin::Constant);
        assert_eq!(found.remarks, Vec::<String>::new());
    }

    #[test]
    fn of_two_that_fit_the_later_is_taken_and_said() {
        let lines = [
            line("SELECT 1", &[], &[("a", 4711)]),
            line("SELECT 2", &[], &[("b", 4711)]),
            line("UPDATE t SET c = f($1)", &[4711], &[]),
        ];
        let found = of(&[&lines]);
        assert_eq!(found.by_slot[&Slot::Parameter(0)], variable("b"));
        assert_eq!(found.remarks, ["`4711` is `:b` here; `:a` had it, too"]);
    }

    #[test]
    fn of_two_that_fit_the_one_of_the_columns_name_is_taken() {
        let lines = [
            line("SELECT 1", &[], &[("users_id", 1)]),
            line("SELECT 2", &[], &[("amount", 1)]),
            line("UPDATE users SET c = 5 WHERE id = $1", &[1], &[]),
        ];
        let found = of(&[&lines]);
        assert_eq!(found.by_slot[&Slot::Parameter(0)], variable("users_id"));
        assert_eq!(found.remarks, ["`1` is `:users_id` here; `:amount` had it, too"]);
    }

    #[test]
    fn a_small_number_is_equal_by_chance() {
        let lines = [
            line("SELECT 1", &[], &[("amount", 1)]),
            line("UPDATE users SET c = 5 WHERE id = $1", &[1], &[]),
        ];
        let found = of(&[&lines]);
        assert_eq!(found.by_slot[&Slot::Parameter(0)], Origin::Constant);
        assert_eq!(
            found.remarks,
            ["`1` stands as it was sent; `:amount` is equal, by chance perhaps"]
        );
    }

    #[test]
    fn a_column_that_a_later_reply_has_too_is_no_longer_there() {
        let lines = [
            line("SELECT 1", &[], &[("id", 4711)]),
            line("SELECT 2", &[], &[("id", 8)]),
            line("UPDATE t SET a = $1", &[4711], &[]),
        ];
        let found = of(&[&lines]);
        assert_eq!(found.by_slot[&Slot::Parameter(0)], Origin::Constant);
        assert_eq!(
            found.remarks,
            ["`4711` stands as it was sent; an earlier `id` had it, which a later step's `id` hides"]
        );
    }

    #[test]
    fn copies_tell_what_is_equal_by_chance() {
        let copy = |views: i64| {
            [
                line("SELECT 1", &[], &[("views", views)]),
                line("UPDATE t SET views = $1 WHERE id = $2", &[views + 1, 1], &[]),
            ]
        };
        let found = of(&[&copy(0), &copy(1)]);
        assert_eq!(found.by_slot[&Slot::Parameter(0)], expression("(:views + 1)"));
        assert_eq!(found.by_slot[&Slot::Parameter(1)], Origin::Constant);
    }

    #[test]
    fn one_session_alone_shows_a_sum_where_it_replaces_what_it_read() {
        let lines = [
            line("SELECT 1", &[], &[("balance", 100), ("price", 0), ("views", 0)]),
            line(
                "UPDATE t SET balance = $1, total = $2, price = $3, views = $4",
                &[20, 30, 10, 1],
                &[],
            ),
        ];
        let found = of(&[&lines]);
        assert_eq!(found.by_slot[&Slot::Parameter(2)], Origin::Constant);
        assert_eq!(found.by_slot[&Slot::Parameter(3)], expression("(:views + 1)"));
        assert_eq!(found.by_slot[&Slot::Parameter(0)], expression("(:balance - 80)"));
        assert_eq!(found.by_slot[&Slot::Parameter(1)], Origin::Constant);
        assert_eq!(
            found.remarks,
            [
                "the program sent `20` when `:balance` was `100`: what it did with it is a guess",
                "the program sent `1` when `:views` was `0`: what it did with it is a guess"
            ]
        );
    }

    #[test]
    fn copies_tell_what_was_added() {
        let params = [10, 20].map(|amount| BTreeMap::from([("amount".to_owned(), Param::Integer(amount))]));
        let copy = |balance: i64, amount: i64| {
            [
                line("SELECT 1", &[], &[("balance", balance)]),
                line("UPDATE t SET balance = $1", &[balance - amount], &[]),
            ]
        };
        let found = with_params(&[&copy(100, 10), &copy(90, 20)], &params);
        assert_eq!(found.by_slot[&Slot::Parameter(0)], expression("(:balance - :amount)"));
        let params = ["x", "y"].map(|text| BTreeMap::from([("text".to_owned(), Param::Text(text.to_owned()))]));
        let copy = |before: &str, after: &str| {
            let mut lines = [
                line("SELECT 1", &[], &[("body", 0)]),
                line("UPDATE t SET body = $1", &[0], &[]),
            ];
            let reply = lines[0].reply.as_mut().expect("a reply");
            reply.columns = Some(vec![("body".to_owned(), TEXT)]);
            reply.row = Some(vec![Some(before.to_owned())]);
            lines[1].values = vec![Value::of_type(TEXT, after)];
            lines
        };
        let found = with_params(&[&copy("", "x"), &copy("x", "xy")], &params);
        assert_eq!(found.by_slot[&Slot::Parameter(0)], expression("(:body || :text)"));
        let found = of(&[&copy("a", "a."), &copy("a.", "a..")]);
        assert_eq!(found.by_slot[&Slot::Parameter(0)], expression("(:body || '.')"));
    }

    #[test]
    fn values_in_the_text_are_bound_where_copies_differ() {
        let copy = |id: i64| {
            [
                line("SELECT 1", &[], &[("id", id)]),
                line(&format!("DELETE FROM t WHERE id = {id} AND x = 1"), &[], &[]),
            ]
        };
        let found = of(&[&copy(1), &copy(2)]);
        assert_eq!(found.by_slot, BTreeMap::from([(Slot::Literal(1), variable("id"))]));
        assert_eq!(of(&[&copy(1)]).by_slot, BTreeMap::new());
    }

    #[test]
    fn what_nothing_explains_is_said() {
        let copy = |token: i64| [line("INSERT INTO t VALUES ($1)", &[token], &[])];
        let found = of(&[&copy(1234), &copy(5678)]);
        let values = ["1234", "5678"].map(|text| Some(Value::of_type(INT4, text))).to_vec();
        assert_eq!(found.by_slot[&Slot::Parameter(0)], Origin::Unexplained(values));
    }

    #[test]
    fn parameters_are_variables_too() {
        let params = [7, 8].map(|id| BTreeMap::from([("id".to_owned(), Param::Integer(id))]));
        let lines = [7, 8].map(|id| [line("SELECT $1", &[id], &[])]);
        let found = with_params(&[&lines[0], &lines[1]], &params);
        assert_eq!(found.by_slot[&Slot::Parameter(0)], variable("id"));
        assert_eq!(
            with_params(&[&lines[0]], &params[..1]).by_slot[&Slot::Parameter(0)],
            variable("id")
        );
    }

    #[test]
    fn truths_are_not_bound_by_chance() {
        let mut lines = [
            line("SELECT 1", &[], &[("free", 1)]),
            line("UPDATE t SET free = $1", &[1], &[]),
        ];
        lines[0].reply.as_mut().expect("a reply").row = Some(vec![Some("t".to_owned())]);
        lines[1].values = vec![Value::of_type(BOOL, "t")];
        assert_eq!(of(&[&lines]).by_slot[&Slot::Parameter(0)], Origin::Constant);
    }
}
