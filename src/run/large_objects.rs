//! Large objects: whether a scenario may touch them, and what a run leaves of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::postgres::PostgresError;
use crate::postgres::wire::Connection;
use crate::scenario::{Param, Scenario};
use crate::verdict::outcome::TableContent;

const ALL: &str = "SELECT oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid";
const CONTENT: &str = "SELECT oid, octet_length(content)::text, md5(content)
  FROM (SELECT oid, lo_get(oid) AS content FROM pg_catalog.pg_largeobject_metadata) AS object";

/// How outcomes name large objects.
#[derive(Debug, Clone, Default)]
pub struct LargeObjects {
    /// There may be some: outcomes show them even if there are none.
    expected: bool,
    /// Those that setup created, in the order of their numbers. The server draws these, so they differ between two
    /// setups.
    of_setup: BTreeMap<String, String>,
    /// Numbers in the scenario's texts: an object with one of them was numbered by the scenario.
    chosen: BTreeSet<String>,
}

impl LargeObjects {
    /// Must be called after setup.
    pub async fn find(control: &mut Connection, scenario: &Scenario) -> Result<LargeObjects, PostgresError> {
        let found = query(control, ALL).await?;
        let numbers = found.iter().filter_map(|row| row.first()?.clone());
        let of_setup: BTreeMap<_, _> = numbers
            .enumerate()
            .map(|(place, number)| (number, format!("setup {}", place + 1)))
            .collect();
        Ok(LargeObjects {
            expected: !of_setup.is_empty() || may_be_touched(scenario),
            of_setup,
            chosen: chosen_numbers(scenario),
        })
    }

    pub fn are_expected(&self) -> bool {
        self.expected
    }

    /// All of them, as a table of an outcome; `None` if there are none and none are expected.
    pub async fn content(&self, control: &mut Connection) -> Result<Option<TableContent>, PostgresError> {
        let found = query(control, CONTENT).await?;
        if found.is_empty() && !self.expected {
            return Ok(None);
        }
        let mut rows: Vec<Vec<Option<String>>> = found
            .into_iter()
            .filter_map(|row| match <[Option<String>; 3]>::try_from(row) {
                Ok([Some(number), bytes, md5]) => Some(vec![Some(self.name(number)), bytes, md5]),
                _ => None,
            })
            .collect();
        rows.sort();
        Ok(Some(TableContent {
            name: "pg_largeobject".to_owned(),
            columns: ["object", "bytes", "md5"].map(str::to_owned).to_vec(),
            rows,
        }))
    }

    fn name(&self, number: String) -> String {
        if self.chosen.contains(&number) {
            return number;
        }
        let of_setup = self.of_setup.get(&number).cloned();
        of_setup.unwrap_or_else(|| "<number>".to_owned())
    }
}

fn texts(scenario: &Scenario) -> impl Iterator<Item = &str> {
    let steps = scenario.sessions.iter().flat_map(|session| session.steps.iter());
    let steps = steps.map(|step| step.sql.text.as_str());
    scenario.setup.iter().map(|setup| setup.text.as_str()).chain(steps)
}

/// Whether setup (including the functions that it creates) or a step names something that works on large objects.
fn may_be_touched(scenario: &Scenario) -> bool {
    texts(scenario).any(names_large_objects)
}

fn names_large_objects(sql: &str) -> bool {
    let lower = sql.to_lowercase();
    let mut words = lower.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    words.any(|word| {
        word.starts_with("lo_") || word.starts_with("pg_largeobject") || ["loread", "lowrite"].contains(&word)
    })
}

fn chosen_numbers(scenario: &Scenario) -> BTreeSet<String> {
    let params = scenario.sessions.iter().flat_map(|session| session.params.values());
    let params = params.filter_map(|param| match param {
        Param::Integer(number) => Some(number.to_string()),
        Param::Text(text) => Some(text.clone()),
        Param::Numeric(_) | Param::Boolean(_) => None,
    });
    let numbers = texts(scenario).flat_map(|text| text.split(|c: char| !c.is_ascii_digit()));
    let numbers = numbers.filter(|word| !word.is_empty());
    numbers.map(str::to_owned).chain(params).collect()
}

async fn query(control: &mut Connection, sql: &str) -> Result<Vec<Vec<Option<String>>>, PostgresError> {
    let reply = control.simple(sql).await?;
    let result = reply.into_result().map_err(|error| PostgresError::Query {
        doing: "reading the large objects",
        error,
    })?;
    Ok(result.rows)
}

#[cfg(test)]
mod tests {
    use super::names_large_objects;

    #[test]
    fn what_works_on_large_objects_is_found_by_its_name() {
        for sql in [
            "SELECT lo_create(0)",
            "SELECT count(*) FROM pg_largeobject_metadata",
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'SELECT \"lo_unlink\"(7)'",
            "SELECT LOREAD(0, 10)",
        ] {
            assert!(names_large_objects(sql), "{sql}");
        }
        for sql in ["SELECT solo_create(0)", "SELECT lo FROM t", "SELECT 'hello_'"] {
            assert!(!names_large_objects(sql), "{sql}");
        }
    }
}
