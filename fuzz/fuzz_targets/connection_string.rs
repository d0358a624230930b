//! A connection string or URL: it is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgbraid::postgres::PostgresError;
use tokio_postgres::Config;

fuzz_target!(|text: &str| {
    match text.parse::<Config>() {
        Ok(config) => drop(format!("{config:?}")),
        Err(error) => drop(PostgresError::ConnectionString(error).to_string()),
    }
});
