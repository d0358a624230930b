//! Copies of databases that pgbraid did not create, and what belongs to such a database beside its content: its settings, and
//! how it sorts text.

use std::collections::HashMap;

use super::wire::Value;
use super::{PostgresError, Server, expect, quote_literal};

const OBJECT_IN_USE: &str = "55006";
const INSUFFICIENT_PRIVILEGE: &str = "42501";

const DOING: &str = "looking at the database to copy";

/// The `search_path` that a database has where it has no other.
pub(super) const SEARCH_PATH: (&str, &str) = ("search_path", "\"$user\", public");

/// Settings by ALTER DATABASE, and by ALTER ROLE … IN DATABASE for this user, which count for more. What ALTER ROLE sets for
/// all databases comes between the two, and holds in a copy by itself.
const SETTINGS: &str = "SELECT name, value FROM (
    SELECT DISTINCT ON (1) split_part(one, '=', 1) AS name, substr(one, strpos(one, '=') + 1) AS value, s.setdatabase
    FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase,
      pg_catalog.pg_roles r, unnest(s.setconfig) AS one
    WHERE r.rolname = current_user
      AND (d.datname = $1 AND s.setrole IN (0, r.oid) OR s.setdatabase = 0 AND s.setrole = r.oid)
    ORDER BY 1, s.setrole = 0, s.setdatabase = 0
  ) AS setting WHERE setdatabase <> 0 ORDER BY name";

/// Settings that connections to copies of a database begin with, by name.
#[derive(Debug, Clone, Default)]
pub struct Copied(Vec<(String, String)>);

impl Copied {
    /// Puts them ahead of those that pgbraid gives to all connections, which count for more but for the `search_path`.
    pub(super) fn ahead_of<'a>(&'a self, common: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let path = own.clone().rfind(|(name, _)| *name == SEARCH_PATH.0);
        let others = common.iter().map(|&setting| match path {
            Some(path) if setting.0 == path.0 => path,
            _ => setting,
        });
        own.chain(others).collect()
    }
}

/// What connections to a scratch database begin with, by its name.
pub(super) type Copies = HashMap<String, Copied>;

impl Server {
    /// Copies a database as it lies on the disk. Returns the name of the copy; `None` where this is refused, because others
    /// are connected to the database, or because it belongs to somebody else.
    ///
    /// # Errors
    /// When the server fails, or there is no such database.
    pub async fn copy_files(&self, source: &str) -> Result<Option<String>, PostgresError> {
        // with others connected, the server waits for five seconds until it refuses
        let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity
                   WHERE datname = $1 AND NOT starts_with(application_name, $2) AND backend_type = 'client backend')";
        let values = [Value::text(source), Value::text(self.application_name(""))];
        let others = expect(self.maintenance().await?.query(sql, &values).await?, DOING)?;
        if others.scalar() == Some("t") {
            return Ok(None);
        }
        match self.create_scratch(Some(source)).await {
            Ok(name) => Ok(Some(name)),
            Err(PostgresError::Query { error, .. })
                if [OBJECT_IN_USE, INSUFFICIENT_PRIVILEGE].contains(&error.sqlstate.as_str()) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Creates an empty scratch database that encodes and sorts text as another one does.
    ///
    /// # Errors
    /// When the server fails, or there is no such database.
    pub async fn create_scratch_like(&self, source: &str) -> Result<String, PostgresError> {
        // the locale of a provider that is not the C library's
        let (provider, locale) = match self.version() {
            170_000.. => ("datlocprovider", "datlocale"),
            150_000.. => ("datlocprovider", "daticulocale"),
            _ => ("'c'", "NULL"),
        };
        let sql = format!(
            "SELECT pg_encoding_to_char(encoding), datcollate, datctype, {provider}, {locale}
             FROM pg_catalog.pg_database WHERE datname = $1"
        );
        let reply = self.maintenance().await?.query(&sql, &[Value::text(source)]).await?;
        let found = expect(reply, DOING)?;
        let value = |column: usize| found.rows.first().and_then(|row| row.get(column)?.as_deref());
        let literal = |column: usize| quote_literal(value(column).unwrap_or_default());
        let mut options = format!(
            "TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            literal(0),
            literal(1),
            literal(2)
        );
        match value(3) {
            Some("i") => options += &format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", literal(4)),
            Some("b") => options += &format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {}", literal(4)),
            _ => {}
        }
        self.create_named(&options).await
    }

    /// From now on connections to a copy, and to copies of that, begin with the settings of the database `source`. Returns
    /// the names of those that this user may not set.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn copy_settings(&self, source: &str, copy: &str) -> Result<Vec<String>, PostgresError> {
        let mut connection = self.maintenance().await?;
        let found = expect(connection.query(SETTINGS, &[Value::text(source)]).await?, DOING)?;
        let (mut copied, mut refused) = (Copied::default(), Vec::new());
        for row in found.rows {
            let Ok([Some(name), Some(value)]) = <[Option<String>; 2]>::try_from(row) else {
                continue;
            };
            let values = [Value::text(name.clone()), Value::text(value.clone())];
            let reply = connection.query("SELECT set_config($1, $2, false)", &values).await?;
            match reply.error {
                Some(_) => refused.push(name),
                None => copied.0.push((name, value)),
            }
        }
        self.copies().insert(copy.to_owned(), copied.clone());
        // the role may have one of its own
        let path = expect(self.plain(copy, &[]).await?.simple("SHOW search_path").await?, DOING)?;
        if let Some(path) = path.scalar().filter(|path| *path != SEARCH_PATH.1) {
            copied.0.push((SEARCH_PATH.0.to_owned(), path.to_owned()));
        }
        self.copies().insert(copy.to_owned(), copied);
        Ok(refused)
    }

    /// Connections to a new scratch database begin as those to its template do.
    pub(super) fn inherit(&self, template: &str, name: &str) {
        let mut copies = self.copies();
        if let Some(copied) = copies.get(template).cloned() {
            copies.insert(name.to_owned(), copied);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_pgbraid_count_for_more_but_for_the_search_path() {
        let own = [
            ("search_path", "app"),
            ("TimeZone", "Europe/Paris"),
            ("app.tenant", "acme"),
        ];
        let copied = Copied(own.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        let all = copied.ahead_of(&[("TimeZone", "UTC"), SEARCH_PATH]);
        // the last one counts
        let value = |wanted: &str| all.iter().rfind(|(name, _)| *name == wanted).map(|(_, value)| *value);
        assert_eq!(value("search_path"), Some("app"));
        assert_eq!(value("TimeZone"), Some("UTC"));
        assert_eq!(value("app.tenant"), Some("acme"));
        assert_eq!(Copied::default().ahead_of(&[SEARCH_PATH]), [SEARCH_PATH]);
    }
}
