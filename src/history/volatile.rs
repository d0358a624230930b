//! Values that by their nature differ between two runs, and so are not part of a history or an outcome.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use super::fresh::{NOW, Span};
use crate::postgres::PostgresError;
use crate::postgres::type_oid::{CID, DATE, OID, PG_LSN, TID, TIMESTAMP, TIMESTAMPTZ, XID, XID8};
use crate::postgres::wire::{Column, Connection};

/// Which values are shown as placeholders: object and transaction numbers, row addresses, times between the start of
/// setup and a day later, and the columns that the scenario ignores.
#[derive(Debug, Clone, Default)]
pub struct Volatile {
    /// ISO texts in UTC, which sort as the times do.
    since: String,
    until: String,
    ignored: HashSet<(u32, i16)>,
    /// What programs make anew in each run is masked in all texts.
    of_programs: Option<Span>,
}

impl Volatile {
    /// Must be called before setup: times from now on belong to this run.
    pub async fn from_now(control: &mut Connection) -> Result<Volatile, PostgresError> {
        let sql = "SELECT date_trunc('second', clock_timestamp() AT TIME ZONE 'UTC'),
                          clock_timestamp() AT TIME ZONE 'UTC' + interval '1 day'";
        let reply = control.simple(sql).await?;
        let times = reply.into_result().map_err(|error| PostgresError::Query {
            doing: "asking for the time",
            error,
        })?;
        let text = |column: usize| {
            times
                .rows
                .first()
                .and_then(|row| row.get(column)?.clone())
                .unwrap_or_default()
        };
        Ok(Volatile {
            since: text(0),
            until: text(1),
            ignored: HashSet::new(),
            of_programs: None,
        })
    }

    /// Masks what programs make anew in each run, too.
    pub fn of_programs(mut self) -> Volatile {
        self.of_programs = Span::of(&self.since, &self.until);
        self
    }

    /// A text with placeholders for what a program has made anew.
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match &self.of_programs {
            Some(span) => span.mask(text),
            None => Cow::Borrowed(text),
        }
    }

    /// Where in a text something is that a program has made anew, and the placeholder for it.
    pub fn find(&self, text: &str) -> Vec<(Range<usize>, &'static str)> {
        self.of_programs.map(|span| span.find(text)).unwrap_or_default()
    }

    /// Leaves out a column, given its table's object number and its own number there.
    pub fn ignore(&mut self, table_oid: u32, attribute: i16) {
        self.ignored.insert((table_oid, attribute));
    }

    /// The value as histories and outcomes have it.
    pub fn show(&self, column: &Column, value: &Option<String>) -> Option<String> {
        let text = value.as_ref()?;
        if self.ignored.contains(&(column.table_oid, column.attribute)) {
            return Some("<ignored>".to_owned());
        }
        let placeholder = match column.type_oid {
            OID | TID | XID | CID | PG_LSN | XID8 => "<number>",
            TIMESTAMP | TIMESTAMPTZ if self.is_of_this_run(text) => NOW,
            DATE if self.since.get(..10).is_some_and(|day| text.as_str() >= day) && *text <= self.until => "<today>",
            _ => return Some(self.mask(text).into_owned()),
        };
        Some(placeholder.to_owned())
    }

    fn is_of_this_run(&self, text: &str) -> bool {
        text >= self.since.as_str() && text <= self.until.as_str()
    }
}
