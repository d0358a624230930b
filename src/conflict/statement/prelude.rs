//! What drivers ask of the system catalogs by themselves, as a connection begins or a type is met for the first time.

use super::functions::{Touches, touches};
use crate::postgres::catalog::{Analysis, Catalog};

/// Functions of the server's own that look at the system catalogs and at the session's settings, and at nothing else.
const OF_CATALOGS: [&str; 38] = [
    "array_in",
    "array_out",
    "col_description",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_user",
    "format_type",
    "has_schema_privilege",
    "has_table_privilege",
    "obj_description",
    "oidvectorout",
    "pg_client_encoding",
    "pg_encoding_to_char",
    "pg_function_is_visible",
    "pg_get_constraintdef",
    "pg_get_expr",
    "pg_get_indexdef",
    "pg_get_partkeydef",
    "pg_get_serial_sequence",
    "pg_get_userbyid",
    "pg_is_in_recovery",
    "pg_postmaster_start_time",
    "pg_table_is_visible",
    "pg_type_is_visible",
    "quote_ident",
    "regclass",
    "regclassin",
    "regclassout",
    "regprocin",
    "regprocout",
    "regtypein",
    "regtypeout",
    "session_user",
    "shobj_description",
    "to_regclass",
    "to_regtype",
];

/// Whether a query looks at nothing but the system catalogs and the session itself. It meets another session only where one
/// changes the schema.
pub fn reads_catalogs_only(analysis: &Analysis, catalog: &Catalog) -> bool {
    let is_of_catalogs = |function: u32| {
        catalog
            .functions
            .get(&function)
            .is_some_and(|known| known.is_built_in && OF_CATALOGS.contains(&known.name.as_str()))
    };
    let is_harmless = |function: u32| touches(function, catalog) == Touches::Nothing || is_of_catalogs(function);
    let [query] = analysis.queries.as_slice() else {
        return false;
    };
    super::command(query) == super::Command::Select
        && analysis.relations.is_empty()
        && analysis.functions().into_iter().all(is_harmless)
}
