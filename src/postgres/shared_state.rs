//! What all databases of a server share, as far as it can be read: changing it reaches beyond a scratch database.

use std::collections::BTreeMap;

use super::wire::Connection;
use super::{PostgresError, expect};

/// What is compared: the catalog that must be readable, the first version that has it, and a query for the kind, name
/// and state of each object. Other databases, and settings for them, come and go on a server that others use; those of
/// pgbraid do, too.
const PARTS: [(&str, u32, &str); 10] = [
    (
        "pg_roles",
        0,
        "SELECT 'role', rolname::text, concat_ws(' ', oid, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,
                rolreplication, rolbypassrls, rolconnlimit, rolvaliduntil) FROM pg_catalog.pg_roles",
    ),
    (
        "pg_authid",
        0,
        "SELECT 'password of role', rolname::text, md5(rolpassword) FROM pg_catalog.pg_authid
         WHERE rolpassword IS NOT NULL",
    ),
    (
        "pg_auth_members",
        0,
        "SELECT 'membership in role', roleid::regrole || ' of ' || member::regrole,
                string_agg(admin_option::text, ' ' ORDER BY admin_option) FROM pg_catalog.pg_auth_members GROUP BY 2",
    ),
    (
        "pg_db_role_setting",
        0,
        "SELECT 'settings of role', setrole::regrole::text, setconfig::text
         FROM pg_catalog.pg_db_role_setting WHERE setdatabase = 0",
    ),
    (
        "pg_database",
        0,
        "SELECT 'database', datname::text, concat_ws(' ', datdba, datistemplate, datallowconn, datconnlimit,
                dattablespace, datacl)
         FROM pg_catalog.pg_database WHERE NOT starts_with(datname, 'pgbraid_scratch_')",
    ),
    (
        "pg_tablespace",
        0,
        "SELECT 'tablespace', spcname::text, concat_ws(' ', oid, spcowner, spcacl, spcoptions)
         FROM pg_catalog.pg_tablespace",
    ),
    (
        "pg_shdescription",
        0,
        "SELECT 'comment on', identity, description FROM pg_catalog.pg_shdescription,
                pg_catalog.pg_identify_object(classoid, objoid, 0) WHERE NOT starts_with(identity, 'pgbraid_scratch_')",
    ),
    (
        "pg_shseclabel",
        0,
        "SELECT 'security label of', provider || ' on ' || objoid, label FROM pg_catalog.pg_shseclabel",
    ),
    (
        "pg_replication_slots",
        0,
        "SELECT 'replication slot', slot_name::text, concat_ws(' ', plugin, datoid)
         FROM pg_catalog.pg_replication_slots WHERE NOT temporary",
    ),
    (
        "pg_parameter_acl",
        150_000,
        "SELECT 'privileges on parameter', parname, paracl::text FROM pg_catalog.pg_parameter_acl",
    ),
];

/// The kind of object that is dropped and created at any time on a server that others use.
const COMES_AND_GOES: &str = "database";

/// Takes a picture of what databases share, to see later whether it has changed.
#[derive(Debug, Clone)]
pub struct SharedState {
    query: String,
    /// By kind and name.
    objects: BTreeMap<(String, String), String>,
}

impl SharedState {
    pub async fn take(control: &mut Connection, version: u32) -> Result<SharedState, PostgresError> {
        let mut queries = Vec::new();
        for (catalog, first, query) in PARTS {
            if version < first {
                continue;
            }
            let readable = format!("SELECT has_table_privilege('pg_catalog.{catalog}', 'SELECT')");
            let readable = expect(control.simple(&readable).await?, DOING)?;
            if readable.scalar() == Some("t") {
                queries.push(query);
            }
        }
        let query = queries.join(" UNION ALL ");
        let objects = objects(control, &query).await?;
        Ok(SharedState { query, objects })
    }

    /// What has changed since, in words.
    pub async fn changes(&self, control: &mut Connection) -> Result<Vec<String>, PostgresError> {
        let now = objects(control, &self.query).await?;
        let mut changes = Vec::new();
        for (object @ (kind, name), state) in &now {
            match self.objects.get(object) {
                Some(before) if before == state => {}
                Some(_) => changes.push(format!("{kind} {name}")),
                None if kind == COMES_AND_GOES => {}
                None => changes.push(format!("{kind} {name} (new)")),
            }
        }
        let gone = self.objects.keys().filter(|object| !now.contains_key(object));
        let gone = gone.filter(|(kind, _)| kind != COMES_AND_GOES);
        changes.extend(gone.map(|(kind, name)| format!("{kind} {name} (gone)")));
        Ok(changes)
    }
}

const DOING: &str = "looking at what all databases share";

async fn objects(control: &mut Connection, query: &str) -> Result<BTreeMap<(String, String), String>, PostgresError> {
    let found = expect(control.simple(query).await?, DOING)?;
    let rows = found.rows.into_iter().filter_map(|row| {
        let [kind, name, state] = <[Option<String>; 3]>::try_from(row).ok()?;
        Some(((kind?, name?), state.unwrap_or_default()))
    });
    Ok(rows.collect())
}
