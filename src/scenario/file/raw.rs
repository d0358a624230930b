//! The file as TOML holds it, with the place of each value.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

pub(super) type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScenario {
    /// For human readers of the file.
    #[serde(rename = "description")]
    pub _description: Option<String>,
    pub setup_database: Option<String>,
    pub setup: Option<Text>,
    pub setup_file: Option<Text>,
    pub setup_command: Option<Spanned<Vec<Text>>>,
    pub deadlock: Option<Text>,
    pub prelude: Option<Text>,
    #[serde(default)]
    pub ignore: Vec<Text>,
    #[serde(default)]
    pub serializable: bool,
    #[serde(default)]
    pub service: Vec<Spanned<RawService>>,
    #[serde(default)]
    pub session: Vec<RawSession>,
    #[serde(default)]
    pub invariant: Vec<RawInvariant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a [[session]] table")]
pub(super) struct RawSession {
    pub name: Text,
    pub copies: Option<Spanned<i64>>,
    pub isolation: Option<Text>,
    pub params: Option<Spanned<RawParams>>,
    #[serde(default)]
    pub allow_errors: Vec<Text>,
    pub retry: Option<RawRetry>,
    #[serde(default)]
    pub steps: Vec<Spanned<RawStep>>,
    pub command: Option<Spanned<Vec<Text>>>,
    pub stdin: Option<Text>,
    pub env: Option<Spanned<BTreeMap<Text, Text>>>,
    pub cwd: Option<Text>,
    pub allow_exit: Option<Spanned<Vec<Spanned<i64>>>>,
    pub connections: Option<Spanned<i64>>,
    pub request: Option<Spanned<RawRequest>>,
    pub allow_status: Option<Spanned<Vec<Spanned<i64>>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a [[service]] table")]
pub(super) struct RawService {
    pub name: Text,
    pub instances: Option<Spanned<i64>>,
    pub command: Spanned<Vec<Text>>,
    pub env: Option<Spanned<BTreeMap<Text, Text>>>,
    pub cwd: Option<Text>,
    pub ready: Option<Text>,
    pub restart: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `service` and `path`")]
pub(super) struct RawRequest {
    pub service: Text,
    pub instance: Option<Spanned<i64>>,
    pub method: Option<Text>,
    pub path: Text,
    #[serde(default)]
    pub headers: BTreeMap<Text, Text>,
    pub json: Option<Spanned<toml::Value>>,
    pub body: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `on` and `max`")]
pub(super) struct RawRetry {
    pub on: Spanned<Vec<Text>>,
    pub max: Spanned<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an [[invariant]] table")]
pub(super) struct RawInvariant {
    pub name: Text,
    pub sql: Text,
}

pub(super) type RawParamTable = BTreeMap<Text, Spanned<toml::Value>>;

pub(super) enum RawParams {
    Each(Vec<Spanned<RawParamTable>>),
    Shared(RawParamTable),
}

impl<'de> Deserialize<'de> for RawParams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ParamsVisitor;

        impl<'de> Visitor<'de> for ParamsVisitor {
            type Value = RawParams;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a table of parameters, or an array with one table a copy")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, tables: A) -> Result<RawParams, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(tables)).map(RawParams::Each)
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawParams, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(table)).map(RawParams::Shared)
            }
        }

        deserializer.deserialize_any(ParamsVisitor)
    }
}

pub(super) enum RawStep {
    /// Its place is that of the step itself.
    Sql(String),
    Table(RawStepTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStepTable {
    pub name: Option<Text>,
    pub sql: Text,
    pub when: Option<Text>,
}

impl<'de> Deserialize<'de> for RawStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StepVisitor;

        impl<'de> Visitor<'de> for StepVisitor {
            type Value = RawStep;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a statement, or a table with `sql` and, if wanted, `name` and `when`")
            }

            fn visit_str<E: serde::de::Error>(self, sql: &str) -> Result<RawStep, E> {
                Ok(RawStep::Sql(sql.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawStep, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(table)).map(RawStep::Table)
            }
        }

        deserializer.deserialize_any(StepVisitor)
    }
}
