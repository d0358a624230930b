//! A request as it can be sent again, whatever the driver had prepared before.

use bytes::{Bytes, BytesMut};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;

use super::met::Met;
use crate::history::Volatile;
use crate::postgres::wire::{Column, FrameColumn};
use crate::proxy::{Asked, Bound, Request, RequestEnd, readable};
use crate::sql::commands::split;

/// What a program asked for.
#[derive(Debug)]
pub struct Repeated {
    /// It came as one simple Query.
    is_simple: bool,
    statements: Vec<Statement>,
}

#[derive(Debug)]
struct Statement {
    sql: Text,
    types: Vec<u32>,
    values: Vec<Value>,
    formats: Vec<bool>,
    columns: Option<Vec<FrameColumn>>,
    limit: u32,
    describes: bool,
}

/// A text in which values that are made anew in each run have been found.
type Text = Vec<Piece>;

#[derive(Debug)]
enum Piece {
    Plain(String),
    /// The value that the session has met at this place.
    Met(usize),
    /// A value that the program has made, and what it is shown as.
    Own(String, &'static str),
}

#[derive(Debug)]
enum Value {
    Null,
    Text(Text),
    Binary { bytes: Bytes, readable: String },
    MetBinary(usize),
    OwnBinary { bytes: Bytes, placeholder: &'static str },
}

impl Repeated {
    /// `None` where it cannot be sent again by itself, or holds a value of which it is not known where it came from.
    pub fn of(request: &Request, volatile: &Volatile, met: &mut Met) -> Option<Repeated> {
        let is_call = request.bytes.first() == Some(&b'F');
        if is_call || request.fetches || request.statements.is_empty() || met.is_unknown() {
            return None;
        }
        let is_simple = request.statements.iter().all(|asked| asked.prepared.is_none());
        let statements = request.statements.iter().map(|asked| {
            let copies = split(&asked.sql)
                .iter()
                .any(|command| command.first().is_some_and(|word| word.is("COPY")));
            (!copies && is_simple == asked.prepared.is_none()).then(|| Statement::of(asked, volatile, met))?
        });
        Some(Repeated {
            is_simple,
            statements: statements.collect::<Option<_>>()?,
        })
    }

    /// What the program has asked, whatever it was told of columns and types before. Values of its own making count as the same.
    pub fn identity(&self) -> String {
        let statements = self.statements.iter().map(|statement| {
            let values: Vec<String> = statement.values.iter().map(Value::identity).collect();
            format!(
                "{}\0{}\0{}",
                text_identity(&statement.sql),
                values.join("\0"),
                statement.limit
            )
        });
        statements.collect::<Vec<_>>().join("\0\0")
    }

    /// Whether it holds values that the program has made.
    pub fn has_own(&self) -> bool {
        self.statements.iter().any(|statement| {
            has_own(&statement.sql)
                || statement.values.iter().any(|value| match value {
                    Value::Text(text) => has_own(text),
                    Value::OwnBinary { .. } => true,
                    _ => false,
                })
        })
    }

    /// The request, with the values that the session has met in this run. `None` where it has met fewer.
    pub fn fill(&self, met: &Met) -> Option<(Request, RequestEnd)> {
        let mut bytes = BytesMut::new();
        let mut statements = Vec::new();
        for statement in &self.statements {
            let sql = fill(&statement.sql, met)?;
            if self.is_simple {
                // all of a simple Query's statements are one text
                frontend::query(&sql, &mut bytes).ok()?;
                statements.push(Asked::simple(&sql));
                continue;
            }
            let values: Vec<Option<Bound>> = statement
                .values
                .iter()
                .map(|value| value.fill(met))
                .collect::<Option<_>>()?;
            frontend::parse("", &sql, statement.types.iter().copied(), &mut bytes).ok()?;
            let formats = values
                .iter()
                .map(|value| i16::from(value.as_ref().is_some_and(|value| value.binary)));
            let write = |value: &Option<Bound>, buffer: &mut BytesMut| {
                Ok(match value {
                    Some(value) => {
                        buffer.extend_from_slice(&value.bytes);
                        IsNull::No
                    }
                    None => IsNull::Yes,
                })
            };
            let wanted = statement.formats.iter().map(|binary| i16::from(*binary));
            let formats: Vec<i16> = formats.collect();
            frontend::bind("", "", formats, &values, write, wanted, &mut bytes).ok()?;
            if statement.describes {
                frontend::describe(b'P', "", &mut bytes).ok()?;
            }
            frontend::execute("", i32::try_from(statement.limit).ok()?, &mut bytes).ok()?;
            statements.push(Asked {
                sql: sql.into(),
                types: statement.types.clone(),
                values,
                prepared: Some(String::new()),
                formats: statement.formats.clone(),
                columns: statement.columns.clone(),
                limit: statement.limit,
                describes: statement.describes,
            });
        }
        if !self.is_simple {
            frontend::sync(&mut bytes);
        }
        let request = Request {
            bytes,
            prepares: !self.is_simple,
            binds: !self.is_simple,
            statements,
            ..Request::default()
        };
        let end = if self.is_simple {
            RequestEnd::Query
        } else {
            RequestEnd::Sync
        };
        Some((request, end))
    }
}

impl Statement {
    fn of(asked: &Asked, volatile: &Volatile, met: &mut Met) -> Option<Statement> {
        let sql = text(&asked.sql, volatile, met)?;
        let value = |(index, bound): (usize, &Option<Bound>)| {
            let type_oid = asked.types.get(index).copied().unwrap_or_default();
            Value::of(bound.as_ref(), type_oid, volatile, met)
        };
        Some(Statement {
            sql,
            types: asked.types.clone(),
            values: asked.values.iter().enumerate().map(value).collect::<Option<_>>()?,
            formats: asked.formats.clone(),
            columns: asked.columns.clone(),
            limit: asked.limit,
            describes: asked.describes,
        })
    }
}

impl Value {
    fn of(bound: Option<&Bound>, type_oid: u32, volatile: &Volatile, met: &mut Met) -> Option<Value> {
        let Some(bound) = bound else { return Some(Value::Null) };
        if !bound.binary {
            return Some(Value::Text(text(
                std::str::from_utf8(&bound.bytes).ok()?,
                volatile,
                met,
            )?));
        }
        let readable = readable(type_oid, true, &bound.bytes);
        let column = Column {
            name: String::new(),
            type_oid,
            table_oid: 0,
            attribute: 0,
        };
        if volatile.show(&column, &Some(readable.clone())).as_ref() == Some(&readable) {
            let bytes = bound.bytes.clone();
            return Some(Value::Binary { bytes, readable });
        }
        if let Some(place) = met.find_binary(&bound.bytes) {
            return Some(Value::MetBinary(place));
        }
        let [(range, placeholder)] = volatile.find(&readable).try_into().ok()?;
        if range != (0..readable.len()) || met.find(&readable).is_some() || !met.may_be_own(placeholder) {
            return None;
        }
        met.made(&readable, Some(bound.bytes.clone()));
        let bytes = bound.bytes.clone();
        Some(Value::OwnBinary { bytes, placeholder })
    }

    fn identity(&self) -> String {
        match self {
            Value::Null => "\u{1}null".to_owned(),
            Value::Text(text) => text_identity(text),
            Value::Binary { readable, .. } => readable.clone(),
            Value::MetBinary(place) => format!("\u{1}<{place}>"),
            Value::OwnBinary { placeholder, .. } => (*placeholder).to_owned(),
        }
    }

    fn fill(&self, met: &Met) -> Option<Option<Bound>> {
        let bound = |binary, bytes| Some(Some(Bound { binary, bytes }));
        match self {
            Value::Null => Some(None),
            Value::Text(text) => bound(false, fill(text, met)?.into()),
            Value::Binary { bytes, .. } | Value::OwnBinary { bytes, .. } => bound(true, bytes.clone()),
            Value::MetBinary(place) => bound(true, met.binary(*place)?),
        }
    }
}

/// `None` where it holds a value of which it is not known where it came from.
fn text(whole: &str, volatile: &Volatile, met: &mut Met) -> Option<Text> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for (range, placeholder) in volatile.find(whole) {
        pieces.push(Piece::Plain(whole[from..range.start].to_owned()));
        from = range.end;
        let found = &whole[range];
        pieces.push(match met.find(found) {
            Some(place) => Piece::Met(place),
            None if met.may_be_own(placeholder) => {
                met.made(found, None);
                Piece::Own(found.to_owned(), placeholder)
            }
            None => return None,
        });
    }
    pieces.push(Piece::Plain(whole[from..].to_owned()));
    Some(pieces)
}

fn text_identity(text: &Text) -> String {
    let pieces = text.iter().map(|piece| match piece {
        Piece::Plain(text) => text.clone(),
        Piece::Met(place) => format!("\u{1}<{place}>"),
        Piece::Own(_, placeholder) => (*placeholder).to_owned(),
    });
    pieces.collect()
}

fn has_own(text: &Text) -> bool {
    text.iter().any(|piece| matches!(piece, Piece::Own(..)))
}

fn fill(text: &Text, met: &Met) -> Option<String> {
    let pieces = text.iter().map(|piece| match piece {
        Piece::Plain(text) | Piece::Own(text, _) => Some(text.as_str()),
        Piece::Met(place) => met.text(*place),
    });
    pieces.collect()
}
