//! What was committed after each turn of a run, version by version.

use crate::postgres::PostgresError;
use crate::postgres::baseline::Table;
use crate::postgres::quote_literal;
use crate::postgres::wire::{Connection, ResultSet};

/// The primary keys of tables: how a row's key is written for reading.
const KEYS: &str = "SELECT i.indrelid, string_agg(
    format('%L || coalesce(%I::text, ''NULL'')', a.attname || ' = ', a.attname), ' || '', '' || '
    ORDER BY array_position(i.indkey::int2[], a.attnum))
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
  WHERE i.indisprimary AND i.indrelid >= 16384 GROUP BY i.indrelid";

const SEQUENCES: &str = "SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename), last_value
  FROM pg_catalog.pg_sequences WHERE schemaname <> 'pgbraid' AND last_value IS NOT NULL ORDER BY 1";

/// One version of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Where it is stored, and the transaction that created it; unique among the versions of a run.
    pub place: (String, String),
    /// The number of the command that created it, counted from 0 within its transaction.
    pub command: usize,
    /// By its primary key, for reading: `id = 1`. `None` where the table has none.
    pub key: Option<String>,
    /// The row as a literal of the table's type.
    pub row: String,
}

/// What was committed at one moment.
#[derive(Debug, Clone)]
pub struct State {
    /// The turn that it follows; `None` for the state after setup.
    pub after: Option<usize>,
    /// Versions, by table.
    pub tables: Vec<Vec<Version>>,
}

/// The committed states of one run.
#[derive(Debug)]
pub struct CommittedStates {
    pub tables: Vec<Table>,
    /// One query for each table.
    queries: Vec<String>,
    /// One for the state after setup, and one for each turn.
    pub states: Vec<State>,
    /// SQL that sets the sequences to their values at the end of the run.
    pub set_sequences: String,
}

impl CommittedStates {
    /// Begins with the state after setup.
    pub async fn begin(control: &mut Connection, tables: &[Table]) -> Result<CommittedStates, PostgresError> {
        let keys = query(control, KEYS).await?;
        let key_of = |table: &Table| {
            keys.rows.iter().find_map(|row| match row.as_slice() {
                [Some(oid), Some(key)] if oid.parse() == Ok(table.oid) => Some(key.clone()),
                _ => None,
            })
        };
        let queries = tables.iter().map(|table| {
            let (key, name) = (key_of(table).unwrap_or_else(|| "NULL".to_owned()), table.qualified());
            format!(
                "BEGIN; LOCK TABLE {name} IN ACCESS SHARE MODE NOWAIT;
                 SELECT t.ctid, t.xmin, t.cmin, {key}, (t.*)::text FROM ONLY {name} AS t; COMMIT"
            )
        });
        let mut states = CommittedStates {
            tables: tables.to_vec(),
            queries: queries.collect(),
            states: Vec::new(),
            set_sequences: String::new(),
        };
        states.take(control, None).await?;
        Ok(states)
    }

    /// Records what is committed after a turn.
    pub async fn look(&mut self, control: &mut Connection, turn: usize) -> Result<(), PostgresError> {
        self.take(control, Some(turn)).await
    }

    /// To be called when the run is over.
    pub async fn end(&mut self, control: &mut Connection) -> Result<(), PostgresError> {
        for row in query(control, SEQUENCES).await?.rows {
            if let [Some(name), Some(last)] = row.as_slice() {
                self.set_sequences += &format!("SELECT setval({}, {last}, true);", quote_literal(name));
            }
        }
        Ok(())
    }

    async fn take(&mut self, control: &mut Connection, after: Option<usize>) -> Result<(), PostgresError> {
        let mut tables = Vec::with_capacity(self.queries.len());
        for (index, sql) in self.queries.iter().enumerate() {
            let reply = control.simple(sql).await?;
            let versions = match &reply.error {
                // a session has locked the whole table; meanwhile no other session commits changes to it
                Some(_) => {
                    control.simple("ROLLBACK").await?;
                    self.states
                        .last()
                        .map(|state| state.tables[index].clone())
                        .unwrap_or_default()
                }
                None => reply
                    .results
                    .iter()
                    .flat_map(|result| &result.rows)
                    .filter_map(|row| version(row))
                    .collect(),
            };
            tables.push(versions);
        }
        self.states.push(State { after, tables });
        Ok(())
    }

    /// The state that a statement sent in `turn` sees: what was committed in the turns before.
    pub fn before(&self, turn: usize) -> usize {
        self.states
            .iter()
            .rposition(|state| state.after.is_none_or(|after| after < turn))
            .unwrap_or(0)
    }
}

fn version(row: &[Option<String>]) -> Option<Version> {
    match row {
        [Some(place), Some(transaction), Some(command), key, Some(text)] => Some(Version {
            place: (place.clone(), transaction.clone()),
            command: command.parse().unwrap_or(0),
            key: key.clone(),
            row: text.clone(),
        }),
        _ => None,
    }
}

async fn query(control: &mut Connection, sql: &str) -> Result<ResultSet, PostgresError> {
    let reply = control.simple(sql).await?;
    reply.into_result().map_err(|error| PostgresError::Query {
        doing: "looking at committed versions",
        error,
    })
}
