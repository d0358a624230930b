//! Where the values of a program's statements come from.
//!
//! Sessions that sent the same statements are looked at together: a value comes from where it comes from in each of them.
//! That tells values apart which are equal by chance, as long as the sessions were not told the same.

use std::collections::BTreeMap;

use super::lines::Line;
use super::pieces::{Piece, literal_value, pieces};
use crate::postgres::type_oid::{
    BOOL, FLOAT4, FLOAT8, INT2, INT4, INT8, NUMERIC, RECORD, TIMESTAMP, TIMESTAMPTZ, UNKNOWN, VOID,
};
use crate::postgres::wire::Value;
use crate::scenario::Param;

/// A value's place: the statement by its index, and the parameter (`$1` is 0) or the piece of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    Parameter(usize, usize),
    Literal(usize, usize),
}

impl Slot {
    /// The statement's index.
    pub fn line(self) -> usize {
        match self {
            Slot::Parameter(line, _) | Slot::Literal(line, _) => line,
        }
    }
}

/// What stands for a value in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A variable or a parameter of the session.
    Variable(String),
    /// The same and a number.
    Sum(String, i64),
    /// The value as it was sent.
    Constant,
    /// The value as it was sent, though other copies sent others, and nothing that they were told explains it.
    Unexplained,
}

/// Another variable would have explained a value, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguity {
    pub slot: Slot,
    pub taken: String,
    pub others: Vec<String>,
}

/// The origins of all values of sessions that sent the same statements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    pub by_slot: BTreeMap<Slot, Origin>,
    pub ambiguities: Vec<Ambiguity>,
}

/// A session, for this purpose.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    pub lines: &'a [Line],
    pub params: &'a BTreeMap<String, Param>,
}

/// Whether two sessions sent the same statements, but for values.
pub fn alike(one: &[Line], other: &[Line]) -> bool {
    let same = |(one, other): (&Line, &Line)| {
        let same_piece = |(one, other): (&Piece, &Piece)| match (one, other) {
            (Piece::Literal(_), Piece::Literal(_)) => true,
            (one, other) => one == other,
        };
        let (one_pieces, other_pieces) = (pieces(&one.sql), pieces(&other.sql));
        one.name == other.name
            && one.values.len() == other.values.len()
            && one.commit.is_some() == other.commit.is_some()
            && one_pieces.len() == other_pieces.len()
            && one_pieces.iter().zip(&other_pieces).all(same_piece)
    };
    one.len() == other.len() && one.iter().zip(other).all(same)
}

/// Where the values of these sessions come from. They are [`alike`].
pub fn origins(senders: &[Sender<'_>]) -> Origins {
    let mut found = Origins::default();
    let Some(first) = senders.first() else { return found };
    let known: Vec<Vec<Known>> = senders.iter().map(known_before).collect();
    for (index, line) in first.lines.iter().enumerate() {
        let each = |value: &dyn Fn(&Line) -> Option<Value>| -> Option<Vec<Value>> {
            senders.iter().map(|sender| value(sender.lines.get(index)?)).collect()
        };
        let before: Vec<&Known> = known.iter().filter_map(|known| known.get(index)).collect();
        for parameter in 0..line.values.len() {
            if let Some(values) = each(&|line| line.values.get(parameter).cloned()) {
                let slot = Slot::Parameter(index, parameter);
                let origin = origin(&values, &before, slot, &mut found.ambiguities);
                found.by_slot.insert(slot, origin);
            }
        }
        let texts: Vec<Vec<Piece>> = senders.iter().map(|sender| pieces(&sender.lines[index].sql)).collect();
        for place in 0..texts[0].len() {
            // what is the same in all is part of the statement
            if texts.iter().all(|text| text[place] == texts[0][place]) {
                continue;
            }
            let values: Option<Vec<Value>> = texts.iter().map(|text| literal(&text[place])).collect();
            let slot = Slot::Literal(index, place);
            let origin = values.map_or(Origin::Unexplained, |values| {
                origin(&values, &before, slot, &mut found.ambiguities)
            });
            found.by_slot.insert(slot, origin);
        }
    }
    found
}

fn literal(piece: &Piece) -> Option<Value> {
    match piece {
        Piece::Literal(text) => Some(Value {
            type_oid: 0,
            text: Some(literal_value(text)?),
        }),
        _ => None,
    }
}

/// A script's variables at some point.
type Known = BTreeMap<String, Meaning>;

#[derive(Debug, Clone)]
struct Meaning {
    /// The number of the statement that set it, from 1; 0 for a parameter.
    since: usize,
    /// `None` where it is NULL, or there is no single value.
    value: Option<Value>,
}

/// The variables before each statement.
fn known_before(sender: &Sender<'_>) -> Vec<Known> {
    let mut now: Known = sender
        .params
        .iter()
        .map(|(name, param)| {
            let value = Value {
                type_oid: 0,
                text: Some(param_text(param)),
            };
            (
                name.clone(),
                Meaning {
                    since: 0,
                    value: Some(value),
                },
            )
        })
        .collect();
    let mut all = Vec::with_capacity(sender.lines.len());
    for (index, line) in sender.lines.iter().enumerate() {
        all.push(now.clone());
        let Some(reply) = &line.reply else { continue };
        for (column, (name, type_oid)) in reply.columns.iter().flatten().enumerate() {
            let text = reply.row.as_ref().and_then(|row| row.get(column).cloned().flatten());
            let type_oid = match *type_oid {
                UNKNOWN | RECORD | VOID => 0,
                other => other,
            };
            let meaning = Meaning {
                since: index + 1,
                value: text.map(|text| Value {
                    type_oid,
                    text: Some(text),
                }),
            };
            now.insert(name.clone(), meaning);
        }
    }
    all
}

/// A parameter's value as text.
pub fn param_text(param: &Param) -> String {
    match param {
        Param::Text(text) | Param::Numeric(text) => text.clone(),
        Param::Integer(number) => number.to_string(),
        Param::Boolean(truth) => truth.to_string(),
    }
}

/// The origin of a value, given what it was in each session, and what each of them knew.
fn origin(values: &[Value], known: &[&Known], slot: Slot, ambiguities: &mut Vec<Ambiguity>) -> Origin {
    let differ = values.iter().any(|value| !same(value, &values[0]));
    if !differ && !is_telling(&values[0]) {
        return Origin::Constant;
    }
    let mut variables: Vec<(usize, &String)> = known[0]
        .iter()
        .filter(|(name, _)| is_name(name))
        .filter(|(name, _)| {
            values.iter().zip(known).all(|(value, known)| {
                let there = known.get(*name).and_then(|meaning| meaning.value.as_ref());
                there.is_some_and(|there| fits(value, there) && same(value, there))
            })
        })
        .map(|(name, meaning)| (meaning.since, name))
        .collect();
    // the latest first
    variables.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(other.1)));
    if let [(_, taken), others @ ..] = variables.as_slice() {
        if !others.is_empty() {
            ambiguities.push(Ambiguity {
                slot,
                taken: (*taken).clone(),
                others: others.iter().map(|(_, name)| (*name).clone()).collect(),
            });
        }
        return Origin::Variable((*taken).clone());
    }
    match (differ, sum(values, known)) {
        (false, _) => Origin::Constant,
        (true, Some((name, by))) => Origin::Sum(name, by),
        (true, None) => Origin::Unexplained,
    }
}

/// A variable that all values exceed by the same number, the latest first.
fn sum(values: &[Value], known: &[&Known]) -> Option<(String, i64)> {
    let by = |name: &String, value: &Value, known: &Known| {
        let there = known.get(name)?.value.as_ref()?;
        let is_whole = matches!(there.type_oid, INT2 | INT4 | INT8);
        let number = |value: &Value| value.text.as_ref()?.parse::<i64>().ok();
        number(value)?.checked_sub(number(there).filter(|_| is_whole)?)
    };
    let mut sums: Vec<(usize, i64, &String)> = known[0]
        .iter()
        .filter(|(name, _)| is_name(name))
        .filter_map(|(name, meaning)| {
            let first = by(name, &values[0], known[0]).filter(|by| *by != 0)?;
            let all = values.iter().zip(known);
            let agree = all.into_iter().all(|(value, known)| by(name, value, known) == Some(first));
            agree.then_some((meaning.since, first, name))
        })
        .collect();
    sums.sort_by_key(|&(since, by, _)| (std::cmp::Reverse(since), by.unsigned_abs()));
    sums.first().map(|&(_, by, name)| (name.clone(), by))
}

/// Whether a value is one that is hardly equal to another by chance.
fn is_telling(value: &Value) -> bool {
    match value.text.as_deref() {
        None | Some("") => false,
        Some("t" | "f" | "true" | "false") => false,
        Some(_) => value.type_oid != BOOL,
    }
}

/// Whether a column's name can be that of a variable.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a variable's type can stand where a value of that type was sent.
fn fits(value: &Value, variable: &Value) -> bool {
    const TEXT: u32 = 25;
    const VARCHAR: u32 = 1043;
    const BPCHAR: u32 = 1042;
    const NAME: u32 = 19;
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

/// Whether two values are the same, however they are written.
pub fn same(one: &Value, other: &Value) -> bool {
    let canonical = |value: &Value, beside: &Value| -> Option<String> {
        let text = value.text.as_ref()?;
        let type_oid = match value.type_oid {
            0 => beside.type_oid,
            own => own,
        };
        Some(match type_oid {
            BOOL => match text.as_str() {
                "true" | "TRUE" | "1" | "on" | "yes" => "t".to_owned(),
                "false" | "FALSE" | "0" | "off" | "no" => "f".to_owned(),
                other => other.to_owned(),
            },
            INT2 | INT4 | INT8 => text.trim().parse::<i64>().map_or(text.clone(), |it| it.to_string()),
            TIMESTAMP | TIMESTAMPTZ => time(text),
            _ => text.clone(),
        })
    };
    canonical(one, other) == canonical(other, one)
}

/// A time as the server writes it, whichever way the program writes it.
fn time(text: &str) -> String {
    let text = text.trim().replacen('T', " ", 1).replace('Z', "+00");
    let (clock, zone) = match text.rfind(['+', '-']).filter(|place| *place > 10) {
        Some(place) => text.split_at(place),
        None => (text.as_str(), ""),
    };
    let clock = match clock.contains('.') {
        true => clock.trim_end_matches('0').trim_end_matches('.'),
        false => clock,
    };
    format!("{clock}{}", zone.trim_end_matches(":00"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Answered;

    fn value(type_oid: u32, text: &str) -> Value {
        Value {
            type_oid,
            text: Some(text.to_owned()),
        }
    }

    /// A statement with integers for its parameters, which returned one row of integers.
    fn line(sql: &str, values: &[i64], row: &[(&str, i64)]) -> Line {
        Line {
            name: None,
            sql: sql.to_owned(),
            values: values.iter().map(|number| value(INT4, &number.to_string())).collect(),
            reply: Some(Answered {
                columns: (!row.is_empty()).then(|| row.iter().map(|(name, _)| ((*name).to_owned(), INT4)).collect()),
                rows: usize::from(!row.is_empty()),
                row: (!row.is_empty()).then(|| row.iter().map(|(_, number)| Some(number.to_string())).collect()),
            }),
            turn: None,
            commit: None,
        }
    }

    fn of(all: &[&[Line]]) -> Origins {
        let params = BTreeMap::new();
        let senders: Vec<Sender<'_>> = all.iter().map(|lines| Sender { lines, params: &params }).collect();
        origins(&senders)
    }

    fn variable(name: &str) -> Origin {
        Origin::Variable(name.to_owned())
    }

    #[test]
    fn a_value_that_an_earlier_reply_had_is_its_column() {
        let lines = [
            line("INSERT", &[], &[("id", 7)]),
            line("UPDATE $1, $2", &[7, 8], &[]),
        ];
        let found = of(&[&lines]);
        assert_eq!(found.by_slot[&Slot::Parameter(1, 0)], variable("id"));
        assert_eq!(found.by_slot[&Slot::Parameter(1, 1)], Origin::Constant);
        assert_eq!(found.ambiguities, []);
    }

    #[test]
    fn of_two_that_fit_the_later_is_taken() {
        let lines = [
            line("SELECT", &[], &[("a", 7)]),
            line("SELECT", &[], &[("b", 7)]),
            line("UPDATE $1", &[7], &[]),
        ];
        let found = of(&[&lines]);
        assert_eq!(found.by_slot[&Slot::Parameter(2, 0)], variable("b"));
        assert_eq!(found.ambiguities[0].others, ["a"]);
    }

    #[test]
    fn a_column_that_a_later_reply_has_too_is_no_longer_there() {
        let lines = [
            line("SELECT", &[], &[("id", 7)]),
            line("SELECT", &[], &[("id", 8)]),
            line("UPDATE $1", &[7], &[]),
        ];
        assert_eq!(of(&[&lines]).by_slot[&Slot::Parameter(2, 0)], Origin::Constant);
    }

    #[test]
    fn copies_tell_what_is_equal_by_chance() {
        let copy = |views: i64| {
            [
                line("SELECT", &[], &[("views", views)]),
                line("UPDATE $1 $2", &[views + 1, 1], &[]),
            ]
        };
        let found = of(&[&copy(0), &copy(1)]);
        assert_eq!(found.by_slot[&Slot::Parameter(1, 0)], Origin::Sum("views".into(), 1));
        assert_eq!(found.by_slot[&Slot::Parameter(1, 1)], Origin::Constant);
    }

    #[test]
    fn values_in_the_text_are_bound_where_copies_differ() {
        let copy = |id: i64| {
            [
                line("SELECT", &[], &[("id", id)]),
                line(&format!("DELETE FROM t WHERE id = {id} AND x = 1"), &[], &[]),
            ]
        };
        let found = of(&[&copy(1), &copy(2)]);
        assert_eq!(found.by_slot, BTreeMap::from([(Slot::Literal(1, 1), variable("id"))]));
        assert_eq!(of(&[&copy(1)]).by_slot, BTreeMap::new());
    }

    #[test]
    fn what_nothing_explains_is_said() {
        let copy = |token: i64| [line("INSERT $1", &[token], &[])];
        let found = of(&[&copy(1234), &copy(5678)]);
        assert_eq!(found.by_slot[&Slot::Parameter(0, 0)], Origin::Unexplained);
    }

    #[test]
    fn parameters_are_variables_too() {
        let params = [7, 8].map(|id| BTreeMap::from([("id".to_owned(), Param::Integer(id))]));
        let lines = [7, 8].map(|id| [line("SELECT $1", &[id], &[])]);
        let senders = [0, 1].map(|copy| Sender {
            lines: &lines[copy],
            params: &params[copy],
        });
        assert_eq!(origins(&senders).by_slot[&Slot::Parameter(0, 0)], variable("id"));
    }

    #[test]
    fn truths_are_not_bound_by_chance() {
        let mut lines = [line("SELECT", &[], &[("free", 1)]), line("UPDATE $1", &[1], &[])];
        lines[0].reply.as_mut().expect("a reply").row = Some(vec![Some("t".to_owned())]);
        lines[1].values = vec![value(BOOL, "t")];
        assert_eq!(of(&[&lines]).by_slot[&Slot::Parameter(1, 0)], Origin::Constant);
    }

    #[test]
    fn values_are_the_same_however_they_are_written() {
        assert!(same(&value(0, "true"), &value(BOOL, "t")));
        assert!(same(&value(0, "007"), &value(INT4, "7")));
        let time = "2026-11-25 09:00:00.12+00";
        assert!(same(
            &value(0, "2026-11-25T09:00:00.120000+00:00"),
            &value(TIMESTAMPTZ, time)
        ));
        assert!(same(&value(0, "2026-11-25T09:00:00Z"), &value(TIMESTAMPTZ, "2026-11-25 09:00:00+00")));
        assert!(!same(&value(0, "7.0"), &value(0, "7")));
        let null = Value { type_oid: 0, text: None };
        assert!(same(&null, &null) && !same(&null, &value(0, "")));
    }
}
