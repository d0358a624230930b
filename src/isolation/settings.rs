//! Settings that sessions start with, in addition to the server's own.

/// Name and value of a setting of the server.
pub type Setting = (String, String);

/// Environment variables that libpq turns into settings.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("PGTZ", "TimeZone"),
    ("PGDATESTYLE", "DateStyle"),
    ("PGGEQO", "geqo"),
    ("PGOPTIONS", "options"),
];

/// What PostgreSQL's test driver, `pg_isolation_regress`, sets for `isolationtester`, so that outputs are the same
/// everywhere.
const REGRESSION: [(&str, &str); 7] = [
    ("TimeZone", "America/Los_Angeles"),
    ("DateStyle", "Postgres, MDY"),
    ("IntervalStyle", "postgres_verbose"),
    ("lc_monetary", "C"),
    ("lc_numeric", "C"),
    ("lc_time", "C"),
    ("bytea_output", "hex"),
];

/// The settings that `isolationtester` takes from the environment.
pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Vec<Setting> {
    let set = ENVIRONMENT
        .iter()
        .filter_map(|(name, setting)| Some((*setting, variable(name)?)));
    set.map(|(setting, value)| (setting.to_owned(), value)).collect()
}

/// The settings of a test run.
pub fn of_test_run() -> Vec<Setting> {
    let settings = REGRESSION.iter();
    settings
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Settings that the embedded server needs: until a commit is flushed, VACUUM does not consider its rows visible to
/// all, and specifications print what it did.
pub fn of_embedded_server() -> [Setting; 1] {
    [("synchronous_commit".to_owned(), "on".to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_sets_what_libpq_would() {
        let variable = |name: &str| (name == "PGTZ").then(|| "UTC".to_owned());
        assert_eq!(of_environment(variable), [("TimeZone".to_owned(), "UTC".to_owned())]);
    }
}
