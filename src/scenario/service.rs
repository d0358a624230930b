//! Programs that serve requests, and sessions that are such requests.

use std::collections::BTreeMap;

use toml::Value;

use super::program::{fill, sole_placeholder};
use crate::scenario::{Param, ProgramCommand};

/// A program that serves HTTP. pgbraid starts its instances, and each request to one is a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Unique among the services.
    pub name: String,
    /// How many processes of it there are; at least one.
    pub instances: usize,
    /// What is started. `{port}` stands for the port that an instance is to listen at.
    pub program: ProgramCommand,
    /// The path whose answer says that an instance is ready; without one, an open port says so.
    pub ready: Option<String>,
    /// Instances start anew with each run.
    pub restart: bool,
}

/// A request that is run as a session. `{name}` stands for a parameter of the session.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceRequest {
    /// The name of the service.
    pub service: String,
    /// The number of the instance that it goes to, from 1; without one, sessions take turns.
    pub instance: Option<usize>,
    /// `GET`, `POST` and the like.
    pub method: String,
    /// The path, and what follows a `?`.
    pub path: String,
    /// By name.
    pub headers: BTreeMap<String, String>,
    /// What follows the headers.
    pub body: RequestBody,
    /// Statuses from 500 on that do not fail a schedule.
    pub allow_status: Vec<u16>,
}

/// What a request sends.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum RequestBody {
    /// No body.
    #[default]
    Nothing,
    /// A value, sent as JSON.
    Json(Value),
    /// A text, sent as it stands.
    Text(String),
}

impl ServiceRequest {
    /// The same for a copy, with the values of its parameters in place of their names.
    pub fn filled(&self, params: &BTreeMap<String, Param>) -> ServiceRequest {
        ServiceRequest {
            path: fill(&self.path, params),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), fill(value, params)))
                .collect(),
            body: match &self.body {
                RequestBody::Nothing => RequestBody::Nothing,
                RequestBody::Json(value) => RequestBody::Json(filled(value, params)),
                RequestBody::Text(text) => RequestBody::Text(fill(text, params)),
            },
            ..self.clone()
        }
    }

    /// All texts in which `{name}` may stand for a parameter.
    pub fn texts(&self) -> Vec<&String> {
        let mut found: Vec<&String> = std::iter::once(&self.path).chain(self.headers.values()).collect();
        match &self.body {
            RequestBody::Nothing => {}
            RequestBody::Json(value) => strings(value, &mut found),
            RequestBody::Text(text) => found.push(text),
        }
        found
    }
}

fn strings<'a>(value: &'a Value, found: &mut Vec<&'a String>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        Value::Table(table) => table.iter().for_each(|(_, value)| strings(value, found)),
        _ => {}
    }
}

/// A string that is a parameter's name and nothing else becomes its value, a number where that is one.
fn filled(value: &Value, params: &BTreeMap<String, Param>) -> Value {
    match value {
        Value::String(text) => match sole_placeholder(text).and_then(|name| params.get(name)) {
            Some(Param::Integer(number)) => Value::Integer(*number),
            Some(Param::Boolean(truth)) => Value::Boolean(*truth),
            Some(Param::Numeric(number)) => number
                .parse()
                .map_or_else(|_| Value::String(number.clone()), Value::Float),
            _ => Value::String(fill(text, params)),
        },
        Value::Array(values) => Value::Array(values.iter().map(|value| filled(value, params)).collect()),
        Value::Table(table) => Value::Table(
            table
                .iter()
                .map(|(name, value)| (name.clone(), filled(value, params)))
                .collect(),
        ),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_alone_keeps_its_type_in_json() {
        let params = BTreeMap::from([("id".to_owned(), Param::Integer(7))]);
        let json: toml::Table = toml::from_str(r#"body = { id = "{id}", name = "item {id}" }"#).unwrap();
        let request = ServiceRequest {
            service: "shop".to_owned(),
            instance: None,
            method: "POST".to_owned(),
            path: "/items/{id}".to_owned(),
            headers: BTreeMap::new(),
            body: RequestBody::Json(json["body"].clone()),
            allow_status: Vec::new(),
        };
        assert_eq!(request.texts().len(), 3);
        let filled = request.filled(&params);
        assert_eq!(filled.path, "/items/7");
        let RequestBody::Json(body) = filled.body else {
            panic!("no JSON")
        };
        assert_eq!(serde_json::to_string(&body).unwrap(), r#"{"id":7,"name":"item 7"}"#);
    }
}
