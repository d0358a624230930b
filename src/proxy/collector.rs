//! Collects what a client sends into requests, and keeps account of its prepared statements and portals.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::message::frontend;

use super::client::take_text;
use super::values::Bound;
use crate::postgres::wire::FrameColumn;

use super::{ClientMessage, MOST_IN_REQUEST, ProxyError};

const SYNC: &[u8; 5] = b"S\0\0\0\x04";

/// Messages of a client's that the server answers together.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// As the client sent them.
    pub bytes: BytesMut,
    /// What it has the server run, in order.
    pub statements: Vec<Asked>,
    /// How many of the server's messages answer it where it ends with a Flush, rows not counted.
    pub answers: usize,
    /// Prepared statements that it has described, in order.
    pub described: Vec<String>,
    /// It prepares, binds or closes something.
    pub prepares: bool,
    /// It makes a portal, which lasts no longer than its transaction.
    pub binds: bool,
    /// It runs a portal that another request has made.
    pub fetches: bool,
}

/// What a request ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestEnd {
    /// It is one simple Query.
    Query,
    Sync,
    /// The client wants to hear the answers so far. It is no boundary of a transaction.
    Flush,
}

/// A statement that is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// With `$1`, `$2`, … for its parameters.
    pub sql: Arc<str>,
    pub types: Vec<u32>,
    /// `None` for NULL.
    pub values: Vec<Option<Bound>>,
    /// The prepared statement's name; `None` in a simple Query.
    pub prepared: Option<String>,
    /// How its results are wanted: binary, for all columns or each; text where there is none.
    pub formats: Vec<bool>,
    /// The columns of its results, where the server has described them before.
    pub columns: Option<Vec<FrameColumn>>,
    /// The most rows that are wanted; 0 for all.
    pub limit: u32,
    /// The columns of its results are asked for before it is run.
    pub describes: bool,
}

impl Request {
    /// A simple Query; `None` where the text cannot be sent.
    pub fn query(sql: &str) -> Option<Request> {
        let mut bytes = BytesMut::new();
        frontend::query(sql, &mut bytes).ok()?;
        Some(Request {
            bytes,
            statements: vec![Asked::simple(sql)],
            ..Request::default()
        })
    }

    /// Nothing but a Sync.
    pub fn sync() -> Request {
        Request {
            bytes: BytesMut::from(&SYNC[..]),
            ..Request::default()
        }
    }

    /// Whether it is nothing but a Sync.
    pub fn is_sync(&self) -> bool {
        *self.bytes == *SYNC
    }
}

impl Asked {
    /// A simple Query, or a statement without values.
    pub fn simple(sql: &str) -> Asked {
        Asked {
            sql: sql.into(),
            types: Vec::new(),
            values: Vec::new(),
            prepared: None,
            formats: Vec::new(),
            columns: None,
            limit: 0,
            describes: false,
        }
    }

    /// These columns, with their values written as they are wanted.
    pub fn written(&self, mut columns: Vec<FrameColumn>) -> Vec<FrameColumn> {
        if self.prepared.is_some() {
            for (index, column) in columns.iter_mut().enumerate() {
                column.binary = match self.formats.as_slice() {
                    [] => false,
                    [all] => *all,
                    each => each.get(index).copied().unwrap_or_default(),
                };
            }
        }
        columns
    }
}

/// What has become of a message.
#[derive(Debug)]
pub enum Collected {
    /// It belongs to a request that is not complete.
    Nothing,
    Request(Request, RequestEnd),
    /// It belongs to a COPY.
    Copy(Bytes),
    /// The client says goodbye.
    Terminate,
}

#[derive(Debug, Clone, Default)]
struct Prepared {
    sql: Arc<str>,
    types: Vec<u32>,
    columns: Option<Vec<FrameColumn>>,
}

/// One connection's messages, statements and portals.
#[derive(Debug, Default)]
pub struct Collector {
    request: Request,
    prepared: HashMap<String, Prepared>,
    portals: HashMap<String, Asked>,
    /// Portals that the request has made and not run.
    bound: HashSet<String>,
}

impl Collector {
    /// Takes in a message.
    ///
    /// # Errors
    /// When it is malformed, or none that a client may send.
    pub fn take(&mut self, message: &ClientMessage) -> Result<Collected, ProxyError> {
        let kind = message.kind();
        if matches!(kind, b'd' | b'c' | b'f') {
            return Ok(Collected::Copy(message.bytes.clone()));
        }
        if kind == b'X' {
            return Ok(Collected::Terminate);
        }
        self.request.bytes.extend_from_slice(&message.bytes);
        if self.request.bytes.len() > MOST_IN_REQUEST {
            return Err(ProxyError::TooLarge);
        }
        let mut body = message.body();
        match kind {
            b'Q' => {
                let sql = take_text(&mut body)?;
                self.ask(Asked::simple(&sql));
                return Ok(self.end(RequestEnd::Query));
            }
            // a call of a function by its number, which libpq's large objects are
            b'F' => {
                self.ask(Asked::simple("(function call)"));
                return Ok(self.end(RequestEnd::Query));
            }
            b'S' => return Ok(self.end(RequestEnd::Sync)),
            b'H' => return Ok(self.end(RequestEnd::Flush)),
            b'P' => self.parse(&mut body)?,
            b'B' => self.bind(&mut body)?,
            b'D' => self.describe(&mut body)?,
            b'E' => self.execute(&mut body)?,
            b'C' => self.close(&mut body)?,
            _ => return Err(ProxyError::Protocol("a message that clients do not send")),
        }
        Ok(Collected::Nothing)
    }

    /// Whether a statement of this name was prepared.
    pub fn has_prepared(&self, name: &str) -> bool {
        self.prepared.contains_key(name)
    }

    /// Takes down the types of a prepared statement's parameters, as the server described them.
    pub fn learn_types(&mut self, name: &str, types: Vec<u32>) {
        if let Some(prepared) = self.prepared.get_mut(name) {
            prepared.types = types;
        }
    }

    /// Takes down the columns of a prepared statement's results, as the server described them.
    pub fn learn_columns(&mut self, name: &str, columns: Vec<FrameColumn>) {
        if let Some(prepared) = self.prepared.get_mut(name) {
            prepared.columns = Some(columns);
        }
    }

    fn ask(&mut self, asked: Asked) {
        self.request.statements.push(asked);
    }

    fn end(&mut self, end: RequestEnd) -> Collected {
        self.bound.clear();
        Collected::Request(std::mem::take(&mut self.request), end)
    }

    fn parse(&mut self, body: &mut Bytes) -> Result<(), ProxyError> {
        let name = take_text(body)?;
        let sql = take_text(body)?.into();
        let count = take_u16(body)?;
        let types = (0..count).map(|_| take_u32(body)).collect::<Result<_, _>>()?;
        self.prepared.insert(
            name,
            Prepared {
                sql,
                types,
                columns: None,
            },
        );
        self.request.prepares = true;
        self.request.answers += 1;
        Ok(())
    }

    fn bind(&mut self, body: &mut Bytes) -> Result<(), ProxyError> {
        let portal = take_text(body)?;
        let name = take_text(body)?;
        let count = take_u16(body)?;
        let formats: Vec<u16> = (0..count).map(|_| take_u16(body)).collect::<Result<_, _>>()?;
        let count = usize::from(take_u16(body)?);
        let mut values = Vec::new();
        for index in 0..count {
            let length = take_u32(body)? as i32;
            let format = match formats.as_slice() {
                [] => 0,
                [all] => *all,
                each => each.get(index).copied().unwrap_or_default(),
            };
            values.push(match usize::try_from(length) {
                Err(_) => None,
                Ok(length) if length <= body.remaining() => Some(Bound {
                    binary: format == 1,
                    bytes: body.split_to(length),
                }),
                Ok(_) => return Err(MALFORMED),
            });
        }
        // those of results come last
        let count = take_u16(body)?;
        let formats = (0..count)
            .map(|_| Ok(take_u16(body)? == 1))
            .collect::<Result<_, ProxyError>>()?;
        let Prepared { sql, types, columns } = self.prepared.get(&name).cloned().unwrap_or_default();
        let asked = Asked {
            sql,
            types,
            values,
            prepared: Some(name),
            formats,
            columns,
            limit: 0,
            describes: false,
        };
        self.bound.insert(portal.clone());
        self.portals.insert(portal, asked);
        self.request.prepares = true;
        self.request.binds = true;
        self.request.answers += 1;
        Ok(())
    }

    fn describe(&mut self, body: &mut Bytes) -> Result<(), ProxyError> {
        let kind = take_u8(body)?;
        let name = take_text(body)?;
        if kind == b'S' {
            self.request.described.push(name);
            self.request.answers += 1;
        } else if let Some(asked) = self.portals.get_mut(&name) {
            asked.describes = true;
        }
        self.request.answers += 1;
        Ok(())
    }

    fn execute(&mut self, body: &mut Bytes) -> Result<(), ProxyError> {
        let portal = take_text(body)?;
        let limit = take_u32(body)?;
        self.request.fetches |= !self.bound.remove(&portal);
        let asked = self.portals.get(&portal).cloned();
        // a cursor that a statement has declared
        let asked = asked.unwrap_or_else(|| Asked::simple(&format!("FETCH ALL FROM \"{portal}\"")));
        self.ask(Asked { limit, ..asked });
        self.request.answers += 1;
        Ok(())
    }

    fn close(&mut self, body: &mut Bytes) -> Result<(), ProxyError> {
        let kind = take_u8(body)?;
        let name = take_text(body)?;
        match kind {
            b'S' => drop(self.prepared.remove(&name)),
            _ => drop(self.portals.remove(&name)),
        }
        self.request.answers += 1;
        Ok(())
    }
}

const MALFORMED: ProxyError = ProxyError::Protocol("a malformed message");

fn take_u8(body: &mut Bytes) -> Result<u8, ProxyError> {
    body.try_get_u8().map_err(|_| MALFORMED)
}

fn take_u16(body: &mut Bytes) -> Result<u16, ProxyError> {
    body.try_get_u16().map_err(|_| MALFORMED)
}

fn take_u32(body: &mut Bytes) -> Result<u32, ProxyError> {
    body.try_get_u32().map_err(|_| MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postgres_protocol::IsNull;

    /// What becomes of messages, one after the other.
    fn collect(collector: &mut Collector, mut bytes: BytesMut) -> Vec<Collected> {
        let mut collected = Vec::new();
        while bytes.len() >= 5 {
            let length = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize + 1;
            let message = ClientMessage {
                bytes: bytes.split_to(length).freeze(),
            };
            collected.push(collector.take(&message).unwrap());
        }
        collected
    }

    #[test]
    fn an_executed_portal_has_its_statement_and_values() {
        let mut bytes = BytesMut::new();
        frontend::parse("s", "SELECT $1, $2", [23, 25], &mut bytes).unwrap();
        frontend::describe(b'S', "s", &mut bytes).unwrap();
        frontend::flush(&mut bytes);
        let write = |value: Option<&str>, buffer: &mut BytesMut| {
            Ok(match value {
                Some(value) => {
                    buffer.extend_from_slice(value.as_bytes());
                    IsNull::No
                }
                None => IsNull::Yes,
            })
        };
        frontend::bind("p", "s", [], [Some("7"), None], write, [], &mut bytes)
            .ok()
            .unwrap();
        frontend::execute("p", 0, &mut bytes).unwrap();
        frontend::sync(&mut bytes);
        let collected = collect(&mut Collector::default(), bytes);
        let requests: Vec<_> = collected
            .into_iter()
            .filter_map(|one| match one {
                Collected::Request(request, end) => Some((request, end)),
                _ => None,
            })
            .collect();
        let [(prepares, RequestEnd::Flush), (runs, RequestEnd::Sync)] = requests.as_slice() else {
            panic!("{requests:?}");
        };
        assert_eq!((prepares.statements.len(), prepares.answers), (0, 3));
        let [asked] = runs.statements.as_slice() else {
            panic!("{runs:?}")
        };
        assert_eq!(&*asked.sql, "SELECT $1, $2");
        assert_eq!(
            asked.values.iter().map(Option::is_some).collect::<Vec<_>>(),
            [true, false]
        );
        assert_eq!(runs.answers, 2);
    }

    #[test]
    fn a_value_that_is_longer_than_its_message_is_refused() {
        let mut body = BytesMut::from(&b"B\0\0\0\x10\0\0\0\0\0\x01\0\0\0\x09x"[..]);
        let length = (body.len() - 1) as u32;
        body[1..5].copy_from_slice(&length.to_be_bytes());
        let message = ClientMessage { bytes: body.freeze() };
        assert!(Collector::default().take(&message).is_err());
    }
}
