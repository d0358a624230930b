//! The file as TOML holds it, with the place of each value.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use toml::Spanned;

use super::Mistake;
use crate::schedule::{Entry, Extent};

pub(super) type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPinned {
    /// For human readers of the file.
    #[serde(rename = "description")]
    pub _description: Option<String>,
    pub scenario: Text,
    pub permutation: Option<usize>,
    #[serde(default)]
    pub serializable: bool,
    pub expect: Text,
    #[serde(default)]
    pub violates: Vec<Text>,
    #[serde(default)]
    pub strict: bool,
    pub order: Vec<Spanned<RawEntry>>,
}

pub(super) enum RawEntry {
    Text(String),
    Table(RawEntryTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEntryTable {
    pub session: String,
    pub until: Option<String>,
    pub before: Option<String>,
    #[serde(default)]
    pub to_end: bool,
    #[serde(default)]
    pub resumes: bool,
    #[serde(default)]
    pub times_out: bool,
}

impl RawEntry {
    pub(super) fn read(self) -> Result<Entry, Mistake> {
        let table = match self {
            RawEntry::Text(text) => return Entry::parse(&text).ok_or(Mistake::NoSession),
            RawEntry::Table(table) => table,
        };
        let extents = [
            table.until.map(Extent::Until),
            table.before.map(Extent::Before),
            table.to_end.then_some(Extent::ToEnd),
            table.resumes.then_some(Extent::Resumes),
            table.times_out.then_some(Extent::TimesOut),
        ];
        let mut extents = extents.into_iter().flatten();
        let extent = extents.next().unwrap_or(Extent::OneStep);
        if extents.next().is_some() {
            return Err(Mistake::TwoExtents);
        }
        match table.session.trim() {
            "" => Err(Mistake::NoSession),
            _ => Ok(Entry::new(table.session, extent)),
        }
    }
}

impl<'de> Deserialize<'de> for RawEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;

        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = RawEntry;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an entry such as \"worker-1 until read\", or a table with `session`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RawEntry, E> {
                Ok(RawEntry::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawEntry, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(table)).map(RawEntry::Table)
            }
        }

        deserializer.deserialize_any(EntryVisitor)
    }
}
